"""Figures of a study of refinement: drawn from results alone, what they show, what is absent."""

import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from breadth.analysis.figures.refinement import (
    breadth,
    distances,
    draw_refinement,
    error_against_shift,
    error_bins,
    error_with_refinement,
    fine_tuning,
    gain_against_shift,
    spectra,
    surfaces,
)
from breadth.analysis.figures.refinement import dynamics as draw_dynamics
from breadth.analysis.figures.style import WIDTH

#: The fixture that each figure draws.
FIGURES: dict[Callable[..., Figure], str] = {
    error_against_shift: "scored",
    error_with_refinement: "scored",
    gain_against_shift: "scored",
    error_bins: "scored",
    fine_tuning: "scored",
    breadth: "scored_designs",
    spectra: "spectra",
    surfaces: "surface",
    draw_dynamics: "dynamics",
    distances: "dynamics",
}


def _settings() -> dict[str, object]:
    return {k: v for k, v in mpl.rcParams.items() if k != "backend"}  # resolved on first use


@pytest.mark.parametrize("column", ["single", "double"])
@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: f.__name__)
def test_each_is_drawn_in_a_column_without_touching_its_data(
    draw: Callable[..., Figure],
    column: str,
    request: pytest.FixtureRequest,
    tells_what_it_draws: Callable[[Figure], None],
) -> None:
    data = request.getfixturevalue(FIGURES[draw])
    before, settings = data.copy(deep=True), _settings()
    figure = draw(data, column=column)
    xr.testing.assert_identical(data, before)
    assert _settings() == settings
    assert figure.get_figwidth() == WIDTH[column]
    assert figure.get_figheight() < 8.5
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert all(axes.has_data() for axes in shown)
    tells_what_it_draws(figure)


def _titles(figure: Figure) -> list[str]:
    return [axes.get_title().replace("\u00a0", " ") for axes in figure.axes if axes.get_visible()]


def test_every_method_has_a_panel_where_its_gain_stands(scored: xr.Dataset) -> None:
    figure = gain_against_shift(scored, experiment="pools", column="double")
    titles = _titles(figure)
    assert len(titles) == scored.sizes["method"] - 1
    assert titles[-4:] == [
        "fine-tuned, 1 label",
        "fine-tuned, 5 labels",
        "fine-tuned, 20 labels",
        "fine-tuned, 100 labels",
    ]
    panel = next(a for a in figure.axes if a.get_title() == "test-time training")
    group = scored["group"].values.tolist().index("pools: stretched")
    expected = (
        float(scored["group_shift_score"].sel(measure="knn").mean("replicate")[group]),
        float(
            100
            * scored["group_relative_gain"].sel({"method": "test_time"}).mean("replicate")[group]
        ),
    )
    marks = [tuple(np.ravel(line.get_xydata())) for line in panel.lines]
    assert any(len(m) == 2 and m == pytest.approx(expected) for m in marks)


def test_without_scores_kinds_of_shift_stand_side_by_side(refinement_results: xr.Dataset) -> None:
    figure = gain_against_shift(refinement_results, experiment="rmd17")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert "Kind of shift" in labels
    error_against_shift(refinement_results)  # no training scores: says so, and draws the rest


def test_fine_tuning_says_what_test_time_training_is_worth(scored: xr.Dataset) -> None:
    figure = fine_tuning(scored, column="double")
    texts = [t.get_text() for axes in figure.axes for t in axes.texts]
    assert len(texts) == 6
    assert all(t.startswith("worth") for t in texts)
    never = scored.assign(group_force_mae=scored["group_force_mae"].copy(deep=True))
    index = never["method"].values.tolist().index("test_time")
    never["group_force_mae"].values[:, index] = 1e-6
    figure = fine_tuning(never)
    assert {t.get_text() for a in figure.axes for t in a.texts} == {"worth > 100 labels"}


def test_a_method_without_runs_of_a_system_has_no_bar(dynamics: xr.Dataset) -> None:
    few = dynamics.copy(deep=True)
    few["stability_time"].loc[{"method": "test_time", "system": few["system"].values[0]}] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_dynamics(few)
    bars = np.array([bar.get_height() for bar in figure.axes[-1].patches])
    assert np.isnan(bars).sum() == 1


def test_breadth_orders_designs_by_molecules(scored_designs: xr.Dataset) -> None:
    reordered = scored_designs.isel(design=[2, 0, 3, 1])
    one, other = (
        [np.asarray(line.get_xydata()) for axes in breadth(data).axes for line in axes.lines]
        for data in (scored_designs, reordered)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b)
    conformers = scored_designs.assign_coords(
        design_experiment=("design", ["fixed_budget"] * 3 + ["fixed_molecules"])
    )
    line = breadth(conformers).axes[0].lines[0]
    assert len(np.asarray(line.get_xdata())) == 3


def test_all_are_written_and_those_without_data_skipped(
    scored: xr.Dataset, scored_designs: xr.Dataset, surface: xr.Dataset, tmp_path: Path
) -> None:
    few = scored.sel(system=scored["experiment"] == "rmd17").sel(
        {
            "method": ["none", "test_time"],
            "group": ["rmd17: in_distribution", "rmd17: new_molecule"],
        }
    )
    few = few.assign_coords(group_of=few["group_of"] - int(few["group_of"].min()))
    of = scored["experiment"].values[scored["system_of"].values] == "rmd17"
    few = few.isel(structure=of)
    few = few.assign_coords(system_of=few["system_of"] - int(few["system_of"].min()))
    written = draw_refinement(few, tmp_path / "few", surface=surface)
    stems = {"error_against_shift", "error_with_refinement", "gain_against_shift"}
    expected = {f"{s}_rmd17" for s in stems} | {"error_bins", "surfaces"}
    assert {p.stem for p in written} == expected
    assert {p.suffix for p in written} == {".pdf", ".png", ".csv"}
    assert all(p.stat().st_size > 400 for p in written)
    designs = draw_refinement(scored_designs.isel(design=[0, 3]), tmp_path / "designs")
    assert "breadth_pools" in {p.stem for p in designs}
