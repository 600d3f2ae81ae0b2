"""Selectors against random choice, along each axis."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...diversity.html import words
from ..tradeoff.summary import SELECTOR_AXES, grid
from .style import (
    CYCLE,
    GREY,
    MARKERS,
    MILLI,
    Canvas,
    Column,
    new_figure,
    pt,
    stacked,
    styled,
    type_size,
)
from .table import tell

_TITLES = {
    "molecule_selectors": "Molecules by",
    "conformer_selectors": "Conformers of each molecule by",
}
_LINE = 0.075
"""Inches for each test set of a selector."""


def selectors(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw each selector's force MAE minus that of random choice, paired, with its interval.

    One panel per axis, a row per selector, test sets by colour; hollow where the 95 % interval
    holds zero. All designs of a panel have the same counts, which its title gives.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.measure_errors`, with designs that compare selectors.
    column : {'single', 'double'}
        Panels below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    axes_of = {e: grid(results, e) for e in SELECTOR_AXES}
    axes_of = {e: rows for e, rows in axes_of.items() if len(rows) > 1}
    heights = [len(rows) - 1 for rows in axes_of.values()]
    shown = _shown(results, np.concatenate(list(axes_of.values())))
    with styled():
        per_row = _LINE * (len(shown) + 2)
        if stacked(column):
            figure = new_figure(column, per_row * sum(heights) + 0.45 * len(heights) + 0.75, figure)
            panels = figure.subplots(
                len(heights), 1, squeeze=False, sharex=True, height_ratios=heights
            )[:, 0]
        else:
            figure = new_figure(column, per_row * max(heights) + 1.2, figure)
            panels = figure.subplots(1, len(heights), squeeze=False, sharex=True)[0]
        for axes, (experiment, designs) in zip(panels, axes_of.items(), strict=True):
            _panel(axes, results, experiment, designs, shown)
        for axes in panels[-1:] if stacked(column) else panels:
            axes.set_xlabel("Force MAE minus that of random choice (meV/Å)")
        names = results["test_set"].values
        handles = [
            Line2D(
                [], [], marker=MARKERS[i % 8], color=CYCLE[i % 8], lw=pt(0.8), label=words(names[t])
            )
            for i, t in enumerate(shown)
        ]
        handles.append(
            Line2D([], [], marker="o", mfc="white", color=GREY, lw=pt(0.8), label="95 % holds zero")
        )
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=3 if stacked(column) else 5,
            frameon=False,
            fontsize=type_size(6),
            columnspacing=1.0,
            handletextpad=0.4,
        )
    return figure


def _shown(results: xr.Dataset, designs: np.ndarray) -> list[int]:
    """Return the test sets on which some selector can be compared."""
    difference = results["force_mae_difference"].values[np.ix_(designs, designs)]
    return np.flatnonzero(np.isfinite(difference).any(axis=(0, 1))).tolist()


def _panel(
    axes: Axes, results: xr.Dataset, experiment: str, designs: np.ndarray, shown: list[int]
) -> None:
    random, *others = designs
    step = 1.0 / (len(shown) + 2)
    axes.axvline(0.0, color=GREY, lw=pt(0.8), zorder=1)
    for row, design in enumerate(others):
        for place, t in enumerate(shown):
            y = row + step * (place - (len(shown) - 1) / 2)
            difference = results["force_mae_difference"].values[design, random, t] * MILLI
            bounds = results["force_mae_difference_interval"].values[design, random, t] * MILLI
            if not np.isfinite(difference):
                continue
            colour = CYCLE[place % len(CYCLE)]
            axes.plot(bounds, [y, y], color=colour, lw=pt(0.9), zorder=2)
            axes.plot(
                difference,
                y,
                marker=MARKERS[place % len(MARKERS)],
                ms=pt(3.2),
                mew=pt(0.8),
                color=colour,
                mfc=colour if bounds[0] * bounds[1] > 0 else "white",
                zorder=3,
            )
        if row:
            axes.axhline(row - 0.5, color="#DDDDDD", lw=pt(0.6), zorder=0)
    names = [words(results[SELECTOR_AXES[experiment]].values[d]) for d in others]
    for t in shown:
        difference = results["force_mae_difference"].values[others, random, t] * MILLI
        bounds = results["force_mae_difference_interval"].values[others, random, t] * MILLI
        tell(axes, words(results["test_set"].values[t]), difference, names, x_bounds=bounds)
    axes.set(ylim=(len(others) - 0.5, -0.5), yticks=range(len(others)), yticklabels=names)
    axes.tick_params(axis="y", length=0)
    m, c = (results[n].values[random] for n in ("n_molecules", "n_conformers"))
    axes.set_title(f"{_TITLES[experiment]} … ({m} × {c})", loc="left", fontsize=type_size(7.5))
