"""Errors as training sets grow: energy residuals of every model, forces by arm, stability."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...finetuning.layout import INDEPENDENT
from ...finetuning.runs import OTHER_ARMS, OWN
from ..style import (
    GREY,
    MILLI,
    Canvas,
    Column,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    styled,
    type_size,
)
from ..table import tell
from .look import (
    arm_handles,
    arm_look,
    arms_in_order,
    beside,
    frame_counts,
    frame_ticks,
    legend_below,
    test_run_label,
)

_APART = 0.24
"""Iterations between the marks of replicates."""


def energy_residuals(
    results: xr.Dataset,
    *,
    test_run: str = OWN,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the energy residuals of every model on its own run, arm beside arm.

    One bar per replicate: the middle half of its frames, thin lines from the 5th to the 95th
    percentile, a dot at the median. Numbers: root mean square over frames, mean over replicates,
    meV per atom. The same universal model stands first in every arm.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`.
    test_run : str
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    of = results.sel(test_run=test_run)
    quantile = of["energy_residual_quantile"] * MILLI
    rms = of["energy_residual"].mean("replicate") * MILLI
    with styled():
        rows, across = beside(len(arms), column)
        figure = new_figure(column, 1.75 * rows + 0.25, figure)
        panels = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in panels[len(arms) :]:
            axes.set_visible(False)
        for axes, arm in zip(panels, arms, strict=False):
            name, colour, _ = arm_look(arm)
            axes.axhline(0, color=GREY, lw=pt(0.6), zorder=1)
            table = quantile.sel(arm=arm).transpose("iteration", "replicate", "quantile").values
            for (i, r), low, lower, middle, upper, high in _bars(table):
                x = results["iteration"].values[i] + _APART * (r - (table.shape[1] - 1) / 2)
                shade = "black" if results["iteration"].values[i] == 0 else colour
                axes.vlines(x, low, high, color=shade, lw=pt(0.7), zorder=2)
                axes.vlines(x, lower, upper, color=shade, lw=pt(3.2), zorder=3)
                axes.plot(x, middle, "o", ms=pt(2.4), mfc="white", mec=shade, mew=pt(0.6), zorder=4)
                frames = frame_counts(results)[i]
                for ends, kind in (((lower, upper), "middle half"), ((low, high), "5 to 95 %")):
                    tell(axes, f"replicate {r}", frames, middle, bounds=ends, kind=kind)
            axes.set_title(name, fontsize=type_size(7.5), color=colour, pad=pt(10))
            for i, value in zip(results["iteration"].values, rms.sel(arm=arm).values, strict=True):
                if np.isfinite(value):
                    _above(axes, i, f"{value:.1f}" if value < 99.5 else f"{value:.0f}")
            if axes in panels[::across]:
                _above(axes, -1.0, "RMS")
            frame_ticks(axes, results)
            axes.set_xlim(-0.6, results["iteration"].values[-1] + 0.6)
            axes.label_outer()
        for i in range(len(arms)):
            if i + across >= len(arms):
                panels[i].tick_params(labelbottom=True)
                frame_ticks(panels[i], results)
        figure.supylabel(
            f"Energy residual, {test_run_label(test_run)} (meV/atom)", fontsize=type_size(7.5)
        )
    return figure


def _bars(table: np.ndarray) -> list[tuple]:
    return [
        (place, *table[place])
        for place in np.ndindex(*table.shape[:2])
        if np.isfinite(table[place]).all()
    ]


def _above(axes: Axes, x: float, text: str) -> None:
    """Write a number above the panel."""
    axes.text(
        x,
        1.01,
        text,
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=type_size(5.5),
    )


def errors(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the force error of each arm as its training set grows, and how long its runs lasted.

    Lines: means over replicates of the dynamics, with 95 % intervals; dots: replicates. Three
    panels by what the models are tested on; in the last one, the time until a bond of a model's own
    run is torn, where a run that was stable to its end counts with its length.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    present = results["test_run"].values.astype(str)
    kinds = [kind for kind in (OWN, OTHER_ARMS, INDEPENDENT) if kind in present]
    stable = "stability_time" in results and OWN in kinds
    with styled():
        count = len(kinds) + stable
        rows, across = beside(count, column)
        figure = new_figure(column, 1.7 * rows + 0.35, figure)
        panels = figure.subplots(rows, across, squeeze=False).ravel().tolist()
        for axes in panels[count:]:
            axes.set_visible(False)
        shown = results["force_mae"].sel(test_run=kinds).values * MILLI
        ends = results["force_mae_interval"].sel(test_run=kinds).values * MILLI
        low, high = _limits(shown, ends)
        for axes, kind in zip(panels, kinds, strict=False):
            lines_by_arm(axes, results, "force_mae", arms, MILLI, test_run=kind)
            axes.set_title(test_run_label(kind), fontsize=type_size(7))
            log_axis(axes, "y", low, high)
            axes.set_ylabel("Force MAE (meV/Å)")
        if stable:
            lines_by_arm(panels[count - 1], results, "stability_time", arms, 1.0, test_run=OWN)
            panels[count - 1].set_title("own dynamics", fontsize=type_size(7))
            panels[count - 1].set(ylabel="Stable for (ps)", ylim=(0, None))
        for axes in panels[:count]:
            frame_ticks(axes, results)
        if count > 1:
            panel_letters(panels[:count])
        legend_below(figure, arm_handles(arms), column)
    return figure


def lines_by_arm(
    axes: Axes,
    results: xr.Dataset,
    name: str,
    arms: list[str],
    factor: float,
    *,
    test_run: str | None = None,
) -> None:
    """Draw a quantity over iterations, a line per arm, set apart so that intervals are seen."""
    table, bounds = results[name], results[f"{name}_interval"]
    if test_run is not None:
        table, bounds = table.sel(test_run=test_run), bounds.sel(test_run=test_run)
    for k, arm in enumerate(arms):
        label, colour, marker = arm_look(arm)
        x = results["iteration"].values + 0.1 * (k - (len(arms) - 1) / 2)
        values = table.sel(arm=arm).transpose("iteration", "replicate").values * factor
        axes.plot(x, values, ".", ms=pt(2), color=colour, alpha=0.6, zorder=2)
        axes.vlines(x, *bounds.sel(arm=arm).values.T * factor, color=colour, lw=pt(0.8), zorder=3)
        known = np.isfinite(values).any(axis=1)
        mean = np.nanmean(values[known], axis=1)
        axes.plot(x[known], mean, color=colour, marker=marker, ms=pt(3), lw=pt(0.9), zorder=4)
        at = frame_counts(results)
        ends = bounds.sel(arm=arm).values[known] * factor
        tell(axes, label, at[known], mean, bounds=ends, kind="mean")
        for replicate, of in enumerate(values.T):
            tell(axes, label, at, of, kind=f"replicate {replicate}")


def _limits(values: np.ndarray, bounds: np.ndarray) -> tuple[float, float]:
    """Return limits that hold all values, and of the bounds what is within a factor of two."""
    values, bounds = values[np.isfinite(values)], bounds[np.isfinite(bounds)]
    both = np.append(values, bounds)
    low = max(both.min(), values.min() / 2.0)
    return low / 1.1, min(both.max(), values.max() * 2.0) * 1.1
