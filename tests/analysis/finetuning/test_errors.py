"""Errors of a study of fine-tuning: against sums by hand, what belongs to what, intervals."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from breadth.analysis.bootstrap import CrossedBootstrap
from breadth.analysis.finetuning import finetuning_errors
from breadth.analysis.finetuning.intervals import Ratio, interval
from breadth.diversity import DataError


def _rows(predictions: xr.Dataset, run: str, iteration: int, replicate: int) -> np.ndarray:
    found = [predictions[f"test_{name}"].values for name in ("run", "iteration", "replicate")]
    return (found[0] == run) & (found[1] == iteration) & (found[2] == replicate)


def _model(predictions: xr.Dataset, arm: str, iteration: int, replicate: int) -> xr.Dataset:
    found = [predictions[name].values for name in ("arm", "iteration", "replicate")]
    at = (found[0] == arm) & (found[1] == iteration) & (found[2] == replicate)
    return predictions.isel(model=int(np.flatnonzero(at)[0]))


@pytest.mark.parametrize(
    ("test_run", "run"),
    [
        ("own", ("periodic", 2, 1)),
        ("naive", ("naive", 3, 1)),
        ("universal", ("universal", 0, 1)),
        ("independent", ("independent", -1, -1)),
    ],
)
def test_errors_are_those_of_the_frames_that_test_a_model(predictions, results, test_run, run):
    one, rows = _model(predictions, "periodic", 2, 1), _rows(predictions, *run)
    cell = results.sel(arm="periodic", iteration=2, replicate=1, test_run=test_run)
    residual = (one["energy"] - one["energy_reference"]).values[rows] / one["n_atoms"].values[rows]
    assert float(cell["energy_residual"]) == pytest.approx(np.sqrt(np.mean(residual**2)))
    assert float(cell["energy_offset"]) == pytest.approx(residual.mean())
    assert float(cell["energy_spread"]) == pytest.approx(residual.std(ddof=1))
    atoms = np.repeat(rows, one["n_atoms"].values)
    assert int(cell["n_structures"]) == rows.sum()
    error = np.abs(one["forces"] - one["forces_reference"]).values[atoms]
    size, numbers = (
        np.abs(one["forces_reference"].values[atoms]),
        one["atomic_number"].values[atoms],
    )
    assert float(cell["force_mae"]) == pytest.approx(error.mean())
    for z in np.unique(numbers):
        of, here = cell.sel(element=z), numbers == z
        assert float(of["force_mae_element"]) == pytest.approx(error[here].mean())
        relative = error[here].mean() / size[here].mean()
        assert float(of["relative_force_mae_element"]) == pytest.approx(relative)
    q, limit = one["score"].sel(detector="q").values[atoms], one["limit"].sel(detector="q")
    assert float(cell["q_residual"]) == pytest.approx(q.mean(), rel=1e-5)
    within = q <= limit.sel(element=xr.DataArray(numbers)).values
    assert float(cell["coverage"]) == pytest.approx(within.mean())


def test_other_arms_are_the_last_runs_of_the_others(results):
    of = results["force_mae"].sel(arm="naive")
    others = of.sel(test_run=["periodic", "nonperiodic", "chosen"]).mean("test_run")
    np.testing.assert_allclose(of.sel(test_run="other_arms"), others)
    own = of.sel(iteration=3)
    np.testing.assert_allclose(own.sel(test_run="own"), own.sel(test_run="naive"))


def test_the_universal_model_stands_before_every_arm(results):
    first = results["force_mae"].sel(iteration=0, test_run=["own", "independent", "naive"])
    np.testing.assert_array_equal(first, np.broadcast_to(first[:1], first.shape))
    # Its own predictions are the reference there: no error but that of single precision.
    assert (results["force_mae_original_domain"].sel(iteration=0) < 1e-6).all()
    assert (results["force_mae_original_domain"].sel(iteration=1) > 1e-3).all()


def test_differences_are_paired_by_replicate(results):
    gap = results["force_mae_difference"].sel(arm="chosen", other="naive")
    arms = results["force_mae"].mean("replicate")
    same = [run for run in results["test_run"].values if run != "other_arms"]
    expected = (arms.sel(arm="chosen") - arms.sel(arm="naive")).sel(test_run=same)
    np.testing.assert_allclose(gap.sel(test_run=same), expected, atol=1e-12)
    # Of the runs of other arms, both have those of third arms in common.
    third = expected.sel(test_run=["periodic", "nonperiodic"]).mean("test_run")
    np.testing.assert_allclose(gap.sel(test_run="other_arms"), third, atol=1e-12)
    back = results["force_mae_difference_interval"].sel(arm="naive", other="chosen")
    there = results["force_mae_difference_interval"].sel(arm="chosen", other="naive")
    np.testing.assert_allclose(back, -there.values[..., ::-1])
    # Replicates of equal luck in all arms: paired, the arms differ by less than each one scatters.
    last = results.sel(iteration=3, test_run="independent")
    width = last["force_mae_difference_interval"].sel(arm="chosen", other="nonperiodic")
    alone = [
        np.ptp(last["force_mae_interval"].sel(arm=a).values) for a in ("chosen", "nonperiodic")
    ]
    assert float(np.ptp(width.values)) < sum(alone)


def test_intervals_hold_the_mean_of_the_replicates(results):
    for name in ("energy_residual", "energy_offset", "force_mae", "q_residual", "coverage"):
        mean = results[name].mean("replicate").values
        low, high = np.moveaxis(results[f"{name}_interval"].values, -1, 0)
        known = np.isfinite(low)
        assert known.any()
        assert (low[known] <= mean[known] + 1e-12).all()
        assert (mean[known] <= high[known] + 1e-12).all()


def test_an_interval_of_runs_is_student_s():
    means = np.array([1.0, 1.4, 1.9])
    ratios = [Ratio(np.array([2 * m]), np.array([2.0]), np.zeros(1, dtype=int)) for m in means]
    found = interval(ratios, shared=False, positive=False, bootstrap=CrossedBootstrap())
    expected = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert found == pytest.approx(expected)
    alone = interval(ratios[:1], shared=False, positive=True, bootstrap=CrossedBootstrap())
    assert np.isnan(alone).all()


def test_blocks_without_frames_make_no_interval_narrower():
    values, ones = np.random.default_rng(0).normal(size=(2, 9)), np.ones(9)
    few, among_many = np.repeat([0, 1, 2], 3), np.repeat([2, 5, 19], 3)
    ours, theirs = (
        interval(
            [Ratio(row, ones, block) for row in values],
            shared=True,
            positive=False,
            bootstrap=CrossedBootstrap(),
        )
        for block in (few, among_many)
    )
    assert ours == pytest.approx(theirs)
    one = [Ratio(values[0], ones, np.full(9, 4))]
    alone = interval(one, shared=True, positive=False, bootstrap=CrossedBootstrap())
    assert np.isnan(alone).all()


def test_stability_is_that_of_the_run(results, runs):
    at = (runs["arm"] == "periodic") & (runs["iteration"] == 2) & (runs["replicate"] == 1)
    expected = float(runs["stability_time"].values[at.values][0])
    found = results["stability_time"].sel(arm="periodic", iteration=2, replicate=1)
    assert float(found.sel(test_run="own")) == expected
    at = (runs["arm"] == "universal") & (runs["replicate"] == 1)
    expected = float(runs["stability_time"].values[at.values][0])
    assert float(found.sel(test_run="universal")) == expected


def test_order_of_models_changes_nothing(predictions, results):
    rng = np.random.default_rng(0)
    shuffled = predictions.isel(model=rng.permutation(predictions.sizes["model"]))
    again = finetuning_errors(shuffled, n_resamples=50)
    again = again.sel(arm=results["arm"], test_run=results["test_run"])
    np.testing.assert_array_equal(again["force_mae"], results["force_mae"])


def test_without_scores_limits_or_an_original_domain_their_results_are_absent(predictions):
    rows = np.flatnonzero(predictions["test_run"].values != "original_domain")
    atoms = np.flatnonzero(np.isin(np.repeat(np.arange(predictions.sizes["structure"]), 12), rows))
    few = predictions.drop_vars(["score", "limit"]).isel(structure=rows, atom=atoms)
    found = finetuning_errors(few, n_resamples=20)
    assert not {"q_residual", "coverage", "force_mae_original_domain"} & set(found.data_vars)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.drop_vars("forces_reference"), "'forces_reference'.*missing"),
        (lambda p: p.transpose("structure", ...), "'energy' has dimensions"),
        (lambda p: p.isel(model=slice(1, None)), "no model 'universal'"),
        (lambda p: p.isel(model=[0, 1, 1]), "two models of arm 'naive', iteration 1, replicate 0"),
        (lambda p: p.isel(atom=slice(1, None)), "'n_atoms' sums to"),
        (lambda p: p.assign(energy_reference=p["energy_reference"] * np.nan), "no finite label"),
        (lambda p: p.assign(energy=p["energy"] * np.nan), "some finite predictions and some"),
    ],
)
def test_predictions_of_another_layout_are_named(predictions, change, message):
    with pytest.raises(DataError, match=message):
        finetuning_errors(change(predictions))


def test_frames_of_no_replicate_test_all(make_predictions):
    """As of released sets: frames of an arm that no run of the study made."""
    made = make_predictions(arms=("naive", "chosen"), n_iterations=1, n_original=0)
    rows = np.flatnonzero(made["test_run"] == "independent")
    atoms = np.flatnonzero(np.repeat(made["test_run"].values == "independent", 12))
    few = made.isel(structure=rows, atom=atoms)
    few = few.assign_coords(test_run=("structure", np.repeat(["naive", "chosen"], len(rows) // 2)))
    found = finetuning_errors(few, n_resamples=20)
    assert found["test_run"].values.tolist() == ["other_arms", "naive", "chosen"]
    mae = found["force_mae"].sel(arm="naive", iteration=1)
    np.testing.assert_array_equal(mae.sel(test_run="other_arms"), mae.sel(test_run="chosen"))
    assert np.isfinite(found["force_mae_interval"].sel(iteration=1)).all()
