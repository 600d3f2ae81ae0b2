"""A map of sets: conformers, molecules or environments on a plane, coloured by what they are."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import (
    CYCLE,
    GREY,
    MILLI,
    SEQUENTIAL,
    Canvas,
    Column,
    legend_columns,
    new_figure,
    pt,
    shortened,
    styled,
    type_size,
)

COLOURS = tuple(CYCLE[i] for i in (1, 3, 2, 4, 0, 5, 6, 7))
"""Of categories, from hue to hue, so that two or three are far apart; of more than eight
categories, the rarest are one: 'others'."""
_ABSENT = "#C8C8C8"
_TAILS = (1.0, 99.0)


def feature_map(
    points: xr.Dataset,
    *,
    color: str | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw points on the plane of PCA or UMAP.

    Both axes have one scale, since distances are what a map shows. UMAP's axes have no ticks:
    neither its directions nor its units mean anything. Colours of numbers span the 1st to the 99th
    percentile; points beyond have the last colour, and the colour bar ends in an arrow.

    Parameters
    ----------
    points : xarray.Dataset
        ``coordinate`` (point, axis) and, by point, the variables that may colour it: texts are
        categories, numbers have ``long_name`` and ``units`` among their attributes and NaN where
        they are not known. Attributes of the Dataset: ``method`` ('pca' or 'umap'),
        ``explained_variance`` (two shares, PCA only) and ``caption``, which says in few words
        what the points are.
    color : str, optional
        Name of a variable.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.

    Returns
    -------
    Figure
    """
    with styled():
        given = figure is not None
        figure = new_figure(column, 3.1 if column == "single" else 4.6, figure)
        axes = figure.subplots()
        # Points stand on each other: in an order by set, the last would hide the others.
        order = np.random.default_rng(0).permutation(points.sizes["point"])
        x, y = points["coordinate"].values[order].T
        options: dict[str, Any] = {"s": _size(len(order), column), "lw": 0, "rasterized": True}
        if color is None:
            axes.scatter(x, y, color=CYCLE[1], alpha=0.7, **options)
        elif points[color].dtype.kind in "UO":
            values = points[color].values[order].astype(str)
            lines = _categories(figure, axes, x, y, values, options, column)
            if not given and pt(1.0) == 1.0:  # the map keeps its height above a long legend
                figure.set_figheight(figure.get_figheight() + 0.125 * (lines - 1))
        else:
            _numbers(figure, axes, x, y, points[color].isel(point=order), options)
        _axes(axes, points)
    return figure


def _size(n: int, column: Column) -> float:
    """Return the area of a point in pt²: as large as so many points leave room for."""
    room = 1.0 if column == "single" else 2.5
    return float(np.clip(2500.0 * room / max(n, 1), 1.5, 14.0)) * pt(1.0) ** 2


def _categories(
    figure: Figure,
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    options: dict[str, Any],
    column: Column,
) -> int:
    """Draw points by category, and name the categories; return the lines that the names take."""
    names, inverse, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    largest = np.argsort(-counts, kind="stable")
    own = names[largest if len(names) <= len(COLOURS) else largest[: len(COLOURS) - 1]]
    colour = {name: COLOURS[i] for i, name in enumerate(sorted(own))}
    of = np.array([colour.get(name, _ABSENT) for name in names], dtype=object)
    under = of[inverse] == _ABSENT
    for rows in (under, ~under):
        axes.scatter(x[rows], y[rows], c=list(of[inverse][rows]), alpha=0.75, **options)
    shown = dict(colour)
    if len(names) > len(own):
        shown[f"{len(names) - len(own)} others"] = _ABSENT
    handles = [
        axes.plot([], [], "o", color=c, ms=pt(4), mew=0, label=shortened(name, column))[0]
        for name, c in shown.items()
    ]
    columns = legend_columns([shortened(name, column) for name in shown], column)
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        fontsize=type_size(6),
        handletextpad=0.1,
        columnspacing=0.9,
        frameon=False,
    )
    return -(-len(shown) // columns)


def _numbers(
    figure: Figure,
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    of: xr.DataArray,
    options: dict[str, Any],
) -> None:
    values = of.values.astype(float)
    known = np.isfinite(values)
    axes.scatter(x[~known], y[~known], color=_ABSENT, **options)
    if not known.any():
        return
    unit = str(of.attrs.get("units", ""))
    if unit.startswith("eV") and np.abs(values[known]).max() < 0.5:
        values, unit = values * MILLI, f"m{unit}"
    low, high = np.percentile(values[known], _TAILS)
    label = f"{of.attrs.get('long_name', of.name)} ({unit})" if unit else str(of.name)
    drawn = axes.scatter(
        x[known], y[known], c=values[known], cmap=SEQUENTIAL, vmin=low, vmax=high, **options
    )
    beyond = (bool((values[known] < low).any()), bool((values[known] > high).any()))
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    bar = figure.colorbar(drawn, ax=axes, extend=ends.get(beyond, "both"), aspect=30, pad=0.02)
    bar.outline.set_linewidth(0.0)
    bar.locator = MaxNLocator(6)
    bar.set_label(label)
    if not known.all():
        absent = axes.scatter(
            [], [], s=pt(3.5) ** 2, color=_ABSENT, label=f"no label ({(~known).sum():,})"
        )
        figure.legend(
            handles=[absent],
            loc="outside upper left",
            fontsize=type_size(6),
            handletextpad=0.1,
            frameon=False,
        )


def _axes(axes: Axes, points: xr.Dataset) -> None:
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.04)
    if points.attrs["method"] == "pca":
        names = [
            f"PC {i + 1} ({100 * share:.0f} % of variance)"
            for i, share in enumerate(points.attrs["explained_variance"])
        ]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
    else:
        names = ["UMAP 1", "UMAP 2"]
        axes.set(xticks=[], yticks=[])
    axes.set(xlabel=names[0], ylabel=names[1])
    if points.attrs.get("caption"):
        axes.set_title(points.attrs["caption"], loc="left", fontsize=type_size(6), color=GREY)
