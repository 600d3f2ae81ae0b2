"""Does a broader training set leave less to win back? Error, shift and gain against molecules."""

from dataclasses import dataclass
from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..style import (
    GREY,
    MILLI,
    Canvas,
    Column,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    spaced,
    stacked,
    styled,
)
from ..table import tell
from .gain import default_measure
from .look import (
    experiments,
    group_handles,
    group_looks,
    legend_below,
    measure_label,
    method_look,
    named,
)


@dataclass(frozen=True)
class _Panel:
    """A variable over groups, what selects from it, and what its axis says."""

    name: str
    selected: dict[str, str]
    factor: float
    label: str
    logarithmic: bool = False


def breadth(
    results: xr.Dataset,
    *,
    experiment: str | None = None,
    method: str | None = None,
    measure: str | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw error, shift and gain over the number of training molecules at a fixed budget.

    One line per kind of shift, with 95 % intervals over training sets and systems. Single column:
    the error without refinement, the shift, and the gain in meV/Å, below each other; double: the
    gain relative to the error too.

    Parameters
    ----------
    results : xarray.Dataset
        With a dimension ``design`` that has ``n_molecules``.
    experiment : str, optional
        By default the first with force errors.
    method : str, optional
        Whose gain; by default test-time training's, or that of the first other method.
    measure : str, optional
        Whose quantiles, or scores where there are none; by default ``knn`` if taken, else the
        first.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    experiment = experiment or experiments(results)[0]
    designs = _fixed_budget(results)
    x = results["n_molecules"].values[designs].astype(float)
    looks = group_looks(results, experiment)
    others = [m for m in named(results) if m != "none"]
    if method is None and others:
        method = "test_time" if "test_time" in others else others[0]
    chosen = _panels(results, method, measure, [row for row, *_ in looks])
    if column == "single":
        chosen = [p for p in chosen if p.name != "group_relative_gain"]
    with styled():
        stack = stacked(column)
        across = 1 if stack else 2 if column == "double" else len(chosen)
        rows, beside = -(-len(chosen) // across), across
        figure = new_figure(column, 1.65 * rows + 0.9, figure)
        panels = figure.subplots(rows, beside, squeeze=False, sharex=True).ravel()
        for axes, panel in zip(panels, chosen, strict=False):
            _draw(axes, results, designs, x, panel, looks)
        for axes in panels[len(chosen) :]:
            axes.set_visible(False)
        ticks = spaced(list(x), ratio=1.25)
        log_axis(panels[0], "x", x.min() / 1.2, x.max() * 1.2, ticks)
        for i in range(len(chosen)):
            if i + beside >= len(chosen):
                panels[i].tick_params(labelbottom=True)
                panels[i].set_xlabel("Training molecules (budget fixed)")
        panel_letters(panels[: len(chosen)].tolist())
        figure.align_ylabels(panels[: len(chosen)])
        legend_below(figure, group_handles(looks), column, title="Tested on")
    return figure


def _fixed_budget(results: xr.Dataset) -> np.ndarray:
    """Return the rows of the designs at a fixed budget, by their molecules."""
    molecules = results["n_molecules"].values
    rows = np.arange(len(molecules))
    if "design_experiment" in results:
        rows = rows[results["design_experiment"].values.astype(str) == "fixed_budget"]
    return rows[np.argsort(molecules[rows], kind="stable")]


def _panels(
    results: xr.Dataset, method: str | None, measure: str | None, groups: list[int]
) -> list[_Panel]:
    plain = {"method": "none"}
    panels = [
        _Panel("group_force_mae", plain, MILLI, "Error, no refinement\n(force MAE, meV/Å)", True)
    ]
    if method is not None:
        of, name = {"method": method}, method_look(method)[0]
        panels += [
            _Panel("group_gain", of, MILLI, f"Gain, {name}\n(force MAE, meV/Å)"),
            _Panel("group_relative_gain", of, 100.0, f"Gain, {name}\n(% of the error)"),
        ]
    if "group_shift_score" in results:
        measure = measure or default_measure(results, groups)
        label = measure_label(measure)
        label = label[0].lower() + label[1:]
        shift = _Panel("group_shift_score", {"measure": measure}, 1.0, f"Shift\n({label})")
        quantile = results.get("group_shift_quantile")
        if (
            quantile is not None
            and quantile.sel(measure=measure).isel(group=groups).notnull().any()
        ):
            label = fill(f"Shift (quantile of {label})", 30)
            shift = _Panel("group_shift_quantile", {"measure": measure}, 1.0, label)
        panels.insert(1, shift)
    return panels


def _draw(
    axes: Axes,
    results: xr.Dataset,
    designs: np.ndarray,
    x: np.ndarray,
    panel: _Panel,
    looks: list[tuple[int, str, str, str]],
) -> None:
    table = results[panel.name].isel(design=designs).sel(panel.selected)
    mean = (table.mean("replicate") if "replicate" in table.dims else table).transpose(
        "design", "group"
    )
    bounds = results.get(f"{panel.name}_interval")
    drawn = []
    for place, (row, name, colour, marker) in enumerate(looks):
        # Lines are set apart sideways by a few per cent, so that bars do not hide each other.
        at = x * 1.025 ** (place - (len(looks) - 1) / 2)
        y = mean.values[:, row] * panel.factor
        axes.plot(at, y, color=colour, marker=marker, ms=pt(3.2), lw=pt(0.9), zorder=3)
        drawn.append(y)
        ends = None
        if bounds is not None:
            of = bounds.isel(design=designs, group=row).sel(panel.selected)
            low, high = of.transpose("bound", "design").values * panel.factor
            axes.vlines(at, low, high, color=colour, lw=pt(0.7), zorder=2)
            drawn += [low, high]
            ends = np.stack([low, high], axis=-1)
        tell(axes, name, x, y, bounds=ends)
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if panel.logarithmic and values.size:
        log_axis(axes, "y", values.min() / 1.1, values.max() * 1.1)
    elif values.size and values.min() <= 0 <= values.max():
        axes.axhline(0, color=GREY, lw=pt(0.6), zorder=1)
    axes.set_ylabel(panel.label)
