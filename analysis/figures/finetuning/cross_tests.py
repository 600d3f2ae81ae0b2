"""Every arm tested on the runs of every other: a matrix of errors."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...finetuning.layout import INDEPENDENT, UNIVERSAL
from ..style import (
    MILLI,
    SEQUENTIAL,
    Canvas,
    Column,
    new_figure,
    panel_letters,
    pt,
    styled,
    type_size,
)
from ..table import tell
from .look import arm_look, arms_in_order

_SHOWN = (
    ("force_mae", "Force MAE (meV/Å)"),
    ("energy_spread", "Spread of energy residuals (meV/atom)"),
)


def cross_tests(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the error of the last model of each arm on the run of every arm's last model.

    Numbers: means over replicates of the dynamics, with the 95 % interval below. A model's own run
    is on the diagonal, framed. The universal model stands in the first row, the independent set in
    the last column.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.finetuning.finetuning_errors`.
    column : {'single', 'double'}
        Single column: forces; double: the spread of energy residuals too.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    arms = arms_in_order(results["arm"].values.astype(str).tolist())
    present = results["test_run"].values.astype(str).tolist()
    runs = [run for run in (UNIVERSAL, *arms, INDEPENDENT) if run in present]
    shown = _SHOWN[: 1 if column == "single" else 2]
    with styled():
        figure = new_figure(column, 0.44 * (len(arms) + 1) + 0.95, figure)
        panels = figure.subplots(1, len(shown), squeeze=False)[0].tolist()
        for axes, (name, title) in zip(panels, shown, strict=True):
            _matrix(axes, results, name, arms, runs)
            axes.set_title(title, fontsize=type_size(7.5))
            axes.set_xlabel("Tested on the run of")
        panels[0].set_ylabel("Fine-tuned by")
        for axes in panels[1:]:
            axes.set_yticklabels([])
        if len(panels) > 1:
            panel_letters(panels)
    return figure


def _matrix(axes: Axes, results: xr.Dataset, name: str, arms: list[str], runs: list[str]) -> None:
    rows = [(arms[0], 0), *((arm, results["iteration"].values[-1]) for arm in arms)]
    mean = results[name].mean("replicate") * MILLI
    ends = results[f"{name}_interval"] * MILLI
    values = np.array(
        [[float(mean.sel(arm=a, iteration=i, test_run=t)) for t in runs] for a, i in rows]
    )
    norm = LogNorm(np.nanmin(values), np.nanmax(values))
    axes.imshow(values, norm=norm, cmap=SEQUENTIAL, aspect="auto")
    labels = [arm_look(arm if i else UNIVERSAL)[0] for arm, i in rows]
    names = ["independent" if run == INDEPENDENT else arm_look(run)[0] for run in runs]
    for r, (arm, iteration) in enumerate(rows):
        of = ends.sel(arm=arm, iteration=iteration, test_run=runs).transpose("test_run", ...)
        tell(axes, labels[r], names, labels[r], value=values[r], bounds=of.values)
    for r, (arm, iteration) in enumerate(rows):
        for c, run in enumerate(runs):
            value = values[r, c]
            if not np.isfinite(value):
                continue
            ink = "white" if norm(value) < 0.6 else "black"
            low, high = ends.sel(arm=arm, iteration=iteration, test_run=run).values
            certain = np.isfinite(low)
            axes.text(
                c,
                r - 0.14 * certain,
                _number(value),
                ha="center",
                va="center",
                size=type_size(7),
                color=ink,
            )
            if certain:
                text = f"{_number(low)}–{_number(high)}"
                axes.text(
                    c, r + 0.24, text, ha="center", va="center", size=type_size(4.8), color=ink
                )
            if (arm if iteration else UNIVERSAL) == run:
                axes.add_patch(
                    Rectangle((c - 0.48, r - 0.48), 0.96, 0.96, fill=False, ec=ink, lw=pt(1.2))
                )
    axes.set_yticks(range(len(rows)), labels, size=type_size(6.5))
    axes.set_xticks(
        range(len(runs)),
        names,
        size=type_size(6.5),
        rotation=30,
        ha="right",
        rotation_mode="anchor",
    )
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
