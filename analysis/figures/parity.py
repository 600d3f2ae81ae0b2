"""Predicted against reference forces and conformational energies."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...diversity.html import words
from ..tradeoff.parity import parity_points, parity_statistics
from ..tradeoff.predictions import EXPERIMENTS
from ..tradeoff.summary import grid
from .style import (
    GREY,
    MILLI,
    SEQUENTIAL,
    Canvas,
    Column,
    new_figure,
    on_slide,
    pt,
    styled,
    type_size,
)
from .table import tell_cells

_ROWS = (
    ("forces", "force\ncomponent", "eV/Å", "meV/Å"),
    ("conformational_energies", "conformational\nenergy", "eV", "meV"),
)


def parity(
    predictions: xr.Dataset,
    *,
    designs: Sequence[int] | None = None,
    test_set: str = "unseen_molecules",
    replicate: int | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
    outside: Mapping[str, xr.Dataset] = MappingProxyType({}),
) -> Figure:
    """Draw densities of predicted against reference values, one column of panels per design.

    The numbers in a panel count every point alike, of one replicate: they differ from the errors
    of the study, which are averaged within molecules and over replicates.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.tradeoff.predictions`.
    designs : sequence of int, optional
        Rows of ``design``; by default both ends of the grid at a fixed budget, and in double
        column those of the other experiment too. Of a study of selectors alone: random choice
        and the last selector along each axis.
    test_set : str
        Which test set.
    replicate : int, optional
        Which replicate's model; by default the first in which no model of the designs diverged.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    outside : mapping of str to xarray.Dataset, optional
        Models made elsewhere, by name: the predictions of the study with theirs in place of every
        model's own. Each has a column of panels, on the test set of the last design.
    """
    if designs is None:
        present = set(predictions["experiment"].values.astype(str).tolist())
        experiments = [e for e in EXPERIMENTS if e in present][: 1 if column == "single" else 2]
        grids = [grid(predictions, experiment) for experiment in experiments]
        designs = [int(rows[i]) for rows in grids if rows.size for i in (0, -1)]
        if outside and column == "single":
            designs = designs[-1:]
    modelled = predictions["model_of"].values[np.asarray(designs, dtype=np.int64)] >= 0
    if replicate is None:
        replicate = int(modelled.all(axis=0).argmax())
    points = [parity_points(predictions, d, test_set, replicate=replicate) for d in designs]
    last = designs[-1] if len(designs) else 0
    points += [parity_points(one, last, test_set, replicate=replicate) for one in outside.values()]
    names = list(outside)
    narrow = len(points) > {"single": 2, "double": 4}[column]
    size = 4.5 if narrow else 6.0
    with styled():
        figure = new_figure(column, 3.5 if column == "single" else 3.7, figure)
        shape = (1, 2 * len(points)) if on_slide() and len(points) < 3 else (2, len(points))
        panels = figure.subplots(*shape, squeeze=False).reshape(2, len(points))
        for row, (key, quantity, unit, small_unit) in enumerate(_ROWS):
            extent = max(np.abs(np.concatenate(p[key])).max(initial=0.0) for p in points)
            for index, axes in enumerate(panels[row]):
                there = index >= len(designs) or bool(modelled[index, replicate])
                empty = "no structures" if there else "no model"
                _panel(axes, *points[index][key], extent, small_unit, size, empty)
                titled = row == 0 or shape[0] == 1
                if titled and index >= len(designs):
                    axes.set_title(names[index - len(designs)], fontsize=type_size(7.5))
                elif titled:
                    m, c = (predictions[n].values[designs[index]] for n in _COUNTS)
                    by = [str(predictions[n].values[designs[index]]) for n in _SELECTORS]
                    named = [words(name) for name in by if name != "random"]
                    axes.set_title("\n".join([f"{m:g} × {c:g}", *named]), fontsize=type_size(7.5))
                if index == 0:
                    axes.set_ylabel(f"Predicted {quantity} ({unit})")
                axes.set_xlabel(f"Reference ({unit})", fontsize=type_size(size + 1.5))
        figure.align_ylabels(panels[:, 0])
        figure.suptitle(
            f"Molecules × conformers in training; tested on {words(test_set)}",
            fontsize=type_size(7.5),
        )
        figure.supxlabel(
            "Colour: points per cell, logarithmic", fontsize=type_size(6.5), color=GREY
        )
    return figure


_COUNTS = ("n_molecules", "n_conformers")
_SELECTORS = ("molecule_selector", "conformer_selector")
_PAD = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.75}


def _panel(
    axes: Axes,
    reference: np.ndarray,
    predicted: np.ndarray,
    extent: float,
    unit: str,
    size: float,
    empty: str,
) -> None:
    axes.set_box_aspect(1)
    if not reference.size:
        axes.text(0.5, 0.5, empty, ha="center", va="center", transform=axes.transAxes)
        return
    box = (-extent, extent, -extent, extent)
    cells = axes.hexbin(
        reference,
        predicted,
        gridsize=40,
        extent=box,
        bins="log",
        mincnt=1,
        cmap=SEQUENTIAL,
        linewidths=0,
        rasterized=True,
    )
    tell_cells(axes, cells, "points")
    axes.axline((0, 0), slope=1, color=GREY, lw=pt(0.6))
    axes.set(xlim=box[:2], ylim=box[2:])
    found = parity_statistics(reference, predicted)
    axes.text(
        0.04,
        0.97,
        f"MAE {found['mae'] * MILLI:.0f} {unit}\nRMSE {found['rmse'] * MILLI:.0f} {unit}",
        transform=axes.transAxes,
        va="top",
        fontsize=type_size(size),
        bbox=_PAD,
    )
    axes.text(
        0.97,
        0.04,
        f"r = {found['r']:.3f}\nslope {found['slope']:.2f}",
        transform=axes.transAxes,
        ha="right",
        fontsize=type_size(size),
        bbox=_PAD,
    )
