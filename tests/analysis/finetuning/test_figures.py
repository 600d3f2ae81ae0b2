"""Figures of a study of fine-tuning: what they show, what is absent, and that they fit."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from breadth.analysis.figures.finetuning import (
    arm_differences,
    components,
    coverage,
    cross_tests,
    draw_finetuning,
    element_errors,
    energy_histograms,
    energy_residuals,
    errors,
    force_parity,
    forgetting,
)
from breadth.analysis.figures.style import WIDTH
from breadth.analysis.finetuning import element_parity, energy_bins, set_growth


@pytest.fixture(scope="module")
def drawn_from(results, predictions, training) -> dict:
    names = ("universal", *results["arm"].values.astype(str).tolist())
    parity = {
        name: element_parity(predictions, series=name, test_run="independent") for name in names
    }
    return {
        energy_residuals: results,
        errors: results,
        arm_differences: results,
        element_errors: results,
        cross_tests: results,
        forgetting: results,
        coverage: results,
        energy_histograms: energy_bins(predictions),
        force_parity: parity,
        components: set_growth(training),
    }


DRAWN = [
    arm_differences,
    element_errors,
    energy_residuals,
    errors,
    cross_tests,
    forgetting,
    coverage,
    energy_histograms,
    force_parity,
    components,
]


@pytest.mark.parametrize("column", ["single", "double"])
@pytest.mark.parametrize("draw", DRAWN, ids=lambda f: f.__name__)
def test_each_is_drawn_in_a_column(draw, column, drawn_from, tells_what_it_draws) -> None:
    figure = draw(drawn_from[draw], column=column)
    assert figure.get_figwidth() == WIDTH[column]
    assert figure.get_figheight() < 8.5
    assert all(axes.has_data() for axes in figure.axes if axes.get_visible())
    tells_what_it_draws(figure)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_matrix_says_the_error_of_every_arm_on_every_run(results: xr.Dataset) -> None:
    texts = _texts(cross_tests(results))
    last = results["force_mae"].isel(iteration=-1).mean("replicate") * 1000
    for arm in results["arm"].values:
        for run in ("universal", *results["arm"].values, "independent"):
            assert f"{float(last.sel(arm=arm, test_run=run)):.0f}" in texts


def test_residuals_say_their_root_mean_square(results: xr.Dataset) -> None:
    figure = energy_residuals(results)
    value = float(results["energy_residual"].sel(test_run="own")[1, -1].mean("replicate")) * 1000
    panel = next(a for a in figure.axes if a.get_title() == "periodic")
    assert panel.texts[-2 if panel.texts[-1].get_text() == "RMS" else -1].get_text() == (
        f"{value:.1f}"
    )


def test_parity_counts_every_component_of_an_element(predictions: xr.Dataset) -> None:
    points = element_parity(predictions, series="naive", test_run="independent")
    rows = (predictions["test_run"] == "independent").values
    carbons = 3  # of the amide
    assert {z: len(x) for z, (x, _) in points.items()}[6] == 3 * 3 * carbons * rows.sum()
    known = element_parity(predictions, series="universal", test_run="independent")
    atoms = np.repeat(rows, 12) & (predictions["atomic_number"].values == 8)
    found = predictions["forces_reference"].values[atoms].ravel()
    np.testing.assert_array_equal(known[8][0], np.tile(found, 3))


def test_bins_hold_all_frames_and_average_residuals(predictions: xr.Dataset) -> None:
    bins = energy_bins(predictions, n_bins=1)
    width = np.diff(bins["edge"].values)
    np.testing.assert_allclose((bins["density"] * width).sum("part"), 1.0)
    rows = (predictions["test_run"] == "independent").values
    residual = (predictions["energy"] - predictions["energy_reference"]) / predictions["n_atoms"]
    of_last = (predictions["arm"] == "chosen") & (predictions["iteration"] == 3)
    expected = residual.values[np.ix_(of_last.values, rows)].mean()
    found = bins["residual"].sel(series="chosen", test_run="independent")
    assert float(found[0]) == pytest.approx(expected)


def test_hulls_are_of_cumulative_sets(training: xr.Dataset) -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5], [3, 0.5]], dtype=float)
    few = xr.Dataset(
        {"component": (("atom", "component"), square), "n_atoms": ("frame", np.ones(6, dtype=int))},
        coords={
            "arm": ("frame", ["naive"] * 6),
            "iteration": ("frame", [1, 1, 1, 1, 1, 2]),
            "replicate": ("frame", [0] * 6),
        },
    )
    found = set_growth(few)
    np.testing.assert_allclose(found["area"].values.ravel(), [1.0, 2.0])
    assert found.attrs["relative"] == 0
    grown = set_growth(training)["area"]
    assert (grown.diff("set_iteration") >= 0).all()


def test_all_are_written_and_those_without_data_skipped(
    results: xr.Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    few = results.sel(test_run=["independent", "universal"], arm=["naive", "chosen"])
    few = few[[n for n in few.data_vars if "force_mae" in str(n) and "original" not in str(n)]]
    few = few.sel(arm=["chosen"])
    few.to_netcdf(folder / "results.nc", engine="h5netcdf")
    written = draw_finetuning(folder, tmp_path / "figures")
    names = ("errors", "element_errors")
    assert {p.name for p in written} == {f"{n}.{s}" for n in names for s in ("pdf", "png", "csv")}
    assert all(p.stat().st_size > 1000 for p in written)


def test_one_arm_one_replicate_and_no_runs_can_be_drawn(predictions: xr.Dataset) -> None:
    from breadth.analysis.finetuning import finetuning_errors

    models = predictions["arm"].isin(["universal", "naive"]) & (predictions["replicate"] <= 0)
    alone = finetuning_errors(predictions.isel(model=np.flatnonzero(models)), n_resamples=20)
    for draw in (energy_residuals, errors, cross_tests, forgetting, coverage):
        assert draw(alone).axes
