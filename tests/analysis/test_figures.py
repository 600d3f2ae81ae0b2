"""Figures: sizes, files, determinism, and what they show."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from breadth.analysis import figures, relate_measures
from breadth.analysis.figures import style

from .conftest import EFFECTS, SELECTORS, synthetic_curves, synthetic_predictions


def test_all_figures_are_written(
    results: xr.Dataset,
    predictions: xr.Dataset,
    pool: xr.Dataset,
    curves: xr.Dataset,
    tmp_path: Path,
) -> None:
    before = dict(mpl.rcParams)
    paths = figures.draw_all(results, predictions, pool, curves, tmp_path / "figures")
    assert dict(mpl.rcParams) == before
    names = {
        "error_against_molecules",
        "error_against_conformers",
        "map",
        "parity",
        "pool",
        "training_curves",
    }
    assert {path.stem for path in paths} == names
    assert {path.suffix for path in paths} == {".pdf", ".png", ".csv"}
    assert all(path.stat().st_size > 5000 for path in paths if path.suffix != ".csv")
    assert b"/Type3" not in (tmp_path / "figures/pool.pdf").read_bytes()


@pytest.mark.parametrize("column", ["single", "double"])
def test_columns(results: xr.Dataset, column: style.Column) -> None:
    figure = figures.error_against_molecules(results, column=column)
    assert figure.get_size_inches()[0] == {"single": 3.35, "double": 7.0}[column]
    text = [axes.get_ylabel() for axes in figure.axes]
    assert text[0] == "Force MAE (meV/Å)"
    assert len(text) == {"single": 1, "double": 2}[column]


def test_hollow_marks_are_the_undertrained(results: xr.Dataset) -> None:
    changed = results.copy(deep=True)
    changed["undertrained"][:] = False
    changed["undertrained"][0, 3] = True
    axes = figures.error_against_molecules(changed).axes[0]
    marks = [line for line in axes.lines if line.get_marker() in style.MARKERS]
    hollow = [line for line in marks if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 1
    height = float(changed["force_mae"][0, :, 3].mean()) * 1000
    assert hollow[0].get_ydata() == pytest.approx([height])


def test_nothing_but_one_test_set_and_experiment(
    results: xr.Dataset,
    predictions: xr.Dataset,
    pool: xr.Dataset,
    curves: xr.Dataset,
) -> None:
    """A smaller study: one experiment, one test set with errors, no prior, rigid molecules."""
    rows = np.flatnonzero(results["experiment"].values == "fixed_budget")
    small = results.isel(design=rows, other_design=rows).copy(deep=True)
    for name in ("force_mae", "conformational_energy_mae", "prior_force_mae"):
        small[name][:, :, [0, 1, 2, 4, 5]] = np.nan
    small["conformational_energy_mae"][:] = np.nan
    small["prior_force_mae"][:] = np.nan
    rigid = pool.assign(rmsd_torsion=pool["rmsd_torsion"] * np.nan)
    for figure in (
        figures.error_against_molecules(small, column="double"),
        figures.error_against_conformers(results.isel(design=[8, 9])),
        figures.diversity_map(small),
        figures.parity(predictions.isel(design=rows), column="double"),
        figures.pool(rigid),
        figures.training_curves(small, curves),
    ):
        figure.draw_without_rendering()


def test_labels_move_apart_and_keep_their_order() -> None:
    placed = style.apart(np.array([0.50, 0.10, 0.51, 0.52]), 0.05)
    np.testing.assert_array_equal(np.argsort(placed), [1, 0, 2, 3])
    assert (np.diff(np.sort(placed)) > 0.0499).all()
    assert placed[1] == 0.10


def with_measures(results: xr.Dataset) -> xr.Dataset:
    """A SYNTHETIC relation: one measure that is the error, one that is noise, one constant."""
    error = results["force_mae"].mean("test_set").values
    noise = np.random.default_rng(0).random(error.shape)
    values = np.stack([error, noise, np.ones(error.shape)], axis=-1)
    names = ["structural.circles", "conformational.tfd", "n_molecules"]
    measures = xr.DataArray(
        values,
        dims=("design", "replicate", "measure"),
        coords={"measure": names, "measure_units": ("measure", ["1"] * 3)},
    )
    n_train = (("design", "replicate"), np.full(error.shape, 300))
    return relate_measures(results.assign(n_train=n_train), measures, n_resamples=50)


def test_a_study_of_selectors_alone_has_its_figures(
    by_selector: xr.Dataset, pool: xr.Dataset, tmp_path: Path
) -> None:
    paths = figures.draw_all(
        with_measures(by_selector),
        synthetic_predictions(designs=SELECTORS),
        pool,
        synthetic_curves(designs=SELECTORS),
        tmp_path,
    )
    names = {path.stem for path in paths}
    assert names == {"measures", "parity", "pool", "selectors", "training_curves"}


def test_selectors_are_drawn_against_random(by_selector: xr.Dataset) -> None:
    figure = figures.selectors(by_selector)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(EFFECTS)[1:]
    assert "(60 × 5)" in figure.axes[0].get_title(loc="left")
    # the middle of the first row's marks is the paired difference, in meV/Å
    first = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    wanted = by_selector["force_mae_difference"].values[1, 0, 0] * 1000
    assert first.get_xdata()[0] == pytest.approx(wanted)
    assert len(figures.selectors(by_selector, column="double").axes) == 2


def test_measures_show_only_what_is_known(by_selector: xr.Dataset) -> None:
    related = with_measures(by_selector)
    figure = figures.measures(related)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["structural", "circles", "conformational", "tfd"]
    framed = [p for p in figure.axes[0].patches if not p.get_fill()]
    known = related["measure_error_correlation_interval"].values.prod(axis=-1) > 0
    assert len(framed) == known.sum() > 0
    titles = [a.get_title(loc="left") for a in figures.measures(related, column="double").axes[:2]]
    assert titles == ["All designs (9)", "Equally many training conformers (9)"]
