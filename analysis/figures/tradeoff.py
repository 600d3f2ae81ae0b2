"""Error against molecules at a fixed budget, and against conformers for fixed molecules."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ...diversity.html import words
from ..tradeoff.summary import grid
from .style import (
    CYCLE,
    GREY,
    MARKERS,
    MILLI,
    Canvas,
    Column,
    end_labels,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    spaced,
    stacked,
    styled,
    type_size,
)
from .table import tell


@dataclass(frozen=True)
class _Quantity:
    """An error in ``results``, what its axis says, and the two baselines drawn with it."""

    name: str
    title: str
    zero: str
    zero_label: str
    prior: str


_FORCES = _Quantity(
    "force_mae", "Force MAE (meV/Å)", "zero_force_mae", "zero forces", "prior_force_mae"
)
_ENERGIES = _Quantity(
    "conformational_energy_mae",
    "Conformational-energy MAE (meV)",
    "zero_conformational_energy_mae",
    "one energy per molecule",
    "prior_conformational_energy_mae",
)


def error_against_molecules(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw errors at a fixed budget over the number of molecules (log–log).

    One line per test set: the mean over replicates with its 95 % interval, each replicate as a
    tick, hollow where the design is undertrained. Models made elsewhere are dotted. The upper axis
    gives conformers per molecule.
    Single column: forces; double: forces and conformational energies.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.measure_errors`.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    return _draw(results, "fixed_budget", column, figure)


def error_against_conformers(
    results: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw errors for fixed molecules over conformers per molecule; see the function above."""
    return _draw(results, "fixed_molecules", column, figure)


def _draw(results: xr.Dataset, experiment: str, column: Column, figure: Canvas | None) -> Figure:
    designs = grid(results, experiment)
    with styled():
        quantities = [_FORCES] if column == "single" else [_FORCES, _ENERGIES]
        figure = new_figure(column, 3.1, figure)
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        for axes, quantity in zip(panels, quantities, strict=True):
            _panel(axes, results, experiment, designs, quantity)
        if len(panels) > 1:
            panel_letters(panels)
        key = {
            "mean, replicates (ticks) and 95 % interval": Line2D(
                [], [], marker="o", color=GREY, lw=pt(0.8)
            )
        }
        if results["undertrained"].values[designs].any():
            key["undertrained: rank differs at ¼ of the updates"] = Line2D(
                [], [], marker="o", mfc="white", mec=GREY, color=GREY, lw=0
            )
        for name, marker in _outside(results):
            key[name] = Line2D([], [], marker=marker, color=GREY, lw=pt(0.8), ls=":")
        figure.legend(
            list(key.values()),
            list(key),
            loc="outside lower center",
            ncols=1 if stacked(column) else 2,
            frameon=False,
            labelspacing=0.2,
            fontsize=type_size(6.5),
        )
    return figure


def _panel(
    axes: Axes, results: xr.Dataset, experiment: str, designs: np.ndarray, quantity: _Quantity
) -> None:
    along = "n_molecules" if experiment == "fixed_budget" else "n_conformers"
    x = results[along].values[designs].astype(float)
    values = results[quantity.name].values[designs] * MILLI  # (design, replicate, test set)
    bounds = results[f"{quantity.name}_interval"].values[designs] * MILLI
    hollow = results["undertrained"].values[designs]
    mean = (results[quantity.name].mean("replicate").values * MILLI)[designs]
    shown = [t for t in range(mean.shape[1]) if np.isfinite(mean[:, t]).any()]
    ends = []
    others: list[np.ndarray] = []
    for place, t in enumerate(shown):
        colour, marker = CYCLE[t % len(CYCLE)], MARKERS[t % len(MARKERS)]
        # Lines are set apart sideways by a few per cent, so that bars do not hide each other.
        at = x * 1.035 ** (place - (len(shown) - 1) / 2)
        known = np.isfinite(mean[:, t])
        axes.plot(at[known], mean[known, t], color=colour, lw=pt(1.0), zorder=2)
        for design in np.flatnonzero(known):
            axes.plot([at[design]] * 2, bounds[design, t], color=colour, lw=pt(0.8), zorder=2)
            axes.plot(
                at[design],
                mean[design, t],
                marker=marker,
                ms=pt(4),
                color=colour,
                mfc="white" if hollow[design, t] else colour,
                zorder=4,
            )
            replicates = values[design, :, t]
            axes.plot(
                np.full(len(replicates), at[design]),
                replicates,
                "_",
                ms=pt(4.5),
                color=colour,
                mew=pt(0.7),
                zorder=3,
            )
        name = words(results["test_set"].values[t])
        ends.append((mean[known, t][-1], name, colour))
        trained = np.where(hollow[:, t], "mean, undertrained", "mean")
        tell(axes, name, x, mean[:, t], bounds=bounds[:, t], kind=trained)
        for replicate, of in enumerate(values[:, :, t].T):
            tell(axes, name, x, of, kind=f"replicate {replicate}")

        for number, (theirs_by, sign) in enumerate(_outside(results)):
            theirs = results[f"outside_{quantity.name}"][number].mean("replicate").values
            theirs = theirs[designs, t] * MILLI
            axes.plot(at, theirs, ":", marker=sign, ms=pt(4), color=colour, lw=pt(0.8), zorder=2)
            others.append(theirs)
            tell(axes, f"{name}, {theirs_by}", x, theirs, kind="mean")

    span = np.concatenate([a[np.isfinite(a)] for a in (values, bounds)])
    span = np.append(span, [v for v in np.concatenate([*others, [0.0]]) if v > 0])
    for kind, label, style in (
        (quantity.zero, quantity.zero_label, (0, (5, 2))),
        (quantity.prior, str(results.attrs.get("prior", "prior")).upper(), (0, (1, 1.2))),
    ):
        level = results[kind].values[designs] * MILLI
        level = level[np.isfinite(level)]
        if not level.size:
            continue
        span = np.append(span, level)
        middle = float(np.exp(np.log(level).mean()))
        axes.axhspan(level.min(), level.max(), color=GREY, alpha=0.12, lw=0, zorder=0)
        axes.axhline(middle, color=GREY, lw=pt(0.8), ls=style, zorder=1)
        ends.append((middle, label, GREY))
        tell(axes, label, None, middle, bounds=(level.min(), level.max()), kind="baseline")
    if span.size:
        log_axis(axes, "y", span.min() / 1.1, span.max() * 1.15)
    axes.set_ylabel(quantity.title)
    if x.size:
        _abscissae(axes, results, experiment, designs, x)
    end_labels(axes, ends)


def _outside(results: xr.Dataset) -> list[tuple[str, str]]:
    """Return name and marker of each model that was made elsewhere."""
    names = results["outside"].values.astype(str).tolist() if "outside" in results.coords else []
    return [(name, "*XP<>"[number % 5]) for number, name in enumerate(names)]


def _abscissae(
    axes: Axes, results: xr.Dataset, experiment: str, designs: np.ndarray, x: np.ndarray
) -> None:
    """Label both axes of abscissae: what varies below, what it costs above."""
    low, high = x.min() / 1.25, x.max() * 1.25
    ticks = spaced(list(x), ratio=max(1.25, (high / low) ** 0.09))
    log_axis(axes, "x", low, high, ticks)
    molecules, conformers = (results[n].values[designs] for n in ("n_molecules", "n_conformers"))
    upper = axes.secondary_xaxis("top")
    if experiment == "fixed_budget":
        axes.set_xlabel("Training molecules")
        budget = int(results.attrs.get("budget", np.median(molecules * conformers)))
        upper.set_xlabel(f"Conformers per molecule (budget {budget:,})")
        above = dict(zip(x, conformers, strict=True))
    else:
        axes.set_xlabel("Conformers per molecule")
        upper.set_xlabel(f"Training conformers ({int(np.median(molecules)):,} molecules)")
        above = dict(zip(x, molecules * conformers, strict=True))
    upper.xaxis.set_major_locator(FixedLocator(ticks))
    upper.xaxis.set_major_formatter(FixedFormatter([f"{above[tick]:g}" for tick in ticks]))
    upper.xaxis.set_minor_locator(NullLocator())
