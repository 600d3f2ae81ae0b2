"""Molecular dynamics with refined models: temperature, stability, distances between atoms."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..style import (
    GREY,
    Canvas,
    Column,
    new_figure,
    panel_letters,
    pt,
    shortened,
    stacked,
    styled,
    type_size,
)
from ..table import tell
from .look import legend_below, method_handles, method_look, named

_COMPARED = ("none", "joint", "radius", "test_time", "both")
_MOST = {"single": 2, "double": 3}
"""Systems drawn beside each other; the others stand in the data."""


def dynamics(
    found: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the temperature of a run over time, and how long every run stayed stable.

    Upper panels: one run per method, the first replicate's, to the step at which it was stopped (a
    cross). Lower panel: mean time to the first stretched bond or explosion; dots: replicates.

    Parameters
    ----------
    found : xarray.Dataset
        ``temperature`` (system, method, replicate, time), K, NaN after the end; ``stability_time``
        (system, method, replicate) and ``time``, ps; attributes ``target_temperature`` (K) and
        ``duration`` (ps), optional.
    column : {'single', 'double'}
        Two or three systems in the upper panels.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    methods = named(found, _COMPARED)
    systems = found["system"].values.astype(str)
    shown = systems[: _MOST[column]]
    with styled():
        figure = new_figure(column, 3.5, figure)
        grid = figure.add_gridspec(2, len(shown), height_ratios=(1, 1.1))
        first: Axes | None = None
        panels = []
        for i, system in enumerate(shown):
            axes = figure.add_subplot(grid[0, i], sharex=first, sharey=first)
            _temperatures(axes, found, system, methods)
            axes.set_title(shortened(str(system), column), fontsize=type_size(7))
            axes.set_xlabel("Time (ps)")
            if first is None:
                first = axes
                axes.set_ylabel("Temperature (K)")
            else:
                axes.tick_params(labelleft=False)
            panels.append(axes)
        lower = figure.add_subplot(grid[1, :])
        _stability(lower, found, systems, methods, column)
        panel_letters([*panels, lower])
        legend_below(figure, method_handles(methods), column)
    return figure


def _temperatures(axes: Axes, found: xr.Dataset, system: str, methods: list[str]) -> None:
    time = found["time"].values
    target = found.attrs.get("target_temperature")
    if target is not None:
        axes.axhline(float(target), color=GREY, lw=pt(0.6), ls=":", zorder=1)
    runs = found["temperature"].isel(replicate=0).sel(system=system)
    top = 2.5 * float(target) if target is not None else None
    for method in methods:
        label, colour, line = method_look(method)
        values = runs.sel({"method": method}).values
        known = np.flatnonzero(np.isfinite(values))
        if not known.size:
            continue
        axes.plot(time[known], values[known], color=colour, ls=line, lw=pt(0.7), zorder=2)
        tell(axes, label, time[known], values[known])
        last = known[-1]
        if last < len(time) - 1:
            height = values[last] if top is None else min(values[last], 0.97 * top)
            axes.plot(time[last], height, "x", color=colour, ms=pt(4), mew=pt(1.1), zorder=4)
    axes.set_ylim(0, top)
    axes.set_xlim(time[0], time[-1])


def _stability(
    axes: Axes, found: xr.Dataset, systems: np.ndarray, methods: list[str], column: Column
) -> None:
    stable = found["stability_time"].transpose("system", "method", "replicate")
    width = 0.8 / len(methods)
    for m, method in enumerate(methods):
        label, colour, _ = method_look(method)
        runs = stable.sel({"method": method})
        at = np.arange(len(systems)) + width * (m - (len(methods) - 1) / 2)
        mean = runs.mean("replicate").values
        axes.bar(at, mean, width=0.9 * width, color=colour, alpha=0.55, lw=0)
        tell(axes, label, systems, mean, kind="mean")
        for replicate, times in enumerate(runs.values.T):
            tell(axes, label, systems, times, kind=f"replicate {replicate}")
        for x, values in zip(at, runs.values, strict=True):
            axes.plot(
                np.full(len(values), x),
                values,
                ".",
                ms=pt(3),
                color=colour,
                mec="white",
                mew=pt(0.3),
            )
    duration = found.attrs.get("duration")
    if duration is not None:
        axes.axhline(float(duration), color=GREY, lw=pt(0.6), ls=":")
        axes.annotate(
            "end of the run",
            (0.0, float(duration)),
            xycoords=("axes fraction", "data"),
            xytext=(pt(2), pt(1.5)),
            textcoords="offset points",
            fontsize=type_size(5.5),
            color=GREY,
        )
    names = [shortened(str(s), column) for s in systems]
    many = len(names) > {"single": 3, "double": 7}[column]
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=35 if many else 0,
        ha="right" if many else "center",
        rotation_mode="anchor" if many else None,
    )
    axes.set(ylabel="Stable for (ps)", ylim=(0, None))


def distances(
    found: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the distribution h(r) of distances between atoms in runs, against the reference's.

    Grey fill: the run at the level of the labels; lines: means over replicates. The numbers are
    each method's ∫|h − h_ref| dr, the mean over replicates.

    Parameters
    ----------
    found : xarray.Dataset
        ``h`` (system, method, replicate, r), ``h_reference`` (system, r), per Å; ``hr_error``
        (system, method, replicate); ``r``, Å.
    column : {'single', 'double'}
        Panels below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    methods = named(found, _COMPARED)
    shown = found["system"].values.astype(str)[: _MOST[column]]
    r = found["r"].values
    with styled():
        rows, beside = (len(shown), 1) if stacked(column) else (1, len(shown))
        figure = new_figure(column, 1.5 * rows + 0.5 + (0.3 if rows == 1 else 0.0), figure)
        panels = figure.subplots(rows, beside, squeeze=False, sharex=True).ravel()
        for axes, system in zip(panels, shown, strict=True):
            of = found.sel(system=system)
            axes.fill_between(r, of["h_reference"].values, color="#c8c8c8", lw=0, label="reference")
            tell(axes, "reference", r, of["h_reference"].values)
            axes.text(
                0.98,
                0.97,
                "∫|h − reference| dr",
                transform=axes.transAxes,
                ha="right",
                va="top",
                fontsize=type_size(5.5),
                color=GREY,
            )
            for place, method in enumerate(methods):
                label, colour, line = method_look(method)
                mean = of["h"].sel({"method": method}).mean("replicate").values
                if not np.isfinite(mean).any():
                    continue
                axes.plot(r, mean, color=colour, ls=line, lw=pt(0.9))
                tell(axes, label, r, mean, kind="mean")
                error = float(of["hr_error"].sel({"method": method}).mean())
                axes.text(
                    0.98,
                    0.86 - 0.1 * place,
                    f"{error:.2f}",
                    transform=axes.transAxes,
                    ha="right",
                    va="top",
                    fontsize=type_size(6),
                    color=colour,
                )
            axes.set_title(shortened(str(system), column), fontsize=type_size(7))
            axes.set(xlim=(r[0], r[-1]), ylim=(0, 1.12 * axes.get_ylim()[1]))
        for axes in panels[::beside]:
            axes.set_ylabel("h(r) (1/Å)")
        for axes in panels[-beside:]:
            axes.set_xlabel("Distance between atoms (Å)")
        reference = panels[0].collections[0]
        legend_below(figure, [reference, *method_handles(methods)], column)
    return figure
