"""Predicted against reference forces, element by element."""

from collections.abc import Mapping

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...tradeoff.parity import parity_statistics
from ..style import (
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
from ..table import tell_cells
from .look import arm_look, arms_in_order

Points = Mapping[int, tuple[np.ndarray, np.ndarray]]
_PAD = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.75}


def force_parity(
    points: Mapping[str, Points],
    *,
    test_run: str = "",
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw densities of predicted against reference force components.

    A row per element, a column per model; all replicates together. Slopes below one: the model is
    too soft.

    Parameters
    ----------
    points : mapping of str to mapping
        ``universal`` and arms, each from :func:`breadth.analysis.finetuning.element_parity`.
    test_run : str
        What a title calls the frames.
    column : {'single', 'double'}
        Single column, and a slide, show the universal model and the last of the arms given;
        double, all.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    names = [name for name in arms_in_order(list(points)) if points[name]]
    every = column == "double" and not on_slide()
    shown = names if every else [names[0], names[-1]][: len(names)]
    elements = sorted({z for name in shown for z in points[name]})
    with styled():
        height = 1.25 if column == "single" else 1.2
        rows = len(shown) if on_slide() else len(elements)
        figure = new_figure(column, height * rows + 0.5, figure)
        if on_slide():  # elements beside each other
            whole = figure.subplots(len(shown), len(elements), squeeze=False, sharex="col")
            panels = whole.T
        else:
            whole = figure.subplots(len(elements), len(shown), squeeze=False, sharex="row")
            panels = whole
        for row, z in zip(panels, elements, strict=True):
            # Few components lie far outside the others: all are counted, not all are seen.
            largest = [
                np.abs(np.concatenate(points[name][z])) for name in shown if z in points[name]
            ]
            extent = 1.05 * max(float(np.quantile(x, 0.999)) for x in largest)
            for axes, name in zip(row, shown, strict=True):
                panel = f"{chemical_symbols[z]}: {arm_look(name)[0]}"
                _panel(axes, *points[name].get(z, (np.empty(0), np.empty(0))), extent, panel)
                label, colour, _ = arm_look(name)
                if on_slide():
                    label = panel
                if axes in whole[0] or on_slide():
                    axes.set_title(label, fontsize=type_size(7.5), color=colour)
                if axes in whole[-1]:
                    axes.set_xlabel("Reference (eV/Å)", fontsize=type_size(7))
                if axes in whole[:, 0]:
                    element = "" if on_slide() else f"{chemical_symbols[z]}: "
                    axes.set_ylabel(f"{element}predicted", fontsize=type_size(7))
        text = "Colour: components per cell, logarithmic; MAE in meV/Å"
        figure.supxlabel(
            f"{test_run}. {text}" if test_run else text, fontsize=type_size(6), color=GREY
        )
    return figure


def _panel(
    axes: Axes, reference: np.ndarray, predicted: np.ndarray, extent: float, panel: str
) -> None:
    axes.set_box_aspect(1)
    axes.axline((0, 0), slope=1, color=GREY, lw=pt(0.6))
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent))
    axes.locator_params(nbins=4)
    if not reference.size:
        return
    cells = axes.hexbin(
        reference,
        predicted,
        gridsize=36,
        extent=(-extent, extent, -extent, extent),
        bins="log",
        mincnt=1,
        cmap=SEQUENTIAL,
        linewidths=0,
        rasterized=True,
    )
    tell_cells(axes, cells, "components", panel)
    found = parity_statistics(reference, predicted)
    axes.text(
        0.04,
        0.97,
        f"MAE {found['mae'] * MILLI:.0f}\nslope {found['slope']:.2f}",
        transform=axes.transAxes,
        va="top",
        fontsize=type_size(5.5),
        bbox=_PAD,
    )
