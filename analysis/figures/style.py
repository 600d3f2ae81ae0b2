"""One look for all figures: a paper's columns, 7–8 pt type, colours that colour-blind eyes part."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

Column = Literal["single", "double"]
WIDTH = {"single": 3.35, "double": 7.0}
"""Width of a figure, inches."""
MILLI = 1000.0
"""eV → meV: results are in eV and eV/Å, figures in meV and meV/Å."""
CYCLE = ("#56B4E9", "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#000000", "#999999")
"""Okabe & Ito's colours, without the yellow, which is too light for lines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
GREY = "#666666"
SEQUENTIAL = "viridis"

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "breadth",
    "mathtext.default": "regular",
}


@contextmanager
def paper() -> Iterator[None]:
    """Draw in this style, whatever the user's own settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(column: Column, height: float) -> Figure:
    """Return an empty figure of a column's width and a height in inches, without pyplot's state."""
    return Figure(figsize=(WIDTH[column], height), layout="constrained")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.pdf`` (text as text) and ``stem.png`` (300 dpi): equal figures, equal bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.parent / f"{stem.name}.{suffix}" for suffix in ("pdf", "png")]
    metadata: list[dict[str, Any]] = [
        {"CreationDate": None, "ModDate": None, "Creator": "breadth", "Producer": None},
        {"Software": "breadth"},
    ]
    with paper():
        for path, about in zip(paths, metadata, strict=True):
            figure.savefig(path, dpi=300, metadata=about)
    return paths


def words(name: object) -> str:
    """Return a name of the data as words: ``unseen_molecules`` → ``unseen molecules``."""
    return str(name).replace("_", " ")


def shortened(name: str, column: Column, *, limit: int | None = None) -> str:
    """Leave out the middle of a long name: its ends tell names apart.

    >>> shortened("rmd17_aspirin_train_01.npz", "single", limit=13)
    'rmd17_…01.npz'
    """
    limit = limit or {"single": 36, "double": 48}[column]
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[:half]}…{name[-half:]}"


def legend_columns(labels: Sequence[str], column: Column, *, handle: int = 5) -> int:
    """Return how many labels of 6 pt fit beside each other, a handle taking so many characters.

    >>> legend_columns(["a", "b"], "single"), legend_columns(["a" * 30, "b"], "single")
    (2, 1)
    """
    width = {"single": 52, "double": 110}[column]  # characters on a line
    return max(1, min(len(labels), width // (max(map(len, labels)) + handle)))


def round_ticks(low: float, high: float) -> list[float]:
    """Return few round numbers between two positive ones, as a logarithmic axis wants them.

    >>> round_ticks(90.0, 600.0)
    [100.0, 200.0, 300.0, 500.0]
    """
    decades = np.log10(high / low)
    steps: tuple[float, ...] = (1,)
    for limit, finer in (
        (2.0, (1, 2, 5)),
        (1.0, (1, 2, 3, 5, 7)),
        (0.4, (1, 1.5, 2, 3, 4, 5, 6, 8)),
    ):
        if decades < limit:
            steps = finer
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]


def log_axis(
    axes: Axes, which: Literal["x", "y"], low: float, high: float, ticks: Sequence[float] = ()
) -> None:
    """Make an axis logarithmic from low to high, with plain numbers at given or round ticks."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(list(ticks) or round_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def spaced(values: Sequence[float], ratio: float) -> list[float]:
    """Leave out values that stand closer than a ratio to the one before: room for tick labels.

    >>> spaced([20, 25, 40, 300], ratio=1.5)
    [20, 40, 300]
    """
    kept: list[float] = []
    for value in sorted(set(values)):
        if not kept or value / kept[-1] >= ratio:
            kept.append(value)
    return kept


def end_labels(axes: Axes, labels: Sequence[tuple[float, str, Any]], size: float = 7) -> None:
    """Write each line's name at its right end, moved apart where lines end close together.

    Parameters
    ----------
    axes : Axes
        Its limits must be final.
    labels : sequence of (y, text, colour)
        Height of the line's end in data units.
    """
    if not labels:
        return
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    to_axes = axes.transData + axes.transAxes.inverted()
    x_end = axes.get_xlim()[1]
    wanted = np.array([to_axes.transform((x_end, y))[1] for y, _, _ in labels])
    texts = [
        axes.text(1.04, y, text, color=colour, size=size, va="center", transform=axes.transAxes)
        for y, (_, text, colour) in zip(wanted, labels, strict=True)
    ]
    engine = figure.get_layout_engine()
    if engine is not None:  # so that the height of the axes is the one they will be drawn with
        engine.execute(figure)
    gap = 1.15 * size / 72.0 / (axes.get_position().height * figure.get_size_inches()[1])
    placed = apart(wanted, gap)
    for text, start, y, (_, _, colour) in zip(texts, wanted, placed, labels, strict=True):
        text.set_y(y)
        axes.plot(
            [1.0, 1.035],
            [start, y],
            transform=axes.transAxes,
            color=colour,
            lw=0.5,
            clip_on=False,
            in_layout=False,
        )


def apart(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Move heights as little as it takes for neighbours to stand a gap apart, order kept."""
    order = np.argsort(wanted, kind="stable")
    placed = wanted[order].astype(float)
    for _ in range(200):
        overlap = gap - np.diff(placed)
        if (overlap <= 1e-6).all():
            break
        for i in np.flatnonzero(overlap > 0):
            push = max(gap - (placed[i + 1] - placed[i]), 0.0) / 2
            placed[i] -= push
            placed[i + 1] += push
    result = np.empty_like(placed)
    result[order] = placed
    return result


def panel_letters(panels: Sequence[Axes]) -> None:
    """Letter the panels a, b, c, … at their upper left."""
    for letter, axes in zip("abcdefghijkl", panels, strict=False):
        axes.set_title(letter, loc="left", fontweight="bold", fontsize=8)
