"""Surfaces: which form is chosen, and what the draws stand for."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from breadth.analysis.advice import fit_surfaces, folds, read_cells
from breadth.diversity import DataError

from .conftest import CONFORMERS, MOLECULES, grid_results, law


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (0.05 + 3.0 / MOLECULES, {"molecules"}),
        (0.05 + 3.0 * (MOLECULES * CONFORMERS) ** -0.9, {"labels"}),
        (law(MOLECULES, CONFORMERS), {"additive", "interaction"}),
    ],
    ids=["molecules", "labels", "additive"],
)
def test_the_form_that_made_the_errors_is_chosen(errors, expected):
    cells = read_cells(grid_results(errors, noise=0.003))
    surface = fit_surfaces(cells, n_draws=2)["unseen_molecules"]
    assert surface.form in expected, surface.scores
    assert surface.scores[surface.form] <= 1.05 * min(surface.scores.values())
    np.testing.assert_allclose(surface.predict(MOLECULES, CONFORMERS), errors, rtol=0.02)
    assert surface.explained > 0.95


def test_nothing_explains_what_is_constant():
    cells = read_cells(grid_results(np.full(16, 0.2), noise=0.02))
    assert fit_surfaces(cells, n_draws=2)["unseen_molecules"].explained < 0.5


def test_draws_of_a_mean_are_students():
    results = grid_results(np.full(16, 0.2), noise=0.0)
    each = np.array([0.19, 0.2, 0.23])  # of the replicates, in all cells
    results["force_mae"].values[:] = each[:, None]
    surface = fit_surfaces(read_cells(results), n_draws=8_000, form="constant")
    drawn = np.log(surface["unseen_molecules"].draws(np.array([10]), np.array([1]))[1:, 0])
    wide = stats.t.interval(0.8, 2, scale=stats.sem(np.log(each)))
    np.testing.assert_allclose(
        np.quantile(drawn, [0.1, 0.9]) - np.log(each.mean()), wide, rtol=0.05
    )


def test_without_scatter_all_draws_are_the_fit():
    surface = fit_surfaces(
        read_cells(grid_results(law(MOLECULES, CONFORMERS), noise=0.0)), n_draws=20
    )
    drawn = surface["unseen_molecules"].draws(np.array([160]), np.array([16]))
    np.testing.assert_allclose(drawn, drawn[0, 0])


def test_whole_lines_are_left_out_of_a_grid_and_cells_of_a_cross():
    assert [out.sum() for out in folds(MOLECULES, CONFORMERS)] == [4] * 8
    cross = np.array([(20, 30), (60, 10), (150, 4), (300, 2), (60, 1), (60, 2), (60, 5)]).T
    assert [out.sum() for out in folds(*cross)] == [1] * 7


def test_cells_count_once_and_selected_designs_do_not():
    results = grid_results(law(MOLECULES, CONFORMERS))
    twice = xr.concat([results, results.isel(design=[3, 5])], dim="design")
    experiment = ["grid"] * 16 + ["fixed_molecules", "molecule_selectors"]
    twice = twice.assign_coords(experiment=("design", experiment))
    assert len(read_cells(twice).molecules) == 16
    chosen = results.assign_coords(experiment=("design", ["molecule_selectors"] * 16))
    with pytest.raises(DataError, match="preset pilot"):
        read_cells(chosen)
    with pytest.raises(DataError, match="force_mae"):
        read_cells(results.drop_vars("force_mae"))


def test_cells_without_an_error_are_left_out():
    results = grid_results(law(MOLECULES, CONFORMERS))
    results["force_mae"][2, 1, 0] = np.nan
    surface = fit_surfaces(read_cells(results), n_draws=2)["unseen_molecules"]
    assert surface.cells.tolist() == [0, 1, *range(3, 16)]
