"""Training sets among the principal components of their environments, and how they grow."""

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..style import (
    GREY,
    SEQUENTIAL,
    Canvas,
    Column,
    new_figure,
    pt,
    styled,
    type_size,
)
from ..table import tell
from .look import arm_look, arms_in_order, beside, legend_below

_PALE = "#BBBBBB"


def components(
    growth: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the frames of each arm's sets among two principal components, and what the sets span.

    A frame stands at the mean of its atoms' environments. Colour: the iteration that added it, all
    replicates together; grey: the independent set. Last panel: area of the convex hull of a
    replicate's cumulative set, mean and 95 % interval over replicates; dots: replicates.

    Parameters
    ----------
    growth : xarray.Dataset
        From :func:`breadth.analysis.finetuning.set_growth`.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(growth["set"].values.astype(str).tolist())
    iterations = growth["set_iteration"].values
    colours = mpl.colormaps[SEQUENTIAL](np.linspace(0.0, 0.88, len(iterations)))
    with styled():
        rows, across = beside(len(arms) + 1, column)
        figure = new_figure(column, 1.55 * rows + 0.35, figure)
        grid = figure.add_gridspec(rows, across)
        panels = [figure.add_subplot(grid[k // across, k % across]) for k in range(len(arms))]
        for axes, arm in zip(panels, arms, strict=True):
            if axes is not panels[0]:
                axes.sharex(panels[0])
                axes.sharey(panels[0])
            _frames(axes, growth, arm, colours)
            axes.set_xlabel(_axis_label(growth, 0))
            axes.locator_params(axis="x", nbins=3)
            if axes in panels[::across]:
                axes.set_ylabel(_axis_label(growth, 1))
            else:
                axes.tick_params(labelleft=False)
        # What is left of the last row is the areas'.
        _areas(figure.add_subplot(grid[-1, len(arms) % across :]), growth, arms)
        marks = [
            Line2D([], [], color=c, marker="o", ms=pt(3), lw=0, label=f"added in iteration {i}")
            for c, i in zip(colours, iterations.tolist(), strict=True)
        ]
        if growth.sizes["independent"]:
            marks.append(
                Line2D([], [], color=_PALE, marker="o", ms=pt(3), lw=0, label="independent")
            )
        legend_below(figure, marks, column)
    return figure


def _axis_label(growth: xr.Dataset, axis: int) -> str:
    share = ""
    if "explained_variance" in growth:
        share = f" ({100 * float(growth['explained_variance'][axis]):.0f} %)"
    return f"PC {axis + 1}{share}"


def _frames(axes: Axes, growth: xr.Dataset, arm: str, colours: Any) -> None:
    name, colour, _ = arm_look(arm)
    known = growth["independent_x"], growth["independent_y"]
    axes.plot(*known, ".", ms=pt(2.5), color=_PALE, zorder=1)
    tell(axes, "independent", *known, panel=name)
    of_arm = growth["arm"].values.astype(str) == arm
    # The first to be added are few and lie inside the later ones: they are drawn last.
    for k, iteration in reversed(list(enumerate(growth["set_iteration"].values))):
        rows = of_arm & (growth["iteration"].values == iteration)
        at = growth["x"].values[rows], growth["y"].values[rows]
        tell(axes, f"added in iteration {iteration}", *at, panel=name)
        axes.plot(
            *at,
            "o",
            ms=pt(2.6),
            mew=pt(0.2),
            mec="white",
            color=colours[k],
            zorder=2 + len(colours) - k,
        )
    axes.set_title(name, fontsize=type_size(7.5), color=colour)


def _areas(axes: Axes, growth: xr.Dataset, arms: list[str]) -> None:
    iterations = growth["set_iteration"].values
    for k, arm in enumerate(arms):
        name, colour, marker = arm_look(arm)
        of = growth.sel(set=arm)
        x = iterations + 0.09 * (k - (len(arms) - 1) / 2)
        axes.plot(x, of["area"].values, ".", ms=pt(2), color=colour, alpha=0.6, zorder=2)
        axes.vlines(x, *of["area_interval"].values.T, color=colour, lw=pt(0.8), zorder=3)
        mean = of["area"].mean("set_replicate").values
        axes.plot(x, mean, color=colour, marker=marker, ms=pt(3), lw=pt(0.9), zorder=4)
        tell(axes, name, iterations, mean, bounds=of["area_interval"].values, kind="mean")
        for replicate, areas in enumerate(of["area"].transpose("set_replicate", ...).values):
            tell(axes, name, iterations, areas, kind=f"replicate {replicate}")
    most = np.nanmax(growth["area"].values)
    ends = growth["area_interval"].values
    axes.set_ylim(0, 1.1 * min(np.nanmax(np.append(ends, most)), 2.0 * most))
    axes.set_xticks(iterations)
    axes.set_xlabel("Iteration")
    axes.set_title("hulls of sets", fontsize=type_size(7.5))
    if growth.attrs["relative"]:
        axes.axhline(1.0, color=GREY, lw=pt(0.6), ls=(0, (5, 2)), zorder=1)
        axes.set_ylabel("Area ÷ independent set’s")
    else:
        axes.set_ylabel("Area")
