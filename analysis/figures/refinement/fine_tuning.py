"""How many labels of a new system a method without labels is worth."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....diversity.html import words
from ...refinement.fine_tuning import fine_tuned, labels_needed
from ...refinement.groups import IN_DISTRIBUTION
from ..style import MILLI, Canvas, Column, log_axis, new_figure, pt, stacked, styled, type_size
from ..table import tell
from .look import (
    BLUE,
    experiment_label,
    extent,
    legend_below,
    method_handles,
    method_look,
    named,
)

_LEVELS = ("none", "joint", "test_time", "prior")


def fine_tuning(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the error after fine-tuning on n labelled structures, against methods without labels.

    One panel per kind of shift out of distribution, with 95 % intervals. Where the curve crosses
    test-time training stands how many labels that is worth.
    """
    n_labels, tuned = fine_tuned(results)
    index = results["method"].values.astype(str).tolist()
    error = results["group_force_mae"].mean("replicate").values * MILLI
    bounds = results["group_force_mae_interval"].values * MILLI
    columns = [index.index(m) for m in tuned]
    rows = [
        row
        for row in range(results.sizes["group"])
        if results["group_shift"].values[row] != IN_DISTRIBUTION
        and np.isfinite(error[row, columns]).any()
    ]
    levels = named(results, _LEVELS)
    with styled():
        beside = 2 if stacked(column) else min(max(len(rows), 1), 3)
        n_rows = -(-max(len(rows), 1) // beside)
        figure = new_figure(column, 1.55 * n_rows + 0.6, figure)
        panels = figure.subplots(n_rows, beside, squeeze=False, sharex=True).ravel()
        for axes in panels[len(rows) :]:
            axes.set_visible(False)
        for axes, row in zip(panels, rows, strict=False):
            axes.plot(n_labels, error[row, columns], color=BLUE, marker="o", ms=pt(3), zorder=4)
            axes.vlines(n_labels, *bounds[row, columns].T, color=BLUE, lw=pt(0.8), zorder=3)
            ends = bounds[row, columns]
            tell(axes, "fine-tuned on n labels", n_labels, error[row, columns], bounds=ends)
            seen = [error[row, columns]]
            for method in levels:
                label, colour, line = method_look(method)
                level, (low, high) = (
                    error[row, index.index(method)],
                    bounds[row, index.index(method)],
                )
                axes.axhline(level, color=colour, ls=line, lw=pt(1.0), zorder=2)
                tell(axes, label, None, level, bounds=(low, high))
                if method == "test_time" and np.isfinite([low, high]).all():
                    axes.axhspan(low, high, color=colour, alpha=0.12, lw=0, zorder=1)
                seen.append(np.array([level]))
            _worth(axes, n_labels, error[row, columns], error[row], index)
            least, greatest = extent(np.concatenate(seen), bounds[row, columns])
            log_axis(axes, "y", least / 1.15, greatest * 1.15)
            log_axis(axes, "x", n_labels[0] / 1.3, n_labels[-1] * 1.3, list(n_labels))
            kind = [str(results[f"group_{n}"].values[row]) for n in ("experiment", "shift")]
            axes.set_title(f"{experiment_label(kind[0])}:\n{words(kind[1])}", fontsize=type_size(7))
        for i in range(len(rows)):
            if i + beside >= len(rows):
                panels[i].tick_params(labelbottom=True)
                panels[i].set_xlabel("Labelled structures", fontsize=type_size(7))
        figure.supylabel("Force MAE (meV/Å)", fontsize=type_size(7.5))
        tuned_line = Line2D(
            [], [], color=BLUE, marker="o", ms=pt(3), label="fine-tuned on n labels"
        )
        legend_below(figure, [tuned_line, *method_handles(levels)], column)
    return figure


def _worth(
    axes: Axes, n_labels: np.ndarray, tuned: np.ndarray, of_methods: np.ndarray, index: list[str]
) -> None:
    """Mark how many labels test-time training is worth."""
    if "test_time" not in index:
        return
    target = float(of_methods[index.index("test_time")])
    needed = labels_needed(n_labels, tuned, target)
    if np.isnan(needed):
        return
    colour = method_look("test_time")[1]
    if needed <= n_labels[0]:
        text = f"worth ≤ {n_labels[0]} label" + ("s" if n_labels[0] > 1 else "")
    elif np.isinf(needed):
        text = f"worth > {n_labels[-1]} label" + ("s" if n_labels[-1] > 1 else "")
    else:
        text = f"worth ≈ {needed:.2g} labels"
        axes.plot(needed, target, marker="D", ms=pt(3.5), mfc="white", color=colour, zorder=5)
    axes.text(0.04, 0.04, text, transform=axes.transAxes, fontsize=type_size(6), color=colour)
