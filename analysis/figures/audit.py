"""Figures of an audit: labels, nearest frames, torsions, and what files share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from ...diversity.audit.distributions import Distributions
from ...diversity.audit.frames import NEAR_LIMIT
from ...diversity.audit.torsional import REACH
from .files import FORMATS, Format, save_all
from .style import (
    CYCLE,
    GREY,
    MILLI,
    Canvas,
    Column,
    legend_columns,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    shortened,
    stacked,
    styled,
    type_size,
)
from .table import tell, tell_histogram

#: Distances below this are drawn at it: exact copies have none, Å.
_LEAST = 1e-4
_NAMED = "named by the audit"


def draw_audit(
    shown: Mapping[str, Distributions],
    torsions: Mapping[str, Mapping[str, Any]],
    leakage: Sequence[Mapping[str, Any]],
    sizes: Mapping[str, tuple[int, int]],
    directory: Path,
    *,
    column: Column = "single",
    formats: Sequence[Format] = FORMATS,
) -> list[Path]:
    """Draw the figures of an audit and write each with its numbers.

    Parameters
    ----------
    shown : mapping of str to Distributions
        By the name of each file.
    torsions : mapping of str to mapping
        Of :func:`breadth.diversity.audit.torsional_regions`.
    leakage : sequence of mapping
        Of :func:`breadth.diversity.audit.leakage`.
    sizes : mapping of str to (int, int)
        Conformers and molecules (constitutions) of each file.
    directory : Path
    column : {'single', 'double'}
    formats : sequence of {'pdf', 'png', 'svg'}

    Returns
    -------
    list of Path
        The files of each figure; what a set cannot show has none.
    """
    figures: dict[str, Figure] = {}
    if any(len(d.energy) or len(d.force_norm) for d in shown.values()):
        figures["labels"] = labels(shown, column=column)
    if any(len(d.nearest) for d in shown.values()):
        figures["nearest_frames"] = nearest_frames(shown, column=column)
    if any(found["patterns"]["frequent"] for found in torsions.values()):
        figures["torsions"] = torsional_coverage(torsions, column=column)
    if len(sizes) > 1:
        figures["leakage"] = shared_records(leakage, sizes, column=column)
    return save_all(figures, directory, formats=formats)


def labels(
    shown: Mapping[str, Distributions], *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw distributions of energies and force norms; crosses are records that the audit names.

    Parameters
    ----------
    shown : mapping of str to Distributions
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    relative = {d.relative_to for d in shown.values() if len(d.energy)}
    with styled():
        shape = (2, 1) if stacked(column) else (1, 2)
        figure, panels, below = _panels(column, shape, 1.7, shown, figure)
        energies, forces = panels
        _histograms(energies, shown, "energy", MILLI, _energy_edges)
        base = relative.pop() if len(relative) == 1 else "molecule or composition"
        energies.set_xlabel(f"Energy − {base} (meV/atom)")
        _histograms(forces, shown, "force_norm", 1.0, _log_edges)
        forces.set_xlabel("|F| of each atom (eV/Å)")
        panel_letters([energies, forces])
        _legend(below, shown, column)
    return figure


def nearest_frames(
    shown: Mapping[str, Distributions], *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the distance of each frame to the nearest other one of its molecule.

    Parameters
    ----------
    shown : mapping of str to Distributions
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    with styled():
        figure, (axes,), below = _panels(column, (1, 1), 2.0, shown, figure)
        edges = partial(_log_edges, least=0.0)
        _histograms(axes, shown, "nearest", 1.0, edges, least=_LEAST)
        axes.axvline(NEAR_LIMIT, color=GREY, lw=pt(0.8), ls="--")
        axes.set_xlabel("RMSD to the nearest frame of the molecule (Å)")
        if axes.get_xlim()[0] < NEAR_LIMIT:
            low = axes.get_ylim()[1]
            axes.text(
                NEAR_LIMIT / 1.15,
                low,
                "one geometry",
                ha="right",
                va="top",
                size=type_size(6),
                c=GREY,
            )
        _legend(below, shown, column)
    return figure


def torsional_coverage(
    torsions: Mapping[str, Mapping[str, Any]],
    *,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw where torsions of the most frequent patterns are, and which minima no conformer visits.

    Parameters
    ----------
    torsions : mapping of str to mapping
        Of :func:`breadth.diversity.audit.torsional_regions`, by the name of each file.
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    chosen = _patterns(torsions)
    across = min(len(chosen), 2 if stacked(column) else 4)
    down = -(-len(chosen) // across)
    names = [shortened(name, column) for name in torsions]
    with styled():
        room = _room(names, column) if len(names) > 1 else 0.0
        height = 1.25 + 0.06 * len(names)
        figure = new_figure(column, 0.45 + height * down + room, figure)
        body: Figure | SubFigure = figure
        if room:
            ratios = [room, 0.45 + height * down]
            top, body = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios).ravel()
            handles = [Patch(color=CYCLE[k % len(CYCLE)]) for k in range(len(names))]
            ncols = legend_columns(names, column)
            top.legend(
                handles, names, loc="center", fontsize=type_size(6), ncols=ncols, frameon=False
            )
        panels = body.subplots(down, across, squeeze=False, sharex=True).ravel()
        for axes, pattern in zip(panels, chosen, strict=False):
            _torsion(axes, pattern, torsions)
        for axes in panels[len(chosen) :]:
            axes.axis("off")
        body.supxlabel(
            "Magnitude of the torsion (°)\nTriangles: minima in crystals; empty: never visited",
            fontsize=type_size(6.5),
        )
        body.supylabel("Conformers (%)", fontsize=type_size(7))
    return figure


def _patterns(torsions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return at most eight patterns, the most frequent in all; three places for missing minima."""
    frequent: dict[str, int] = {}
    lacking: dict[str, int] = {}
    for found in torsions.values():
        for one in found["patterns"]["frequent"]:
            name = one["pattern"]
            frequent[name] = frequent.get(name, 0) + one["n_conformers"]
        for one in found["patterns"]["worst"]:
            name = one["pattern"]
            lacking[name] = lacking.get(name, 0) + one["n_conformers"]
    ordered = sorted(frequent, key=lambda name: (-frequent[name], name))
    rare = [n for n in sorted(lacking, key=lambda n: (-lacking[n], n)) if n not in ordered[:5]][:3]
    return [*(name for name in ordered[: 8 - len(rare)] if name not in rare), *rare]


def _torsion(axes: Axes, name: str, torsions: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw one pattern: a histogram for each file that has it, and its minima."""
    top, sizes = 1.0, []
    for k, found in enumerate(torsions.values()):
        there = [*found["patterns"]["frequent"], *found["patterns"]["worst"]]
        pattern = next((p for p in there if p["pattern"] == name), None)
        if pattern is None:
            continue
        colour = CYCLE[k % len(CYCLE)]
        counts = np.array(pattern["counts"], dtype=float)
        share = 100.0 * counts / max(1.0, counts.sum())
        edges = np.linspace(0.0, 180.0, len(counts) + 1)
        alone = len(torsions) == 1
        axes.stairs(share, edges, color=colour, fill=alone, lw=pt(1.0))
        tell_histogram(axes, list(torsions)[k], share, edges)
        n = pattern["n_molecules"]
        of = "1 torsion" if n == 1 else f"{n:,} torsions"
        sizes.append(f"{of}, {pattern['n_conformers']:,} conformers")
        top = max(top, float(share.max()))
        for minimum in pattern["minima"]:
            empty = minimum in pattern["missing"]
            axes.plot(
                *(minimum, 1.06 + 0.08 * k), "v", ms=pt(4), mec=colour, mew=pt(0.8), clip_on=False,
                mfc="white" if empty else colour, transform=axes.get_xaxis_transform(),
            )  # fmt: skip
            if empty and alone and pattern["judged"]:
                span = (max(0, minimum - REACH), min(180, minimum + REACH))
                axes.axvspan(*span, color=CYCLE[3], alpha=0.15, lw=0)
    axes.set(xlim=(0, 180), ylim=(0, 1.05 * top), xticks=[0, 60, 120, 180])
    text = "\n".join(name.replace("!@;-", "!@;-\n").split("\n")[:2]).replace("$", r"\$")
    lines = [shortened(line, "single", limit=31) for line in text.split("\n")]
    lines += sizes if len(sizes) == 1 else []
    room = pt(3 + 5 * len(torsions))
    axes.set_title("\n".join(lines), fontsize=type_size(5.2), loc="left", pad=room)


def shared_records(
    leakage: Sequence[Mapping[str, Any]],
    sizes: Mapping[str, tuple[int, int]],
    *,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw how much of each file stands in each other one: conformers, and molecules.

    Parameters
    ----------
    leakage : sequence of mapping
        Of :func:`breadth.diversity.audit.leakage`.
    sizes : mapping of str to (int, int)
        Conformers and molecules of each file.
    column : {'single', 'double'}
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    names = list(sizes)
    counts = np.zeros((2, len(names), len(names)), dtype=np.int64)
    for pair in leakage:
        i, j = (names.index(name) for name in pair["files"])
        counts[0, i, j], counts[0, j, i] = pair["contained"]
        counts[1, i, j] = counts[1, j, i] = pair["molecules"]
    with styled():
        side = 0.34 * len(names)
        tall = stacked(column)
        figure = new_figure(column, (2 if tall else 1) * (side + 0.9) + 0.2, figure)
        panels = figure.subplots(*((2, 1) if tall else (1, 2)), sharex=tall, sharey=not tall)
        for which, (axes, what) in enumerate(
            zip(panels.ravel(), ("Conformers", "Molecules"), strict=True)
        ):
            total = np.array([sizes[name][which] for name in names], dtype=float)
            share = counts[which] / np.maximum(total, 1.0)[:, None]
            _matrix(axes, counts[which], share, names)
            row, col = np.nonzero(~np.eye(len(names), dtype=bool))
            tell(
                axes, what, np.take(names, col), np.take(names, row), value=counts[which][row, col]
            )
            axes.set_title(
                f"{what} of a row that a column has", fontsize=type_size(7.5), loc="left"
            )
    return figure


def _matrix(axes: Axes, counts: np.ndarray, share: np.ndarray, names: list[str]) -> None:
    short = [shortened(name, "single") for name in names]
    masked = np.ma.masked_array(share, mask=np.eye(len(names), dtype=bool))
    colours = mpl.colormaps["Oranges"].with_extremes(bad="#eeeeee")
    axes.imshow(masked, cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
    for (i, j), value in np.ndenumerate(counts):
        if i != j:
            said = "0" if not value else f"{value:,}\n{_percent(float(share[i, j]))}"
            dark = share[i, j] > 0.6
            axes.text(
                j, i, said, ha="center", va="center", size=type_size(6), c="w" if dark else "k"
            )
    axes.set_xticks(range(len(names)), short, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), short)
    axes.tick_params(length=0, labelsize=type_size(6))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _percent(share: float) -> str:
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{100 * share:.0f} %" if share >= 0.0095 or share == 0 else "< 1 %"


def _histograms(
    axes: Axes,
    shown: Mapping[str, Distributions],
    what: str,
    scale: float,
    edges_of: Callable[[Axes, np.ndarray], np.ndarray],
    least: float = 0.0,
) -> None:
    """Draw outlines of the distributions of several sets, and the named values below them."""
    values = {
        name: scale * np.maximum(getattr(d, what), least if least else -np.inf)
        for name, d in shown.items()
    }
    named = {
        name: scale * np.maximum(d.named[what], least if least else -np.inf)
        for name, d in shown.items()
    }
    everything = np.concatenate([*values.values(), *named.values()])
    if not everything.size:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    edges = edges_of(axes, everything)
    for place, (name, some) in enumerate(values.items()):
        colour = CYCLE[place % len(CYCLE)]
        if some.size:
            weights = np.full(len(some), 100.0 / len(some))
            n, _, _ = axes.hist(
                some, edges.tolist(), weights=weights, histtype="step", color=colour
            )
            tell_histogram(axes, name, n, edges)
        marks = np.clip(named[name], edges[0], edges[-1])
        if not marks.size:  # a line without points would upset the layout
            continue
        tell(axes, name, named[name], None, kind=_NAMED)
        height = np.full(len(marks), 0.04 + 0.06 * place)
        across = axes.get_xaxis_transform()
        axes.plot(
            marks, height, "x", c=colour, ms=pt(5), mew=pt(1.2), transform=across, clip_on=False
        )
    axes.set(ylabel="Share (%)", xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)


def _energy_edges(axes: Axes, values: np.ndarray) -> np.ndarray:
    """Return linear bins, or symmetric logarithmic ones where outliers would squeeze the rest."""
    low, high = np.quantile(values, [0.005, 0.995])
    reach = max(high - low, 1e-6)
    if values.min() > low - 3 * reach and values.max() < high + 3 * reach:
        span = values.max() - values.min()
        return np.linspace(values.min() - 0.02 * span - 1e-9, values.max() + 0.02 * span + 1e-9, 80)
    linear = max(abs(low), abs(high))
    axes.set_xscale("symlog", linthresh=linear)
    powers = np.arange(np.ceil(np.log10(4 * linear)), np.log10(np.abs(values).max()) + 0.05)
    ticks = [0.0, *(s * 10.0**p for p in powers[:: -(-len(powers) // 3) or 1] for s in (-1, 1))]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    far = [np.geomspace(linear, max(abs(v), 1.01 * linear) * 1.1, 20)[1:] for v in
           (values.min(), values.max())]  # fmt: skip
    left = -far[0][::-1] if values.min() < -linear else np.zeros(0)
    right = far[1] if values.max() > linear else np.zeros(0)
    return np.concatenate([left, np.linspace(-linear, linear, 60), right])


def _log_edges(axes: Axes, values: np.ndarray, least: float = 1e-4) -> np.ndarray:
    """Return logarithmic bins from a quantile of the values to the largest."""
    positive = values[values > 0]
    if not positive.size:
        return np.linspace(-1.0, 1.0, 3)
    low = max(np.quantile(positive, least), positive.max() / 1e6) / 1.1
    high = positive.max() * 1.1
    log_axis(axes, "x", low, high)
    return np.geomspace(low, high, 80)


def _panels(
    column: Column,
    shape: tuple[int, int],
    height: float,
    shown: Mapping[str, Any],
    figure: Canvas | None,
) -> tuple[Figure, list[Axes], SubFigure]:
    """Return panels in rows of a height in inches, and room below them for the names of sets."""
    room = _room([*shown, _NAMED], column)
    figure = new_figure(column, height * shape[0] + room, figure)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[height * shape[0], room])
    above, below = parts.ravel()
    return figure, above.subplots(*shape, squeeze=False).ravel().tolist(), below


def _room(names: Sequence[str], column: Column) -> float:
    """Return the height in inches that a legend of these names takes."""
    short = [shortened(name, column) for name in names]
    return 0.06 + 0.125 * -(-len(short) // legend_columns(short, column))


def _legend(place: SubFigure, shown: Mapping[str, Distributions], column: Column) -> None:
    """Name the sets."""
    names = [shortened(name, column) for name in shown]
    handles = [Line2D([], [], color=CYCLE[k % len(CYCLE)]) for k in range(len(names))]
    if any(len(v) for d in shown.values() for v in d.named.values()):
        handles.append(Line2D([], [], color=GREY, marker="x", ls="", ms=pt(4), mew=pt(1.2)))
        names.append(_NAMED)
    ncols = legend_columns(names, column)
    place.legend(handles, names, loc="center", fontsize=type_size(6), ncols=ncols, frameon=False)
