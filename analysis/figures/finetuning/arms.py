"""Arms against each other: paired differences, and errors element by element."""

from itertools import combinations

import numpy as np
import xarray as xr
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...finetuning.layout import INDEPENDENT, UNIVERSAL
from ...finetuning.runs import OTHER_ARMS, OWN
from ..style import (
    GREY,
    MILLI,
    Canvas,
    Column,
    new_figure,
    panel_letters,
    pt,
    stacked,
    styled,
    type_size,
)
from ..table import tell
from .look import (
    BLACK,
    BLUE,
    RED,
    arm_handles,
    arm_look,
    arms_in_order,
    legend_below,
    test_run_label,
)

_RUNS = {
    INDEPENDENT: (BLACK, "o"),
    UNIVERSAL: (GREY, "D"),
    OWN: (BLUE, "s"),
    OTHER_ARMS: (RED, "^"),
}


def arm_differences(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw by how much one arm's last models err less than another's, pair by pair.

    Differences of the force MAE, paired by replicate of the dynamics, with 95 % intervals; those
    that are far wider than the differences are cut. Both are tested on the same frames, but for
    each one's own run; runs of third arms stand in where a study has none of the others.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`, with two arms or more.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    pairs = list(combinations(arms, 2))
    present = [run for run in _RUNS if run in results["test_run"].values]
    runs = [run for run in present if run != OTHER_ARMS] or present
    last = results.isel(iteration=-1)
    with styled():
        figure = new_figure(column, 0.34 * len(pairs) + 1.0, figure)
        axes = figure.subplots()
        axes.axvline(0, color=GREY, lw=pt(0.6), zorder=1)
        seen = []
        names = [f"{arm_look(a)[0]} − {arm_look(b)[0]}" for a, b in pairs]
        for k, run in enumerate(runs):
            colour, marker = _RUNS[run]
            for row, (one, other) in enumerate(pairs):
                cell = {"arm": one, "other": other, "test_run": run}
                value = float(last["force_mae_difference"].sel(cell)) * MILLI
                low, high = last["force_mae_difference_interval"].sel(cell).values * MILLI
                tell(axes, test_run_label(run), value, names[row], x_bounds=(low, high))
                y = row + 0.22 * (k - (len(runs) - 1) / 2)
                axes.hlines(y, low, high, color=colour, lw=pt(0.8), zorder=2)
                axes.plot(value, y, marker, ms=pt(3), color=colour, zorder=3)
                seen.append(abs(value))
        most = 3.0 * max(np.nanmax(seen), 1e-3)  # two replicates give no end of an interval
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -most), min(high, most))
        axes.set_yticks(range(len(pairs)), names, size=type_size(6.5))
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        text = "Difference in force MAE (meV/Å)\nleft of zero the first errs less"
        axes.set_xlabel(text, fontsize=type_size(7))
        handles = [
            Line2D([], [], color=c, marker=m, ms=pt(3), lw=pt(0.8), label=test_run_label(run))
            for run, (c, m) in _RUNS.items()
            if run in runs
        ]
        legend_below(figure, handles, column)
    return figure


def element_errors(
    results: xr.Dataset,
    *,
    test_run: str = INDEPENDENT,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the force error of each element, for the universal model and each arm's last model.

    (a) Mean absolute error; (b) relative to the element's mean absolute force component. Means over
    replicates with 95 % intervals.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`.
    test_run : str
        On whose frames.
    column : {'single', 'double'}
        Panels below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    of = results.sel(test_run=test_run)
    with styled():
        rows, across = (2, 1) if stacked(column) else (1, 2)
        figure = new_figure(column, 1.5 * rows + 0.55 if rows > 1 else 2.2, figure)
        panels = figure.subplots(rows, across, squeeze=False, sharex=True).ravel().tolist()
        _elements(panels[0], of, "force_mae_element", arms, MILLI)
        panels[0].set_ylabel("Force MAE (meV/Å)")
        _elements(panels[1], of, "relative_force_mae_element", arms, 100.0)
        panels[1].set_ylabel("÷ mean |force| (%)")
        panel_letters(panels)
        panels[0].set_title(test_run_label(test_run), fontsize=type_size(7.5))
        shown = arms if test_run == OTHER_ARMS else [UNIVERSAL, *arms]
        legend_below(figure, arm_handles(shown), column)
    return figure


def _elements(axes: Axes, of: xr.Dataset, name: str, arms: list[str], factor: float) -> None:
    elements = [chemical_symbols[z] for z in of["element"].values]
    cells = [(UNIVERSAL, arms[0], 0), *((arm, arm, -1) for arm in arms)]
    if str(of["test_run"].values) == OTHER_ARMS:  # for the universal model no set of its own
        cells = cells[1:]
    highest = 0.0
    for k, (label, arm, iteration) in enumerate(cells):
        name_of_arm, colour, marker = arm_look(label)
        x = np.arange(len(elements)) + 0.13 * (k - (len(cells) - 1) / 2)
        part = of.sel(arm=arm).isel(iteration=iteration)
        values = part[name].mean("replicate").values * factor
        axes.vlines(
            x, *part[f"{name}_interval"].values.T * factor, color=colour, lw=pt(0.8), zorder=2
        )
        axes.plot(x, values, marker, ms=pt(3), color=colour, zorder=3)
        tell(axes, name_of_arm, elements, values, bounds=part[f"{name}_interval"].values * factor)
        highest = max(highest, float(np.nanmax(values)))
    axes.set_ylim(0, min(axes.get_ylim()[1], 1.8 * highest))
    axes.set_xticks(range(len(elements)), elements)
