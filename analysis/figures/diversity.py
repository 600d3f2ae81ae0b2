"""Where sets stand: structural against conformational diversity, and what the bandwidth decides."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import (
    CYCLE,
    GREY,
    MARKERS,
    Canvas,
    Column,
    legend_columns,
    log_axis,
    new_figure,
    pt,
    shortened,
    stacked,
    styled,
    type_size,
)
from .table import tell

_SUM = "equal sum of both"
_PLANE = ("structural", "conformational")


def diversity_plane(
    partitions: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw sets on the plane of structural and conformational diversity.

    Points carry their intervals; a hollow one is at a ceiling, where more samples would move it
    outwards. Sets on one grey line have the same sum of the two.

    Parameters
    ----------
    partitions : xarray.Dataset
        ``value`` (set, term) and ``interval`` (set, term, bound) in nats, ``at_ceiling`` (set,
        term), and attributes ``descriptor``, ``bandwidth`` and ``size`` (what the sets were
        brought to, in words; '' where they were not). Terms are ``structural`` and
        ``conformational`` at least. Intervals may be NaN.
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    names = [str(name) for name in partitions["set"].values]
    x, y = (partitions["value"].sel(term=t).values for t in _PLANE)
    reach = [
        np.nan_to_num(
            np.abs(
                partitions["interval"].sel(term=t).values
                - partitions["value"].sel(term=t).values[:, None]
            )
        ).T
        for t in _PLANE
    ]
    full = partitions["at_ceiling"].sel(term=list(_PLANE)).any("term").values
    with styled():
        labels = [
            shortened(name, column) + (" (at a ceiling)" if at else "")
            for name, at in zip(names, full, strict=True)
        ]
        ncols = legend_columns([_SUM, *labels], column, handle=8)
        lines = -(-(1 + len(names)) // ncols)
        height = (2.9 if stacked(column) else 4.2) + 0.125 * max(0, lines - 2)
        figure = new_figure(column, height, figure)
        axes = figure.subplots()
        right = max(float((x + reach[0][1]).max()), 0.5) * 1.25
        top = max(float((y + reach[1][1]).max()), 0.5) * 1.2
        _sums(axes, right, top)
        for i in range(len(names)):
            colour = CYCLE[i % len(CYCLE)]
            axes.errorbar(
                x[i],
                y[i],
                xerr=reach[0][:, [i]],
                yerr=reach[1][:, [i]],
                fmt=MARKERS[i % len(MARKERS)],
                mfc="white" if full[i] else colour,
                color=colour,
                lw=pt(0.8),
                ms=pt(5),
                label=labels[i],
            )
            ends = [partitions["interval"].sel(term=t).values[i] for t in _PLANE]
            kind = "at a ceiling" if full[i] else ""
            tell(axes, names[i], x[i], y[i], x_bounds=ends[0], bounds=ends[1], kind=kind)
        axes.set(
            xlim=(-0.02 * right, right),
            ylim=(-0.02 * top, top),
            xlabel="Structural diversity (nats)",
            ylabel="Conformational diversity (nats)",
        )
        figure.legend(
            loc="outside upper left",
            ncols=ncols,
            fontsize=type_size(6),
            frameon=False,
        )
        size = f"{partitions.attrs['size']}\n" if partitions.attrs.get("size") else ""
        axes.text(
            0.99,
            0.99,
            f"{size}{partitions.attrs['descriptor']}, h = {partitions.attrs['bandwidth']:.3g}",
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=type_size(6),
            color=GREY,
        )
    return figure


def _sums(axes: Axes, right: float, top: float) -> None:
    """Draw lines of equal structural + conformational diversity."""
    step = max(1.0, round((right + top) / 6))
    for total in np.arange(step, right + top, step):
        label = _SUM if total == step else None
        axes.plot([0, total], [total, 0], color="#D8D8D8", lw=pt(0.6), zorder=0, label=label)


def bandwidth_curves(
    partitions: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the terms of the partition against the bandwidth, a panel for each set.

    Parameters
    ----------
    partitions : xarray.Dataset
        ``curve`` (set, term, step) in nats, ``curve_bandwidth`` (step), ``ceiling`` (set, term),
        and the attributes ``descriptor`` and ``bandwidth``.
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    names = [str(name) for name in partitions["set"].values]
    h = partitions["curve_bandwidth"].values
    shown = [str(t) for t in partitions["term"].values if str(t) != "total"]
    across = min(len(names), 2 if stacked(column) else 3)
    down = -(-len(names) // across)
    with styled():
        figure = new_figure(column, 0.35 + 1.9 * down, figure)
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        top = 1.08 * float(partitions["curve"].sel(term="total").max())
        for axes, name in zip(panels, names, strict=False):
            one = partitions.sel(set=name)
            below = np.zeros(len(h))
            for term, colour in zip(shown, (CYCLE[1], CYCLE[2], CYCLE[3]), strict=False):
                values = np.maximum(one["curve"].sel(term=term).values, 0.0)
                axes.fill_between(h, below, below + values, color=colour, alpha=0.85, lw=0)
                below = below + values
                tell(axes, term, h, values)
            axes.axvline(float(partitions.attrs["bandwidth"]), color="k", lw=pt(0.7), ls=":")
            ceiling = float(one["ceiling"].sel(term="total"))
            tell(axes, "ceiling of the sum", None, ceiling, kind="baseline")
            axes.axhline(ceiling, color=GREY, lw=pt(0.7), ls="--")
            axes.set_ylim(0, max(top, 1.08 * float(partitions["ceiling"].sel(term="total").max())))
            log_axis(axes, "x", float(h.min()), float(h.max()))
            axes.set_title(shortened(name, column), fontsize=type_size(7))
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel(
            f"Bandwidth h of the {partitions.attrs['descriptor']} descriptor", size=type_size(7.5)
        )
        figure.supylabel("Diversity (nats)", size=type_size(7.5))
        handles = [
            *(
                panels[0].fill_between([], [], color=colour, alpha=0.85, label=term)
                for term, colour in zip(shown, (CYCLE[1], CYCLE[2], CYCLE[3]), strict=False)
            ),
            panels[0].plot([], [], color="k", lw=pt(0.7), ls=":", label="h used")[0],
            panels[0].plot([], [], color=GREY, lw=pt(0.7), ls="--", label="ceiling of the sum")[0],
        ]
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=3 if stacked(column) else 5,
            columnspacing=1.2,
            frameon=False,
        )
    return figure
