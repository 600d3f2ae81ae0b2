"""Error against measures of shift, over the training density; with and without refinement."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...refinement.scores import (
    error_by_score,
    error_in_and_out,
    structure_measures,
    training_scores,
)
from ..style import (
    GREY,
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
from ..table import tell, tell_histogram
from .look import (
    BLACK,
    RED,
    experiments,
    extent,
    legend_below,
    measure_label,
    method_handles,
    method_look,
    named,
    nothing,
)

_COMPARED = ("none", "joint", "radius", "test_time", "both")
_DENSITY = "#c4c4c4"
_BAND = "#eeeeee"


def error_against_shift(
    results: xr.Dataset,
    *,
    experiment: str | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the error without refinement over each measure of shift, and in and out of training.

    Grey: density of the training structures. Line: mean force MAE of held-back structures in bins
    of equally many, with its 95 % interval. Bars at the right: the mean in and out of one standard
    deviation about the training mean (the band).

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.refinement.with_scores`.
    experiment : str, optional
        By default the first with force errors.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in: one or two measures beside each other.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    experiment = experiment or experiments(results)[0]
    measures = structure_measures(results)
    with styled():
        figure, panels = _grid(column, len(measures), 1.8, (4, 1), figure)
        handles: list[Any] = [
            Line2D(
                [], [], color=BLACK, marker="o", ms=pt(2.8), label="held-back structures, binned"
            ),
            Patch(color=GREY, label="mean in the band"),
            Patch(color=RED, label="mean out of it"),
        ]
        for (axes, bars), measure in zip(panels, measures, strict=True):
            training = training_scores(results, measure, experiment)
            found = error_by_score(results, measure, experiment)
            _density(axes, training)
            low, high = _lines(axes, found, ["none"])
            if training.size:
                near = error_in_and_out(results, measure, experiment)
                rows = near["force_mae"].sel({"method": "none"}).values * MILLI
                bounds = near["force_mae_interval"].sel({"method": "none"}).values * MILLI
                tell(bars, "no refinement", ["in the band", "out of it"], rows, bounds=bounds)
                for place, (colour, value) in enumerate(zip((GREY, RED), rows, strict=True)):
                    if np.isfinite(value):
                        bars.bar(place, value, color=colour, width=0.75)
                        bars.plot([place] * 2, bounds[place], color=BLACK, lw=pt(0.8))
                counts = near["n_systems"].values
                bars.set_xticks(
                    [0, 1], [f"in\nn={counts[0]}", f"out\nn={counts[1]}"], size=type_size(6)
                )
                least, greatest = extent(rows, bounds)
                low, high = min(low, least), max(high, greatest)
            else:
                nothing(bars, "no training\nscores")
            if np.isfinite([low, high]).all():
                log_axis(axes, "y", low / 1.25, high * 1.25)
            bars.tick_params(labelleft=False)
            axes.set(xlabel=measure_label(measure))
        _label_rows(panels, column)
        panel_letters([axes for axes, _ in panels])
        legend_below(figure, [*_density_handles(), *handles], column)
    return figure


def error_with_refinement(
    results: xr.Dataset,
    *,
    experiment: str | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the error of methods over force norm and the fraction of Laplacian eigenvalues.

    Lines as in :func:`error_against_shift`, of the methods that need no label; those measures that
    structures have.
    """
    experiment = experiment or experiments(results)[0]
    methods = named(results, _COMPARED)
    known = structure_measures(results)
    measures = [m for m in ("force_norm", "connectivity") if m in known]
    with styled():
        figure, panels = _grid(column, len(measures), 2.1, (1,), figure)
        for (axes,), measure in zip(panels, measures, strict=True):
            _density(axes, training_scores(results, measure, experiment))
            found = error_by_score(results, measure, experiment, n_bins=6)
            low, high = _lines(axes, found, methods)
            if np.isfinite([low, high]).all():
                log_axis(axes, "y", low / 1.15, high * 1.15)
            axes.set(xlabel=measure_label(measure))
        _label_rows(panels, column)
        panel_letters([axes for (axes,) in panels])
        legend_below(figure, [*_density_handles(), *method_handles(methods)], column)
    return figure


def _grid(
    column: Column,
    n: int,
    height: float,
    width_ratios: tuple[int, ...],
    figure: Canvas | None,
) -> tuple[Figure, list[list[Axes]]]:
    """Return n panels, each of one or more axes, one or two beside each other."""
    beside = _beside(n, column)
    rows = -(-n // beside)
    figure = new_figure(column, height * rows + 0.55, figure)
    each = len(width_ratios)
    grid = figure.add_gridspec(rows, beside * each, width_ratios=width_ratios * beside)
    panels = []
    for i in range(n):
        row, place = divmod(i, beside)
        first = figure.add_subplot(grid[row, place * each])
        others = [
            figure.add_subplot(grid[row, place * each + k], sharey=first) for k in range(1, each)
        ]
        panels.append([first, *others])
    return figure, panels


def _beside(n: int, column: Column) -> int:
    return 1 if stacked(column) else min(n, 2)


def _label_rows(panels: list[list[Axes]], column: Column) -> None:
    for i, (axes, *_) in enumerate(panels):
        if i % _beside(len(panels), column) == 0:
            axes.set_ylabel("Force MAE (meV/Å)")


def _density_handles() -> list[Patch]:
    return [
        Patch(color=_DENSITY, label="training structures"),
        Patch(color=_BAND, label="their mean ± 1 SD"),
    ]


def _density(axes: Axes, training: np.ndarray) -> None:
    """Fill the lower two thirds of the panel with the histogram of the training structures."""
    if not training.size:
        return
    behind = axes.twinx()
    bins = int(np.clip(2 * len(training) ** 0.5, 8, 40))
    density, edges, _ = behind.hist(
        training, bins=bins, density=True, color=_DENSITY, lw=0, zorder=1
    )
    tell_histogram(axes, "training structures", density, edges, kind="density, own scale")
    behind.set(yticks=[], ylim=(0, behind.get_ylim()[1] * 1.5))
    for spine in behind.spines.values():
        spine.set_visible(False)
    mean, spread = training.mean(), training.std()
    behind.axvspan(mean - spread, mean + spread, color=_BAND, lw=0, zorder=0)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)


def _lines(axes: Axes, found: xr.Dataset, methods: list[str]) -> tuple[float, float]:
    """Draw each method's error by bin, set apart sideways; return the extent of what is drawn."""
    score = found["score"].values
    if not score.size:
        return np.nan, np.nan
    # A share of what the axis will span: scores may all be equal.
    step = 0.008 * np.ptp([*axes.get_xlim(), score.min(), score.max()])
    means, ends = [], []
    for i, method in enumerate(methods):
        name, colour, line = method_look(method)
        of = found.sel({"method": method})
        at = score + step * (i - (len(methods) - 1) / 2)
        mean, bounds = of["force_mae"].values * MILLI, of["force_mae_interval"].values * MILLI
        known = np.isfinite(mean)
        tell(axes, name, score, mean, bounds=bounds, kind="mean of a bin")
        axes.plot(at[known], mean[known], color=colour, ls=line, marker="o", ms=pt(2.8), zorder=4)
        axes.vlines(at, bounds[:, 0], bounds[:, 1], color=colour, lw=pt(0.7), zorder=3)
        means.append(mean)
        ends.append(bounds)
    return extent(np.array(means), np.array(ends))
