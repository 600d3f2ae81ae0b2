"""Files of figures: their numbers, equal bytes, slides, and figures put together."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from breadth.analysis import figures
from breadth.analysis.figures import style
from breadth.analysis.figures.files import save
from breadth.analysis.figures.table import table


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_beside_a_figure_holds_the_results(results: xr.Dataset, tmp_path: Path) -> None:
    drawn = figures.error_against_molecules(results)
    picture, path = save(drawn, tmp_path / "figure", formats=["svg"])
    assert (picture.name, path.name) == ("figure.svg", "figure.csv")
    rows = _rows(path)
    assert {row["y_label"] for row in rows} == {"Force MAE (meV/Å)"}
    designs = results.isel(design=results["experiment"].values == "fixed_budget")
    found = {(r["series"], r["kind"].split(",")[0], r["x"]): r for r in rows}
    for t, name in enumerate(results["test_set"].values):
        for d, molecules in enumerate(designs["n_molecules"].values):
            series, x = str(name).replace("_", " "), str(molecules)
            errors = designs["force_mae"].values[d, :, t] * 1000
            mean = found[series, "mean", x]
            assert float(mean["y"]) == pytest.approx(np.mean(errors), rel=1e-9)
            ends = designs["force_mae_interval"].values[d, t] * 1000
            assert [float(mean[n]) for n in ("lower", "upper")] == pytest.approx(ends, rel=1e-9)
            each = [float(found[series, f"replicate {r}", x]["y"]) for r in range(len(errors))]
            assert each == pytest.approx(errors, rel=1e-9)


@pytest.mark.parametrize("draw", [figures.error_against_conformers, figures.diversity_map])
def test_figures_tell_what_they_draw(draw, results, tells_what_it_draws) -> None:
    tells_what_it_draws(draw(results, column="double"))


def test_cells_of_a_surface_tell_their_error_and_mark_what_is_advised(results) -> None:
    figure = figures.error_surface(results)
    axes = figure.axes[0]
    texts = {text.get_text().rstrip("*") for text in axes.texts}
    rows = table(figure)
    designs = results.isel(design=results["molecule_selector"].values == "random")
    cells = {(int(m), int(c)) for m, c in zip(*_counts(designs), strict=True)}
    assert {(row["x"], row["y"]) for row in rows} == cells
    assert len(axes.patches) == len(rows)
    for row in rows:
        same = (designs["n_molecules"] == row["x"]) & (designs["n_conformers"] == row["y"])
        of = designs.isel(design=np.flatnonzero(same)[0]).sel(test_set="unseen_molecules")
        assert row["value"] == pytest.approx(float(of["force_mae"].mean()) * 1000)
        assert f"{row['value']:.0f}" in texts
    advice = SimpleNamespace(
        n_molecules=900,
        n_conformers=4,
        n_molecules_interval=(500, 1500),
        n_conformers_interval=(2, 9),
        supported=False,
    )
    axes = figures.error_surface(results, advice=advice).axes[0]
    star = next(line for line in axes.lines if line.get_marker() == "*")
    assert tuple(star.get_xydata()[0]) == (900.0, 4.0)
    assert star.get_markerfacecolor() == "white"
    assert axes.get_xlim()[1] > 1500


def test_one_replicate_has_no_interval_in_its_cells(results: xr.Dataset) -> None:
    one = results.copy(deep=True)
    one["force_mae_interval"][:] = np.nan
    texts = [text.get_text() for text in figures.error_surface(one).axes[0].texts]
    assert texts
    assert not [text for text in texts if "nan" in text]


def _counts(designs: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return designs["n_molecules"].values, designs["n_conformers"].values


def test_pools_and_curves_tell_what_they_draw(results, pool, curves, tells_what_it_draws) -> None:
    tells_what_it_draws(figures.pool(pool))
    tells_what_it_draws(figures.training_curves(results, curves))


def test_what_is_not_known_is_no_row(results: xr.Dataset) -> None:
    few = results.copy(deep=True)
    few["force_mae"][:, :, 3] = np.nan
    told = {row["series"] for row in table(figures.error_against_molecules(few))}
    assert "unseen molecules" not in told
    assert "unseen scaffolds" in told


def test_equal_figures_are_equal_files_in_every_format(results: xr.Dataset, tmp_path: Path) -> None:
    one, two = (
        save(
            figures.error_against_conformers(results),
            tmp_path / name / "figure",
            formats=["pdf", "png", "svg"],
        )
        for name in "ab"
    )
    assert [path.suffix for path in one] == [".pdf", ".png", ".svg", ".csv"]
    assert [a.read_bytes() for a in one] == [b.read_bytes() for b in two]


def test_a_slide_is_wide_and_its_type_large(results: xr.Dataset) -> None:
    with figures.using("talk"):
        slide = figures.error_against_molecules(results)
    paper = figures.error_against_molecules(results)
    assert slide.get_size_inches() == pytest.approx([13.333, 7.5])
    assert paper.get_size_inches()[0] == style.WIDTH["single"]
    slide.draw_without_rendering()
    sizes = [t.get_fontsize() for t in slide.findobj(Text) if t.get_text() and t.get_visible()]
    assert min(sizes) >= style.LEAST_TYPE
    strokes = [min(line.get_linewidth() for line in f.axes[0].lines) for f in (slide, paper)]
    assert strokes[0] > 1.6 * strokes[1]


def test_figures_are_drawn_into_parts_of_another(results: xr.Dataset, pool: xr.Dataset) -> None:
    whole = Figure(figsize=(7.0, 6.0), layout="constrained")
    left, right = whole.subfigures(1, 2)
    assert figures.error_against_molecules(results, figure=left) is left
    figures.pool(pool, figure=right)
    alone = table(figures.error_against_molecules(results))
    assert table(left) == alone
    assert len(left.axes) == 1
    assert len(right.axes) == 6
    whole.draw_without_rendering()
    # Ticks keep the look of the figure although they are made outside its style.
    assert left.axes[0].get_xticklabels()[0].get_fontsize() == 7
    inside = left.axes[0].get_tightbbox()
    assert inside.x0 >= left.bbox.x0 - 1
    assert inside.x1 <= left.bbox.x1 + 1
