"""One look for all figures: a paper's columns or a slide, colours that colour-blind eyes part."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .inline import InlineFigure

Column = Literal["single", "double"]
Style = Literal["paper", "talk"]
Canvas = Figure | SubFigure
WIDTH = {"single": 3.35, "double": 7.0}
"""Width of a paper's figure, inches."""
SLIDE = (13.333, 7.5)
"""A slide of 16:9, inches."""
LEAST_TYPE = 14.0
"""Of a slide, pt: what the last row of a room can read."""
MILLI = 1000.0
"""eV → meV: results are in eV and eV/Å, figures in meV and meV/Å."""
CYCLE = ("#56B4E9", "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#000000", "#999999")
"""Okabe & Ito's colours, without the yellow, which is too light for lines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
GREY = "#666666"
SEQUENTIAL = "viridis"

_BODY = 7.0
"""Type of a paper's figure, pt."""
_TYPE = {
    "font.size": _BODY,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
}
_STROKES = {
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 3.5,
    "ytick.major.pad": 3.5,
    "axes.labelpad": 4.0,
    "axes.titlepad": 6.0,
    "patch.linewidth": 1.0,
    "hatch.linewidth": 1.0,
    "figure.constrained_layout.w_pad": 0.04167,
    "figure.constrained_layout.h_pad": 0.04167,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "lines.markeredgewidth": 1.0,
}
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "breadth",
    "mathtext.default": "regular",
}


_style: ContextVar[Style] = ContextVar("style", default="paper")
_begun: ContextVar[tuple[Figure, ...]] = ContextVar("begun", default=())


@contextmanager
def using(style: Style) -> Iterator[None]:
    """Draw figures for a paper (the default) or for a talk.

    A paper's figure is 3.35 or 7.0 in wide, its type 7–8 pt. A talk's is a slide of 16:9: panels
    stand beside each other, type has 14 pt at least, and lines and marks grow with it.

    >>> with using("talk"), styled():
    ...     new_figure("single", 3.0).get_size_inches().round(2).tolist()
    [13.33, 7.5]
    """
    token = _style.set(style)
    try:
        yield
    finally:
        _style.reset(token)


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this look, whatever the user's own settings, and leave those as they were."""
    token = _begun.set(())
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC | _scaled(1.0))
        try:
            yield
            for figure in _begun.get():
                _keep_ticks(figure)
        finally:
            _begun.reset(token)


def new_figure(column: Column, height: float, figure: Canvas | None = None) -> Figure:
    """Return what to draw into: an empty figure without pyplot's state, or the one given.

    Parameters
    ----------
    column : {'single', 'double'}
        Width of a paper's figure. A slide is as wide as it is.
    height : float
        Inches that a paper's figure takes. A slide is 7.5 in high: the less its figure would take
        on paper, the larger its type.
    figure : Figure or SubFigure, optional
        Keeps its size and its layout.
    """
    scale = 1.0
    if on_slide():
        room = float(figure.bbox.height / figure.dpi) if figure is not None else SLIDE[1]
        scale = float(np.clip(room / height, 1.7, 2.3))
        mpl.rcParams.update(_scaled(scale))
    if figure is None:
        size = SLIDE if on_slide() else (WIDTH[column], height)
        figure = InlineFigure(figsize=size, layout="constrained")
    _begun.set((*_begun.get(), cast(Figure, figure)))
    return cast(Figure, figure)  # a SubFigure has all that is asked of it here


def _scaled(scale: float) -> dict[Any, Any]:
    """Return matplotlib's settings of sizes, so many times a paper's."""
    least = LEAST_TYPE if scale > 1.0 else 0.0
    types = {name: max(size * scale, least) for name, size in _TYPE.items()}
    return types | {name: size * scale for name, size in _STROKES.items()}


def _keep_ticks(figure: Figure) -> None:
    """Write the look of ticks into the axes: matplotlib makes ticks when it draws, in its own."""
    rc: dict[Any, Any] = mpl.rcParams
    for axes in figure.get_axes():
        for name, axis in (("xtick", axes.xaxis), ("ytick", axes.yaxis)):
            settings = {"size": "length", "width": "width", "pad": "pad"}
            look = {key: rc[f"{name}.major.{of}"] for of, key in settings.items()}
            look["labelsize"] = rc[f"{name}.labelsize"]
            own = axis.get_tick_params(which="major")
            axis.set_tick_params(which="major", **{k: v for k, v in look.items() if k not in own})


def pt(size: float) -> float:
    """Return the width of a line or the size of a mark that a paper's figure has, as drawn."""
    return size * float(mpl.rcParams["lines.linewidth"])


def type_size(size: float) -> float:
    """Return a size of type that a paper's figure has, pt, as drawn."""
    scale = pt(1.0)
    return max(size * scale, LEAST_TYPE) if scale > 1.0 else size


def on_slide() -> bool:
    """Say whether a figure is for a talk."""
    return _style.get() == "talk"


def stacked(column: Column) -> bool:
    """Say whether panels stand below each other: in a paper's single column, not on a slide."""
    return column == "single" and not on_slide()


def line_length(column: Column) -> int:
    """Return how many characters of small type stand on a line of the figure."""
    return 72 if on_slide() else {"single": 52, "double": 110}[column]


def legend_length(column: Column) -> int:
    """Return how many characters of a legend's type stand beside each other, handles included."""
    return 78 if on_slide() else {"single": 56, "double": 130}[column]


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
    return max(1, min(len(labels), line_length(column) // (max(map(len, labels)) + handle)))


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
    figure = axes.get_figure(root=True)
    assert figure is not None
    size = type_size(size)
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
    gap = 1.15 * size / 72.0 / (axes.get_window_extent().height / figure.dpi)
    placed = apart(wanted, gap)
    for text, start, y, (_, _, colour) in zip(texts, wanted, placed, labels, strict=True):
        text.set_y(y)
        axes.plot(
            [1.0, 1.035],
            [start, y],
            transform=axes.transAxes,
            color=colour,
            lw=pt(0.5),
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


def panel_letters(panels: Sequence[Axes], *, pad: float = 6.0) -> None:
    """Letter the panels a, b, c, … at their upper left, where a text can refer to them."""
    if on_slide():
        return
    for letter, axes in zip("abcdefghijkl", panels, strict=False):
        axes.set_title(letter, loc="left", fontweight="bold", fontsize=type_size(8), pad=pt(pad))
