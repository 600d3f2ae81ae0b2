"""Rank correlations of measures with errors: values, intervals, chance, and layouts."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from breadth.analysis.tradeoff.measure_relation import best_measures, relate_measures
from breadth.diversity.errors import DataError


def study(
    measure: np.ndarray, error: np.ndarray, n_train: np.ndarray | None = None
) -> tuple[xr.Dataset, xr.DataArray]:
    """A SYNTHETIC study of measures (D, R, K) and errors (D, R, T)."""
    n_designs, n_replicates, n_measures = measure.shape
    results = xr.Dataset(
        {
            "force_mae": (("design", "replicate", "test_set"), error),
            "n_train": (
                ("design", "replicate"),
                np.full((n_designs, n_replicates), 100)
                if n_train is None
                else np.repeat(n_train[:, None], n_replicates, axis=1),
            ),
        },
        coords={
            "experiment": ("design", ["fixed_budget"] * n_designs),
            "n_molecules": ("design", np.arange(n_designs)),
            "n_conformers": ("design", np.ones(n_designs, dtype=int)),
            "molecule_selector": ("design", ["random"] * n_designs),
            "conformer_selector": ("design", ["random"] * n_designs),
            "test_set": [f"set {t}" for t in range(error.shape[-1])],
            "bound": ["lower", "upper"],
        },
    )
    names = [f"measure {k}" for k in range(n_measures)]
    measures = xr.DataArray(
        measure,
        dims=("design", "replicate", "measure"),
        coords={"measure": names, "measure_units": ("measure", ["1"] * n_measures)},
    )
    return results, measures


def test_values_are_scipys() -> None:
    rng = np.random.default_rng(0)
    measure, error = rng.integers(0, 4, (9, 3, 5)).astype(float), rng.random((9, 3, 2))
    found = relate_measures(*study(measure, error), n_resamples=50)
    for k in range(5):
        for t in range(2):
            expected = stats.spearmanr(measure[..., k].mean(1), error[..., t].mean(1)).statistic
            assert float(found["measure_error_correlation"][k, t]) == pytest.approx(expected)
    bounds = found["measure_error_correlation_interval"]
    assert (bounds.sel(bound="lower") <= found["measure_error_correlation"]).all()
    assert (bounds.sel(bound="upper") >= found["measure_error_correlation"]).all()
    assert (np.abs(bounds) <= 1).all()
    np.testing.assert_array_equal(found["measure_value"], measure)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 8), st.integers(0, 1000))
def test_only_ranks_count_and_order_of_designs_does_not(n_designs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    measure, error = rng.random((n_designs, 1, 3)), rng.random((n_designs, 1, 1))
    name = "measure_error_correlation"
    one = relate_measures(*study(measure, error), n_resamples=20)[name]
    bent = relate_measures(*study(np.exp(3 * measure), error**2), n_resamples=20)[name]
    np.testing.assert_allclose(one, bent)
    order = rng.permutation(n_designs)
    moved = relate_measures(*study(measure[order], error[order]), n_resamples=20)[name]
    np.testing.assert_allclose(one, moved)
    upside_down = relate_measures(*study(-measure, error), n_resamples=20)[name]
    np.testing.assert_allclose(one, -upside_down)


def test_four_designs_in_perfect_order_prove_little() -> None:
    rank = np.arange(4.0)[:, None, None] + np.zeros((4, 3, 1))
    found = relate_measures(*study(rank, rank), n_resamples=200)
    assert float(found["measure_error_correlation"][0, 0]) == pytest.approx(1.0)
    lower, upper = found["measure_error_correlation_interval"].values[0, 0]
    assert lower < 0 < upper == pytest.approx(1.0)
    # 24 orders, two of them as extreme
    assert float(found["best_measure_p_value"][0]) == pytest.approx(2 / 24, abs=0.06)
    fewer = relate_measures(*study(rank[:3], rank[:3]), n_resamples=20)
    assert fewer["measure_error_correlation"].isnull().all()
    assert fewer["best_measure_p_value"].isnull().all()
    assert best_measures(fewer) == []


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    n_designs, held, trials = 10, 0, 120
    truth = 6 / np.pi * np.arcsin(0.7 / 2)  # Spearman's of two normal variables with r = 0.7
    for _ in range(trials):
        x = rng.normal(size=n_designs)
        y = 0.7 * x + np.sqrt(1 - 0.49) * rng.normal(size=n_designs)
        noise = 0.05 * rng.normal(size=(2, n_designs, 3, 1))
        tables = (x[:, None, None] + noise[0], y[:, None, None] + noise[1])
        found = relate_measures(*study(*tables), n_resamples=100)
        lower, upper = found["measure_error_correlation_interval"].values[0, 0]
        held += lower <= truth <= upper
    assert 0.9 <= held / trials <= 1.0


def test_the_best_of_many_noises_is_no_discovery() -> None:
    rng = np.random.default_rng(2)
    chances = []
    for _ in range(60):
        found = relate_measures(
            *study(rng.random((8, 2, 20)), rng.random((8, 2, 1))), n_resamples=100
        )
        chances.append(float(found["best_measure_p_value"][0]))
    assert np.mean(np.array(chances) < 0.1) < 0.25
    assert 0.3 < np.mean(chances) < 0.7
    error = rng.random((8, 2, 1))
    real = np.concatenate([rng.random((8, 2, 20)), error], axis=-1)
    best = best_measures(relate_measures(*study(real, error), n_resamples=500))[0]
    assert (best.measure, best.as_good, best.n_designs) == ("measure 20", (), 8)
    assert best.correlation == pytest.approx(1.0)
    assert best.p_value < 0.05


def test_missing_values_constants_and_shared_sets() -> None:
    rng = np.random.default_rng(3)
    measure, error = rng.random((8, 2, 3)), rng.random((8, 2, 2))
    measure[:5, :, 1] = np.nan  # known for three designs
    measure[..., 2] = 4.2
    error[:6, :, 1] = np.nan  # a test set that two designs have
    results, measures = study(measure, error, np.array([10, 20, 30, 30, 30, 30, 30, 30]))
    found = relate_measures(results, measures, n_resamples=50)
    rho = found["measure_error_correlation"].values
    assert np.isfinite(rho[0, 0])
    assert np.isnan(rho[1:]).all()
    assert np.isnan(rho[:, 1]).all()
    assert found["measure_error_n_designs"].values[:, 0].tolist() == [8, 3, 8]
    assert found["measure_error_n_designs_at_budget"].values[:, 0].tolist() == [6, 3, 6]
    assert [row.measure for row in best_measures(found)] == ["measure 0"]
    twice = results.assign_coords(n_molecules=("design", [0, 0, 2, 3, 4, 5, 6, 7]))
    again = relate_measures(twice, measures, n_resamples=50)
    assert int(again["measure_error_n_designs"][0, 0]) == 7
    with pytest.raises(DataError, match="8 designs"):
        relate_measures(results, measures.isel(design=slice(5)))
