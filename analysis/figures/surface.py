"""The error over molecules × conformers: cells that were measured, and what a budget buys."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...diversity.html import words
from ..advice import Advice
from .style import (
    GREY,
    MILLI,
    SEQUENTIAL,
    Canvas,
    Column,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    round_ticks,
    spaced,
    styled,
    type_size,
)
from .table import tell

_KNOWN = "seen_conformers"
_LINES = 5
"""Lines of equal cost at the most."""


def error_surface(
    results: xr.Dataset,
    *,
    test_set: str = "unseen_molecules",
    advice: Advice | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the force MAE of every cell of molecules × conformers, on logarithmic axes.

    A cell holds its mean over replicates, the 95 % interval below it and a star where it is
    undertrained. Dashed: lines of equal numbers of labels. Double column: the error on
    conformations of known molecules too, which is what breadth costs.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.measure_errors`; of its designs, those of random choice.
    test_set : str
        Whose error.
    advice : Advice, optional
        Its cell is marked, with the intervals of both numbers; hollow where it is not supported.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    shown = [test_set]
    others = {str(name) for name in results["test_set"].values} - {test_set}
    if column == "double" and _KNOWN in others and _cells(results, _KNOWN).size:
        shown.append(_KNOWN)
    with styled():
        figure = new_figure(column, 2.9 if column == "single" else 3.1, figure)
        panels = figure.subplots(1, len(shown), squeeze=False, sharex=True, sharey=True)[0]
        for axes, name in zip(panels, shown, strict=True):
            _panel(axes, results, name, advice)
            label = f"Force MAE on {words(name)} (meV/Å)"
            error = results["force_mae"].mean("replicate").sel(test_set=name).values * MILLI
            norm = _norm(error[_cells(results, name)])
            bar = figure.colorbar(
                ScalarMappable(norm, SEQUENTIAL), ax=axes, label=label, aspect=30, pad=0.02
            )
            low, high = float(norm.vmin or 1.0), float(norm.vmax or 1.0)
            bar.set_ticks(ticks := round_ticks(low, high), labels=[f"{t:g}" for t in ticks])
            bar.minorticks_off()
            axes.set_xlabel("Molecules")
        panels[0].set_ylabel("Conformers per molecule")
        if len(panels) > 1:
            panel_letters(panels.tolist())
    return figure


def _cells(results: xr.Dataset, test_set: str) -> np.ndarray:
    """Return the designs of random choice whose error on a test set is known, each cell once."""
    known = np.isfinite(results["force_mae"].sel(test_set=test_set).values).any(axis=1)
    for selector in ("molecule_selector", "conformer_selector"):
        if selector in results.coords:
            known &= results[selector].values.astype(str) == "random"
    pairs = np.stack([results["n_molecules"].values, results["n_conformers"].values], axis=-1)
    _, first = np.unique(np.where(known[:, None], pairs, -1), axis=0, return_index=True)
    return np.sort(first[known[first]])


def _norm(error: np.ndarray) -> LogNorm:
    return LogNorm(error.min() / 1.02, error.max() * 1.02)


def _edges(values: np.ndarray) -> dict[float, tuple[float, float]]:
    """Return the ends of a cell about each value: halfway to its neighbours, in the logarithm."""
    steps = np.unique(values.astype(float))
    if len(steps) == 1:
        return {steps[0]: (steps[0] / 1.5, steps[0] * 1.5)}
    between = np.sqrt(steps[1:] * steps[:-1])
    first, last = steps[0] ** 2 / between[0], steps[-1] ** 2 / between[-1]
    ends = [first, *between, last]
    return dict(zip(steps.tolist(), pairwise(ends), strict=True))


def _panel(axes: Axes, results: xr.Dataset, test_set: str, advice: Advice | None) -> None:
    chosen = _cells(results, test_set)
    of = results.sel(test_set=test_set).isel(design=chosen)
    molecules, conformers = (of[n].values.astype(float) for n in ("n_molecules", "n_conformers"))
    error = of["force_mae"].mean("replicate").values * MILLI
    bounds = of["force_mae_interval"].values * MILLI
    undertrained = of["undertrained"].values
    wide, high = _edges(molecules), _edges(conformers)
    norm = _norm(error)
    for k, (m, c) in enumerate(zip(molecules.tolist(), conformers.tolist(), strict=True)):
        (left, right), (bottom, top) = wide[m], high[c]
        colour = mpl.colormaps[SEQUENTIAL](norm(error[k]))
        axes.add_patch(
            Rectangle((left, bottom), right - left, top - bottom, fc=colour, ec="white", lw=pt(0.8))
        )
        ink = "white" if norm(error[k]) < 0.6 else "black"
        middle = (float(np.sqrt(left * right)), float(np.sqrt(bottom * top)))
        star = "*" if undertrained[k] else ""
        axes.annotate(
            f"{error[k]:.0f}{star}",
            middle,
            xytext=(0, pt(2)),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=type_size(7),
            color=ink,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": pt(0.6)},
            zorder=4,
        )
        if not np.isfinite(bounds[k]).all():
            continue  # one replicate has no interval
        axes.annotate(
            f"{bounds[k, 0]:.0f}–{bounds[k, 1]:.0f}",
            middle,
            xytext=(0, pt(-1)),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=type_size(5),
            color=ink,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": pt(0.6)},
            zorder=4,
        )
    label = f"Force MAE on {words(test_set)} (meV/Å)"
    trained = np.where(undertrained, "cell, undertrained", "cell")
    tell(
        axes,
        words(test_set),
        molecules,
        conformers,
        value=error,
        bounds=bounds,
        value_label=label,
        kind=trained,
    )
    box = [min(e[0] for e in wide.values()), max(e[1] for e in wide.values())]
    box += [min(e[0] for e in high.values()), max(e[1] for e in high.values())]
    if advice is not None:
        box = _advised(axes, advice, box)
    _costs(axes, molecules * conformers, box)
    log_axis(axes, "x", box[0], box[1], spaced(molecules.tolist(), 1.3))
    log_axis(axes, "y", box[2], box[3], spaced(conformers.tolist(), 1.3))


def _costs(axes: Axes, labels: np.ndarray, box: list[float]) -> None:
    """Draw lines of equal numbers of labels, named where they enter the panel."""
    costs = np.unique(labels)
    costs = costs[np.unique(np.linspace(0, len(costs) - 1, _LINES).round().astype(int))]
    for cost in costs:
        axes.plot(
            box[:2], [cost / box[0], cost / box[1]], color=GREY, lw=pt(0.5), ls="--", zorder=3
        )
        at_left = cost / box[0] < box[3]
        axes.annotate(
            f"{cost:,.0f}" + " labels" * bool(cost == costs[-1]),
            (box[0], cost / box[0]) if at_left else (cost / box[3], box[3]),
            xytext=(pt(2), pt(1)) if at_left else (pt(1), pt(2)),
            textcoords="offset points",
            fontsize=type_size(5.5),
            color=GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": pt(0.6), "alpha": 0.85},
            annotation_clip=False,
            zorder=3,
        )


def _advised(axes: Axes, advice: Advice, box: list[float]) -> list[float]:
    """Mark the advised cell; return limits that hold it."""
    m, c = float(advice.n_molecules), float(advice.n_conformers)
    many, deep = advice.n_molecules_interval, advice.n_conformers_interval
    red = "#D55E00"
    face = red if advice.supported else "white"
    axes.plot(many, (c, c), color=red, lw=pt(0.8), zorder=5)
    axes.plot((m, m), deep, color=red, lw=pt(0.8), zorder=5)
    axes.plot(m, c, marker="*", ms=pt(9), mfc=face, mec=red, mew=pt(0.8), zorder=6)
    kind = "advised" if advice.supported else "advised, not supported"
    axes.annotate(
        f"{advice.n_molecules:,} × {advice.n_conformers:,}",
        (m, c),
        xytext=(pt(4), pt(3)),
        textcoords="offset points",
        va="bottom",
        fontsize=type_size(6.5),
        color=red,
        zorder=6,
    )
    tell(axes, "advice", m, c, x_bounds=many, bounds=deep, kind=kind)
    return [
        min(box[0], many[0] / 1.6),
        max(box[1], many[1] * 1.6),
        min(box[2], deep[0] / 1.6),
        max(box[3], deep[1] * 1.6),
    ]
