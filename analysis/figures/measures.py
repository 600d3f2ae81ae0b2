"""Which measure of a training set goes with its error: rank correlations with intervals."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...diversity.html import words
from ..tradeoff.measure_relation import short_name
from .style import GREY, Canvas, Column, new_figure, on_slide, pt, styled, type_size
from .table import tell

_DIVERGING = "RdBu_r"
_ROW = 0.115
"""Inches for a measure."""
_MOST = 14
"""Measures on a slide."""


def measures(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw Spearman's ρ of each measure with the force MAE on each test set.

    A cell has three colours: the lower bound of the 95 % interval, ρ, and the upper bound, from
    left to right, so that a cell of one hue is a sign that is known; it is framed. Measures that
    are constant or known for fewer than four designs on every test set are left out. Double
    column: among all designs, and among those with equally many training conformers. A slide
    shows the measures with the greatest mean |ρ|, and says so.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.relate_measures`.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    name = "measure_error_correlation"
    kinds = {"": "All designs"}
    if column == "double":
        kinds["_at_budget"] = "Equally many training conformers"
    known = np.isfinite(results[name].values)
    columns = np.flatnonzero(known.any(axis=0))
    chosen = np.flatnonzero(known.any(axis=1))
    n_measures = len(chosen)
    if on_slide():
        strength = np.nanmean(np.abs(results[name].values[chosen]), axis=1)
        chosen = np.sort(chosen[np.argsort(-strength, kind="stable")[:_MOST]])
    rows, labels = _rows(results["measure"].values[chosen].astype(str).tolist())
    with styled():
        figure = new_figure(column, _ROW * max(len(labels), 8) + 1.35, figure)
        panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
        for axes, (suffix, title) in zip(panels, kinds.items(), strict=True):
            rho = results[f"{name}{suffix}"].values[np.ix_(chosen, columns)]
            bounds = results[f"{name}{suffix}_interval"].values[np.ix_(chosen, columns)]
            n_designs = int(results[f"measure_error_n_designs{suffix}"].max())
            _panel(axes, rho, bounds, rows)
            axes.set_title(f"{title} ({n_designs})", loc="left", fontsize=type_size(7.5))
            sets = [words(t) for t in results["test_set"].values[columns]]
            for place, name_of_set in enumerate(sets):
                names = results["measure"].values[chosen]
                ends = bounds[:, place]
                of = rho[:, place]
                tell(axes, name_of_set, name_of_set, names, value=of, bounds=ends, value_label="ρ")
            axes.set_xticks(
                range(len(sets)),
                sets,
                rotation=40,
                ha="right",
                rotation_mode="anchor",
                size=type_size(6),
            )
            axes.set_ylim(len(labels) - 0.5, -0.5)
        panels[0].set_yticks(range(len(labels)), labels, size=type_size(5.5))
        for row, text in enumerate(panels[0].get_yticklabels()):
            if row not in rows:
                text.set(fontweight="bold", color=GREY)
        bar = figure.colorbar(
            ScalarMappable(Normalize(-1, 1), _DIVERGING),
            ax=panels,
            location="bottom",
            aspect=40,
            pad=0.01,
            ticks=[-1, -0.5, 0, 0.5, 1],
        )
        text = "ρ: lower | itself | upper bound (95 %)"
        if len(chosen) < n_measures:
            text = f"{text}; the {len(chosen)} strongest of {n_measures} measures"
        bar.set_label(text, size=type_size(6.5))
    return figure


def _rows(measures: list[str]) -> tuple[list[int], list[str]]:
    """Return each measure's row, and the labels of all rows: the parts of a report are headed."""
    rows: list[int] = []
    labels: list[str] = []
    part = None
    for measure in measures:
        before, dot, _ = measure.partition(".")
        heading = before if dot else "size"
        if heading != part:
            labels.append(heading)
            part = heading
        rows.append(len(labels))
        labels.append(short_name(measure))
    return rows, labels


def _panel(axes: Axes, rho: np.ndarray, bounds: np.ndarray, rows: list[int]) -> None:
    colours = mpl.colormaps[_DIVERGING]
    for (measure, place), value in np.ndenumerate(rho):
        if not np.isfinite(value):
            continue
        lower, upper = bounds[measure, place]
        left, row = place - 0.46, rows[measure]
        for part, width in ((lower, 0.26), (value, 0.4), (upper, 0.26)):
            face = colours((part + 1) / 2)
            axes.add_patch(Rectangle((left, row - 0.43), width, 0.86, fc=face, lw=0))
            left += width
        if lower * upper > 0:
            axes.add_patch(
                Rectangle((place - 0.46, row - 0.43), 0.92, 0.86, fill=False, ec="k", lw=pt(0.7))
            )
    axes.set_xlim(-0.5, rho.shape[1] - 0.5)
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
