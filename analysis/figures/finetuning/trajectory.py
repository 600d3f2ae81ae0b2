"""Figures of one run of dynamics: how far outside a set it goes, its state, distances of atoms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....diversity.html import words
from ..files import FORMATS, Format, save_all
from ..style import (
    CYCLE,
    Canvas,
    Column,
    log_axis,
    new_figure,
    pt,
    round_ticks,
    spaced,
    styled,
    type_size,
)
from ..table import tell
from .look import legend_below

SKY, BLUE, GREEN, RED, ORANGE, PINK, BLACK, _ = CYCLE
_LIGHT = "#c8c8c8"
_ACROSS = {"single": 2, "double": 4}
_MOST_PAIRS = {"single": 6, "double": 12}
_SCORES = {"q": "Q-residual", "t2": "Hotelling's T²"}
#: Names of what is drawn over time, where there is any of it.
_STATE = {
    "temperature": "Temperature (K)",
    "potential_energy": "Potential\nenergy (eV)",
    "total_energy": "Total\nenergy (eV)",
    "volume": "Volume (Å³)",
    "frame_score": "Frame score\n(Q / limit)",
    "coverage": "Share of atoms\nwithin limits",
}


def draw_trajectory(
    found: xr.Dataset,
    directory: Path,
    *,
    column: Column = "single",
    formats: Sequence[Format] = FORMATS,
) -> list[Path]:
    """Draw every figure of a run that there are data for, and write each with its numbers.

    Parameters
    ----------
    found : xarray.Dataset
        Of :func:`breadth.analysis.monitor.monitor`.
    directory : Path
        Made if absent; files of equal names are replaced.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    formats : sequence of {'pdf', 'png', 'svg'}

    Returns
    -------
    list of Path
        The files of each figure.
    """
    figures: dict[str, Figure] = {}
    for name in _SCORES:
        if f"{name}_mean" in found:
            figures[f"{name}_over_time"] = score_over_time(found, name, column=column)
    if _state_names(found):
        figures["state_over_time"] = state_over_time(found, column=column)
    for name in ("radial", "bond_length"):
        if _telling(found, name):
            figures[name] = distances(found, name, column=column)
    return save_all(figures, directory, formats=formats)


def score_over_time(
    found: xr.Dataset, score: str, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw how far outside the reference each element's atoms are, over time.

    A panel for each element: the mean over its atoms, the greatest of them (thin), and the limit
    that holds most of the reference's held-out atoms (dashed). Red ticks: a bond broke or formed
    that no metal takes part in.

    Parameters
    ----------
    found : xarray.Dataset
        Of :func:`breadth.analysis.monitor.monitor`.
    score : {'q', 't2'}
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    elements = found["element"].values.astype(str).tolist()
    time, label = _times(found)
    with styled():
        figure, panels = _panels(len(elements), column, 1.15, figure)
        for axes, element in zip(panels, elements, strict=True):
            of = found.sel(element=element)
            most, mean = of[f"{score}_max"].values, of[f"{score}_mean"].values
            limit = float(of[f"{score}_limit"])
            axes.plot(time, most, color=SKY, lw=pt(0.5))
            axes.plot(time, mean, color=BLUE, lw=pt(0.9))
            tell(axes, "mean of the element's atoms", time, mean)
            tell(axes, "greatest", time, most)
            tell(axes, "held-out limit", None, limit, kind="baseline")
            if np.isfinite(limit):
                axes.axhline(limit, color=BLACK, lw=pt(0.8), ls=(0, (4, 2)))
            _log_height(axes, mean, most, limit)
            _events(axes, found, time)
            share = float(of[f"{score}_outside"].mean())
            axes.set_title(f"{element}: {share:.0%} outside", fontsize=type_size(7), loc="left")
            _whole(axes, time)
        _label_last_row(panels, column, label)
        figure.supylabel(_SCORES[score], fontsize=type_size(7.5))
        handles = [
            Line2D([], [], color=BLUE, lw=pt(0.9), label="mean of the element's atoms"),
            Line2D([], [], color=SKY, lw=pt(0.5), label="greatest"),
            Line2D([], [], color=BLACK, lw=pt(0.8), ls=(0, (4, 2)), label="held-out limit"),
        ]
        if _event_times(found).size:
            handles.append(_event_handle())
        legend_below(figure, handles, column)
    return figure


def state_over_time(
    found: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw temperature, energies, volume, and how far outside the reference whole frames are.

    Parameters
    ----------
    found : xarray.Dataset
        Of :func:`breadth.analysis.monitor.monitor`; what it lacks is left out, and so is a volume
        that never changes.
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    time, label = _times(found)
    names = _state_names(found)
    limits = {
        "frame_score": found.attrs.get("frame_limit"),
        "coverage": found.attrs.get("limit_level"),
        "temperature": found.attrs.get("mean_temperature"),
    }
    with styled():
        figure = new_figure(column, 0.85 * len(names) + 0.55, figure)
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=True):
            axes.plot(time, found[name].values, color=BLUE, lw=pt(0.7))
            tell(axes, words(name), time, found[name].values, panel=words(name))
            if limits.get(name) is not None:
                line = ":" if name == "temperature" else (0, (4, 2))
                axes.axhline(limits[name], color=BLACK, lw=pt(0.8), ls=line)
            axes.set_ylabel(_STATE[name], fontsize=type_size(6.5))
            axes.ticklabel_format(axis="y", useOffset=False)
            if name == "coverage":
                axes.set_ylim(min(0.9, float(found[name].min()) - 0.02), 1.01)
            _events(axes, found, time)
            _whole(axes, time)
        panels[-1].set_xlabel(label)
        figure.align_ylabels(list(panels))
        handles = []
        if {"frame_score", "coverage"} & set(names):
            handles.append(
                Line2D([], [], color=BLACK, lw=pt(0.8), ls=(0, (4, 2)), label="held-out limit")
            )
        if limits["temperature"] is not None:
            handles.append(Line2D([], [], color=BLACK, lw=pt(0.8), ls=":", label="mean"))
        if _event_times(found).size:
            handles.append(_event_handle())
        if handles:
            legend_below(figure, handles, column)
    return figure


def _state_names(found: xr.Dataset) -> list[str]:
    names = [name for name in _STATE if name in found]
    if "volume" in names and np.ptp(found["volume"].values) < 1e-6 * found["volume"].values[0]:
        names.remove("volume")
    return names


def distances(
    found: xr.Dataset, which: str, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw distributions of distances between atoms, or of the lengths of bonds, by elements.

    Line: the run; grey: the reference, where it has frames of the same composition. The pairs
    that differ most are drawn, those with most neighbours where there is no reference.

    Parameters
    ----------
    found : xarray.Dataset
        Of :func:`breadth.analysis.monitor.monitor`.
    which : {'radial', 'bond_length'}
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    axis = "r" if which == "radial" else "length"
    x, ours = found[axis].values, found[which].values
    theirs = found[f"{which}_reference"].values if f"{which}_reference" in found else None
    shown = _telling(found, which)[: _MOST_PAIRS[column]]
    with styled():
        figure, panels = _panels(len(shown), column, 1.05, figure, sharex=which == "radial")
        for axes, row in zip(panels, shown, strict=True):
            if theirs is not None:
                axes.fill_between(x, theirs[row], color=_LIGHT, lw=0, step="mid")
                tell(axes, "reference", x, theirs[row])
            axes.plot(x, ours[row], color=BLUE, lw=pt(0.8), drawstyle="steps-mid")
            tell(axes, "run", x, ours[row])
            axes.set_title(str(found["pair"].values[row]), fontsize=type_size(7), loc="left")
            if which == "bond_length":
                seen = x[(ours[row] > 0) | (theirs[row] > 0 if theirs is not None else False)]
                axes.set_xlim(seen.min() - 0.08, seen.max() + 0.08)
            else:
                axes.set_xlim(0, x[ours.any(axis=0)][-1])
            axes.set_ylim(0, None)
        _label_last_row(panels, column, "Distance (Å)")
        periodic = which == "radial" and found.attrs.get("radial") == "g(r)"
        figure.supylabel("g(r)" if periodic else "Density (1/Å)", fontsize=type_size(7.5))
        handles = [Line2D([], [], color=BLUE, lw=pt(0.8), label="run")]
        if theirs is not None:
            handles.append(Line2D([], [], color=_LIGHT, lw=pt(5), label="reference"))
        legend_below(figure, handles, column)
    return figure


def _telling(found: xr.Dataset, which: str) -> list[int]:
    """Return the pairs worth drawing, those first that tell most."""
    ours = found[which].values
    there = np.flatnonzero(ours.any(axis=1))
    if which == "bond_length":  # one chance bond says nothing of lengths
        there = there[found["n_bonds"].values[there].sum(axis=1) >= 10]
        weight = found["n_bonds"].values.sum(axis=1).astype(float)
    else:
        weight = ours.sum(axis=1)
    if which == "radial" and "radial_reference" in found:
        weight = (
            np.abs(ours - found["radial_reference"].values) @ found["r"].values ** 2
        )  # by the volume of the shells
    return there[np.argsort(-weight[there], kind="stable")].tolist()


def _log_height(axes: Axes, mean: np.ndarray, most: np.ndarray, limit: float) -> None:
    """Make the height logarithmic, with two or three plain numbers."""
    seen = np.concatenate([mean, most, [limit]])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if not seen.size:
        return
    low, high = float(seen.min()) / 1.15, float(seen.max()) * 1.15
    ticks = round_ticks(low, high)
    roundest = [tick for tick in ticks if f"{tick:.2e}"[:4] in ("1.00", "2.00", "5.00")]
    ticks = roundest if len(roundest) > 1 else ticks
    log_axis(axes, "y", low, high, spaced(ticks, max(1.12, (high / low) ** 0.28)))


def _times(found: xr.Dataset) -> tuple[np.ndarray, str]:
    time = found["time"].values
    if found.attrs.get("time_unit") != "fs":
        return time, "Frame"
    return (time / 1000.0, "Time (ps)") if time[-1] >= 2000.0 else (time, "Time (fs)")


def _event_times(found: xr.Dataset) -> np.ndarray:
    """Return the times of bond events without metals, in the units of the time axis."""
    scale = 1e-3 if _times(found)[1] == "Time (ps)" else 1.0
    return found["event_time"].values[~found["event_coordination"].values] * scale


def _events(axes: Axes, found: xr.Dataset, time: np.ndarray) -> None:
    at = np.unique(_event_times(found))
    if at.size:
        axes.plot(at, np.zeros(at.size), "|", color=RED, ms=pt(6), mew=pt(0.8), clip_on=False,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _event_handle() -> Line2D:
    return Line2D([], [], color=RED, marker="|", ls="", ms=pt(6), mew=pt(0.8), label="bond event")


def _whole(axes: Axes, time: np.ndarray) -> None:
    if len(time) > 1:
        axes.set_xlim(time[0], time[-1])


def _across(n: int, column: Column) -> int:
    """Return how many panels stand beside each other, so that rows are as full as they can be."""
    rows = -(-n // _ACROSS[column])
    return -(-n // rows)


def _panels(
    n: int, column: Column, height: float, figure: Canvas | None, *, sharex: bool = True
) -> tuple[Figure, list[Axes]]:
    across = _across(n, column)
    rows = -(-n // across)
    figure = new_figure(column, height * rows + 0.6, figure)
    grid = figure.subplots(rows, across, squeeze=False, sharex=sharex).ravel()
    for spare in grid[n:]:
        spare.set_visible(False)
    for above in grid[max(0, n - across) : n]:  # the last panel of each column has the labels
        above.tick_params(labelbottom=True)
    return figure, list(grid[:n])


def _label_last_row(panels: Sequence[Axes], column: Column, label: str) -> None:
    across = _across(len(panels), column)
    for axes in panels[(len(panels) - 1) // across * across :]:
        axes.set_xlabel(label)


__all__ = ["distances", "draw_trajectory", "score_over_time", "state_over_time"]
