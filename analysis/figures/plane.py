"""The plane of molecules × conformers: where designs and published sets stand."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ...diversity.html import words
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
    stacked,
    styled,
    type_size,
)
from .table import tell

PUBLISHED: dict[str, tuple[float, float]] = {
    "ANI-1": (57_462, 348),
    "GEOM": (450_000, 82),
    "Molecule3D": (3_900_000, 1),
    "NablaDFT": (1_000_000, 5),
    "OrbNet Denali": (212_905, 11),
    "QMugs": (665_000, 3),
    "QM7-X": (6_950, 603),
    "SPICE 2": (113_999, 17.6),
    "SPICE 2 PubChem": (28_039, 50),
}
"""Molecules and mean conformers per molecule of published sets, as openQDC lists them."""
_LEFTWARD = {"SPICE 2", "QM7-X", "ANI-1", "Molecule3D"}  # names that stand left of their mark


def diversity_map(
    results: xr.Dataset,
    *,
    test_set: str = "unseen_molecules",
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw designs over molecules × conformers, coloured by force MAE, with published sets.

    (a) the whole plane with lines of equal budget and the sets that openQDC lists; (b) the
    designs, each with its mean force MAE on one test set. A design of both experiments is drawn
    once: both have the same model there.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.measure_errors`.
    test_set : str
        Whose error gives the colour.
    column : {'single', 'double'}
        Panels below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    names = [str(name) for name in results["test_set"].values]
    error = results["force_mae"].mean("replicate").values[:, names.index(test_set)] * MILLI
    molecules = results["n_molecules"].values.astype(float)
    conformers = results["n_conformers"].values.astype(float)
    known = np.isfinite(error)
    molecules, conformers, error = molecules[known], conformers[known], error[known]
    with styled():
        single = stacked(column)
        figure = new_figure(column, 5.2 if single else 3.0, figure)
        rows, columns = (2, 1) if single else (1, 2)
        whole, near = figure.subplots(
            rows, columns, gridspec_kw=None if single else {"width_ratios": [1.35, 1]}
        )
        low, high = error.min() / 1.02, error.max() * 1.02
        norm = LogNorm(low, high)
        box = _limits(molecules, conformers)
        _published(whole)
        whole.scatter(
            molecules, conformers, c=error, norm=norm, cmap=SEQUENTIAL, s=pt(3) ** 2, zorder=3
        )
        whole.add_patch(
            Rectangle(
                (box[0], box[2]), box[1] - box[0], box[3] - box[2], fill=False, ec="k", lw=pt(0.6)
            )
        )
        whole.annotate(
            "this study (b)",
            (box[0], box[2]),
            xytext=(0, pt(-2)),
            textcoords="offset points",
            va="top",
            fontsize=type_size(6.5),
        )
        _designs(near, molecules, conformers, error, norm, box)
        label = f"Force MAE on {words(test_set)} (meV/Å)"
        for axes in (whole, near):
            tell(axes, "designs", molecules, conformers, value=error, value_label=label)
        bar = figure.colorbar(
            ScalarMappable(norm, SEQUENTIAL),
            ax=near,
            label=label,
            aspect=30,
            pad=0.02,
        )
        bar.set_ticks(ticks := round_ticks(low, high), labels=[f"{t:g}" for t in ticks])
        bar.minorticks_off()
        panel_letters((whole, near), pad=9)
        for axes in (whole, near):
            axes.set_xlabel("Molecules")
            axes.set_ylabel("Conformers per molecule")
    return figure


def _limits(molecules: np.ndarray, conformers: np.ndarray) -> tuple[float, float, float, float]:
    return (
        molecules.min() / 1.6,
        molecules.max() * 1.6,
        conformers.min() / 1.6,
        conformers.max() * 1.6,
    )


def _published(axes: Axes) -> None:
    low, high, bottom, top = 5.0, 3e7, 0.2, 3e3
    for power in range(1, 11):
        axes.plot([low, high], [10.0**power / low, 10.0**power / high], color="#DDDDDD", lw=pt(0.6))
    for power in (2, 4, 6, 8):  # each named where its line crosses the upper or left edge
        x, y = 10.0**power / (top / 1.6), top / 1.6
        if x < low * 1.3:
            x, y = low * 1.3, 10.0**power / (low * 1.3)
        axes.text(
            x,
            y,
            f"$10^{power}$ conformers" if power == 8 else f"$10^{power}$",
            color=GREY,
            fontsize=type_size(6),
            ha="left",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
        )
    for name, (x, y) in PUBLISHED.items():
        tell(axes, "published sets", x, y, kind=name)
        left = name in _LEFTWARD
        axes.plot(x, y, marker="s", ms=pt(3.5), mfc="white", mec=GREY, mew=pt(0.8), ls="")
        axes.annotate(
            name,
            (x, y),
            xytext=(pt(-4 if left else 4), 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=type_size(6.5),
        )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top))
    axes.xaxis.set_major_locator(LogLocator(numticks=10))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.text(
        0.99,
        0.015,
        "published sets: openQDC",
        transform=axes.transAxes,
        ha="right",
        fontsize=type_size(6),
        color=GREY,
    )


def _designs(
    axes: Axes,
    molecules: np.ndarray,
    conformers: np.ndarray,
    error: np.ndarray,
    norm: LogNorm,
    box: tuple[float, float, float, float],
) -> None:
    budgets = np.unique(molecules * conformers)
    for budget in budgets:
        axes.plot(
            box[:2], [budget / box[0], budget / box[1]], color="#DDDDDD", lw=pt(0.6), zorder=0
        )
    axes.scatter(
        molecules, conformers, c=error, norm=norm, cmap=SEQUENTIAL, s=pt(4.7) ** 2, zorder=3
    )
    for budget in budgets:
        # each line is named where it enters at the left, or at the top if it is above there
        left = budget / box[0] < box[3]
        x, y = (box[0], budget / box[0]) if left else (budget / box[3], box[3])
        axes.annotate(
            f"{budget:,.0f}" + " conformers" * bool(budget == budgets[-1]),
            (x, y),
            xytext=(pt(2), pt(-1)) if left else (pt(1), pt(1)),
            textcoords="offset points",
            va="top" if left else "bottom",
            fontsize=type_size(5.5),
            color=GREY,
        )
    cells = list(zip(molecules, conformers, strict=True))
    shared = {cell for cell in cells if cells.count(cell) > 1}
    seen: set[tuple[float, float]] = set()
    for x, y, value in zip(molecules, conformers, error, strict=True):
        if (x, y) in seen:
            continue
        seen.add((x, y))
        axes.annotate(
            f"{value:.0f}",
            (x, y),
            # beside the column of designs that share their molecules, above the line of a budget
            xytext=(pt(4), pt(-7))
            if (molecules == x).sum() > 2 and (x, y) not in shared
            else (pt(3), pt(3)),
            textcoords="offset points",
            fontsize=type_size(6.5),
            zorder=2,
        )
    log_axis(axes, "x", box[0], box[1], spaced(list(molecules), 1.3))
    log_axis(axes, "y", box[2], box[3], spaced(list(conformers), 1.3))
