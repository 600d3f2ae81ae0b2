"""What fine-tuning forgets of the original domain, and what a training set covers."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...finetuning.layout import INDEPENDENT
from ...finetuning.runs import OTHER_ARMS, OWN
from ..style import (
    GREY,
    MARKERS,
    MILLI,
    Canvas,
    Column,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    stacked,
    styled,
    type_size,
)
from ..table import tell
from .errors import lines_by_arm
from .look import (
    arm_handles,
    arm_look,
    arms_in_order,
    frame_ticks,
    legend_below,
    test_run_label,
)


def forgetting(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw how far models move away from the universal one on its own domain.

    (a) Force MAE on other molecules, where the untouched universal model's predictions are the
    reference, as the training set grows; 95 % intervals over replicates × molecules, dots:
    replicates. (b) The same against the error on the independent set: a line runs from the
    universal model (black) through the iterations of an arm.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`, with an original domain.
    column : {'single', 'double'}
        Panels below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    name = "force_mae_original_domain"
    both = INDEPENDENT in results["test_run"].values
    with styled():
        rows, across = (1 + both, 1) if stacked(column) else (1, 1 + both)
        figure = new_figure(column, 1.85 * rows + 0.4, figure)
        panels = figure.subplots(rows, across, squeeze=False).ravel().tolist()
        lines_by_arm(panels[0], results, name, arms, MILLI)
        frame_ticks(panels[0], results)
        text = "Change of forces on the\noriginal domain (meV/Å)"
        panels[0].set_ylabel(text)
        panels[0].set_ylim(0, _most(results, name))
        if both:
            _traded(panels[1], results, name, arms)
            panels[1].set_ylabel(text)
            panels[1].set_ylim(0, _most(results, name))
            panel_letters(panels)
        legend_below(figure, arm_handles(arms), column)
    return figure


def _most(results: xr.Dataset, name: str) -> float:
    value = float(np.nanmax(results[name].values))
    ends = results[f"{name}_interval"].values
    return 1.1 * MILLI * min(float(np.nanmax(np.append(ends, value))), 2.0 * value)


def _traded(axes: Axes, results: xr.Dataset, name: str, arms: list[str]) -> None:
    error = results["force_mae"].sel(test_run=INDEPENDENT)
    means = error.mean("replicate") * MILLI
    for arm in arms:
        label, colour, marker = arm_look(arm)
        x = means.sel(arm=arm).values
        y = results[name].sel(arm=arm).mean("replicate").values * MILLI
        axes.plot(x, y, color=colour, marker=marker, ms=pt(3), lw=pt(0.9), zorder=3)
        kinds = [f"iteration {i}" for i in results["iteration"].values]
        tell(axes, label, x, y, kind=kinds)
    axes.plot(means.values[0, 0], 0.0, "o", ms=pt(4), color="black", clip_on=False, zorder=4)
    values = means.values[np.isfinite(means.values)]
    log_axis(axes, "x", values.min() / 1.2, values.max() * 1.2)
    axes.set_xlabel("Force MAE, independent set (meV/Å)")


def coverage(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the force error of each model on each test run against what its training set covers.

    Coverage: share of the run's atoms whose Q lies within their element's held-out limit. A mark is
    a model of one replicate on one test run. The dashed line is the share that the limit was made
    for.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`, with scores.
    column : {'single', 'double'}
        Panels, by what the models are tested on, below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    present = results["test_run"].values.astype(str)
    kinds = [kind for kind in (OWN, OTHER_ARMS, INDEPENDENT) if kind in present]
    tuned = results.sel(iteration=results["iteration"] > 0)
    iterations = tuned["iteration"].values
    with styled():
        rows, across = (len(kinds), 1) if stacked(column) else (1, len(kinds))
        figure = new_figure(column, 1.45 * rows + 0.75 if rows > 1 else 2.3, figure)
        panels = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True).ravel()
        x = tuned["coverage"].sel(test_run=kinds).values * 100
        y = tuned["force_mae"].sel(test_run=kinds).values * MILLI
        for axes, kind in zip(panels, kinds, strict=True):
            of = tuned.sel(test_run=kind)
            for arm in arms:
                label, colour, _ = arm_look(arm)
                for k, iteration in enumerate(iterations):
                    cell = of.sel(arm=arm, iteration=iteration)
                    inside, missed = cell["coverage"].values * 100, cell["force_mae"].values * MILLI
                    tell(axes, label, inside, missed, kind=f"iteration {iteration}")
                    axes.plot(
                        inside,
                        missed,
                        MARKERS[k % len(MARKERS)],
                        ms=pt(3.2),
                        mew=pt(0.3),
                        mec="white",
                        color=colour,
                    )
            axes.axvline(95, color=GREY, lw=pt(0.6), ls=(0, (5, 2)), zorder=1)
            axes.set_title(test_run_label(kind), fontsize=type_size(7.5))
            axes.set_ylabel("Force MAE (meV/Å)")
            axes.label_outer()
        panels[-1 if stacked(column) else len(kinds) // 2].set_xlabel("Atoms inside (%)")
        log_axis(panels[0], "y", np.nanmin(y) / 1.25, np.nanmax(y) * 1.25)
        low = np.nanmin(x)
        panels[0].set_xlim(low - 0.05 * (101 - low), 101)
        panels[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        marks = [
            Line2D([], [], color=GREY, marker=MARKERS[k], ms=pt(3.2), lw=0, label=f"iteration {i}")
            for k, i in enumerate(iterations.tolist())
        ]
        colours = [
            Line2D([], [], color=arm_look(a)[1], marker="s", ms=pt(4), lw=0, label=arm_look(a)[0])
            for a in arms
        ]
        level = Line2D([], [], color=GREY, lw=pt(0.6), ls=(0, (5, 2)), label="95 %: held-out atoms")
        legend_below(figure, [*colours, *marks, level], column)
        if len(kinds) > 1:
            panel_letters(panels.tolist())
    return figure
