"""What each method wins: gain against shift, and molecules per error."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...refinement.groups import IN_DISTRIBUTION
from ..style import (
    GREY,
    MILLI,
    Canvas,
    Column,
    apart,
    log_axis,
    new_figure,
    on_slide,
    pt,
    round_ticks,
    stacked,
    styled,
    type_size,
)
from ..table import tell, tell_histogram
from .look import (
    METHODS,
    experiment_label,
    experiments,
    group_handles,
    group_looks,
    legend_below,
    measure_label,
    method_handles,
    method_look,
    named,
    nothing,
    wrapped,
)

_COMPARED = ("none", "radius", "test_time", "both", "delta")
_SPREAD = 4.0
"""Ratio of scores beyond which their axis is logarithmic."""
_GAP = 0.13
"""Share of the axis that marks stand apart at the least."""
_WORST = -1.0
"""Relative gain below which a mark stands at the edge with its number: the error doubled."""


_MOST = 10
"""Methods on a slide, without their variants."""


def gain_against_shift(
    results: xr.Dataset,
    *,
    experiment: str | None = None,
    measure: str | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the relative gain of every method over how far out the systems lie.

    One panel per method. Marks: means over the systems of a kind of shift, at their mean score,
    with 95 % intervals over training sets and systems; dots: systems. Marks that would hide each
    other are set apart, their dots with them. Above the line at zero the method helps. A mark at
    the lower edge lies below it, where its number says. A slide leaves out variants of methods.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.refinement.with_scores`; without scores of shift, kinds of
        shift stand side by side.
    experiment : str, optional
        By default the first with force errors.
    measure : str, optional
        Whose scores; by default ``knn`` if it was taken, else the first.
    column : {'single', 'double'}
        Width: 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    experiment = experiment or experiments(results)[0]
    looks = group_looks(results, experiment)
    chosen = [m for m in named(results) if m != "none" and _known(results, m, looks)]
    if on_slide():
        chosen = [m for m in chosen if m in METHODS][:_MOST]
    groups = [row for row, *_ in looks]
    of_groups, of_systems, label, spread = _abscissa(results, measure, groups)
    own_groups, own_systems = _scores(results, measure, groups)
    gains = results["group_relative_gain"].mean("replicate").values * 100
    bounds = results["group_relative_gain_interval"].values * 100
    systems = results["relative_gain"].mean("replicate").values * 100
    index = results["method"].values.astype(str).tolist()
    with styled():
        beside = 3 if stacked(column) else 5
        rows = max(-(-len(chosen) // beside), 1)
        figure = new_figure(column, min(1.15, 7.4 / rows) * rows + 0.85, figure)
        panels = figure.subplots(rows, beside, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in panels[len(chosen) :]:
            axes.set_visible(False)
        if not chosen:
            panels[0].set_visible(True)
            nothing(panels[0], "no method but that without refinement")
            return figure
        columns = [index.index(m) for m in chosen]
        fair = [
            m for method, m in zip(chosen, columns, strict=True) if not method.startswith("prior")
        ]
        shown = np.ix_(groups, fair or columns)
        floor, ceiling = _limits(bounds[shown], gains[shown])
        for axes, method, m in zip(panels, chosen, columns, strict=False):
            axes.axhline(0, color=GREY, lw=pt(0.6), zorder=1)
            for row, name, colour, marker in looks:
                members = results["group_of"].values == row
                axes.plot(
                    of_systems[members],
                    systems[members, m],
                    ".",
                    ms=pt(1.6),
                    color=colour,
                    alpha=0.5,
                )
                x, y = of_groups[row], gains[row, m]
                tell(axes, name, own_groups[row], y, bounds=bounds[row, m], kind="mean")
                tell(axes, name, own_systems[members], systems[members, m], kind="system")
                axes.plot([x, x], bounds[row, m], color=colour, lw=pt(0.9), zorder=3)
                if np.isfinite(y) and y < floor:
                    axes.plot(x, floor, marker=7, ms=pt(3.5), color=colour, clip_on=False, zorder=4)
                    axes.annotate(
                        f"{y:.0f}".replace("-", "−"),
                        (x, floor),
                        xytext=(0, pt(5)),
                        textcoords="offset points",
                        fontsize=type_size(4.5),
                        ha="center",
                        color=colour,
                        rotation=90,
                    )
                else:
                    axes.plot(x, y, marker=marker, ms=pt(3.6), color=colour, zorder=4)
            axes.set_ylim(floor, ceiling)
            axes.set_title(wrapped(method_look(method)[0], column), fontsize=type_size(6.5))
            axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(
                FuncFormatter(lambda v, _: f"{v:+.0f}".replace("-", "−") if v else "0")
            )
            if not label:
                axes.set_xticks([])
        for i in range(len(chosen)):  # the last panel of each column carries the ticks
            if i + beside >= len(chosen):
                panels[i].tick_params(labelbottom=True)
        panels[(rows - 1) * beside + (len(chosen) - 1) % beside // 2].set_xlabel(
            label or "Kind of shift"
        )
        if spread:
            log_axis(panels[0], "x", *spread)
        of = "" if rows < 3 else " of the error without refinement"  # few rows leave little room
        figure.supylabel(f"Gain in force MAE (%{of})", fontsize=type_size(7))
        legend_below(figure, group_handles(looks), column)
    return figure


def _known(results: xr.Dataset, method: str, looks: list[tuple[int, str, str, str]]) -> bool:
    gains = results["group_relative_gain"].sel({"method": method}).values
    return bool(np.isfinite(gains[[row for row, *_ in looks]]).any())


def _limits(bounds: np.ndarray, gains: np.ndarray) -> tuple[float, float]:
    values = np.concatenate([bounds.ravel(), gains.ravel()])
    values = values[np.isfinite(values)]
    low, high = min(values.min(initial=0.0), -5.0), max(values.max(initial=0.0), 5.0)
    low, high = max(low, _WORST * 100), min(high, 100.0)  # no method gains more than all
    pad = 0.08 * (high - low)
    return low - pad, high + pad


def _abscissa(
    results: xr.Dataset, measure: str | None, groups: list[int]
) -> tuple[np.ndarray, np.ndarray, str, tuple[float, float] | None]:
    """Return where groups and systems stand, what the axis says, and its limits if logarithmic.

    Without scores groups stand side by side and the axis says nothing.
    """
    of_groups = np.full(results.sizes["group"], np.nan)
    if "group_shift_score" not in results:
        of_groups[groups] = np.arange(len(groups))
        return of_groups, of_groups[results["group_of"].values], "", None
    measure = measure or default_measure(results, groups)
    scored, of_systems = _scores(results, measure, groups)
    of_groups[groups] = scored[groups]
    known = np.flatnonzero(np.isfinite(of_groups))
    scores = of_groups[known]
    if not scores.size:
        return of_groups, of_systems, measure_label(measure), None
    in_log = bool(0 < _SPREAD * scores.min() < scores.max())
    wanted = np.log(scores) if in_log else scores
    placed = apart(wanted, _GAP * np.ptp(wanted))
    members = results["group_of"].values
    moved = np.zeros(results.sizes["group"])
    moved[known] = placed - wanted
    if in_log:
        of_groups[known] = np.exp(placed)
        limits = float(of_groups[known].min() / 1.5), float(of_groups[known].max() * 1.5)
        return of_groups, of_systems * np.exp(moved[members]), measure_label(measure), limits
    of_groups[known] = placed
    return of_groups, of_systems + moved[members], measure_label(measure), None


def _scores(
    results: xr.Dataset, measure: str | None, groups: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of groups and of systems; infinite: there are none."""
    if "group_shift_score" not in results:
        return np.full(results.sizes["group"], np.inf), np.full(results.sizes["system"], np.inf)
    measure = measure or default_measure(results, groups)
    both = [results[n].sel(measure=measure) for n in ("group_shift_score", "shift_score")]
    both = [x.mean("replicate") if "replicate" in x.dims else x for x in both]
    return both[0].values, both[1].values


def default_measure(results: xr.Dataset, groups: Sequence[int]) -> str:
    """Return ``knn`` if it is known for the groups, else the first measure that is."""
    scores = results["group_shift_score"].isel(group=list(groups)).transpose("measure", ...).values
    known = np.isfinite(scores.reshape(len(scores), -1)).any(axis=1)
    measures = results["measure"].values.astype(str)
    found = measures[known if known.any() else slice(None)].tolist()
    return "knn" if "knn" in found else str(found[0])


def error_bins(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw how many systems out of distribution have which force MAE, a row per method.

    One column per experiment, at most two in single column; bins of equal width in the logarithm,
    means over replicates, triangles at medians. The outline is that without refinement.
    """
    shown = experiments(results)[: 2 if column == "single" else 3]
    methods = named(results, _COMPARED)
    out = results["shift"].values.astype(str) != IN_DISTRIBUTION
    error = results["force_mae"].mean("replicate").values * MILLI
    index = results["method"].values.astype(str).tolist()
    with styled():
        figure = new_figure(column, 0.62 * len(methods) + 0.75, figure)
        panels = figure.subplots(
            len(methods), len(shown), squeeze=False, sharex="col", sharey="col"
        )
        for place, experiment in enumerate(shown):
            systems = out & (results["experiment"].values.astype(str) == experiment)
            table = error[np.ix_(systems, [index.index(m) for m in methods])]
            _histograms(panels[:, place].tolist(), table, methods)
            panels[0, place].set_title(
                f"{experiment_label(experiment)}\n{systems.sum()} systems out of distribution",
                fontsize=type_size(7),
                pad=pt(8),
            )
            panels[-1, place].set_xlabel("Force MAE (meV/Å)")
        figure.supylabel("Systems", fontsize=type_size(7.5))
        legend_below(figure, method_handles(methods), column)
    return figure


def _histograms(panels: Sequence[Axes], table: np.ndarray, methods: list[str]) -> None:
    known = table[np.isfinite(table)]
    if not known.size:
        return
    low, high = known.min() / 1.05, known.max() * 1.05
    edges = np.geomspace(low, high, 11)
    plain, _ = np.histogram(table[np.isfinite(table[:, 0]), 0], edges)
    most = int(plain.max())
    for axes, method, column in zip(panels, methods, table.T, strict=True):
        label, colour, _ = method_look(method)
        values = column[np.isfinite(column)]
        counts, _ = np.histogram(values, edges)
        most = max(most, int(counts.max()))
        axes.stairs(counts, edges, color=colour, alpha=0.55, fill=True, lw=0)
        tell_histogram(axes, label, counts, edges)
        tell(axes, label, np.median(values) if values.size else np.nan, None, kind="median")
        axes.stairs(plain, edges, color="black", lw=pt(0.6))
        if values.size:
            axes.plot(
                np.median(values),
                1.0,
                transform=axes.get_xaxis_transform(),
                marker="v",
                ms=pt(4),
                color=colour,
                clip_on=False,
            )
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    panels[0].set_ylim(0, 1.05 * most)
    ticks = round_ticks(low, high)
    if len(ticks) < 2:  # a narrow range
        ticks = [t for t in MaxNLocator(3).tick_values(low, high) if low <= t <= high]
    log_axis(panels[0], "x", low, high, ticks)
