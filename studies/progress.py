"""How far something is: a bar on a terminal, lines in a notebook, silence in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

#: Seconds between two drawings in a notebook.
_PAUSE = 0.2


class Shown:
    """Shows how far each phase of something is.

    Call it as ``show(phase, done, total)``, which is what studies do with their ``progress``; or
    give ``show.of(phase)`` to what counts by itself, such as `breadth.training.fit` or
    `breadth.sampling.label`.
    """

    def __init__(self, draw: Callable[[str, float, float], None]) -> None:
        self._draw = draw

    def __call__(self, phase: str, done: float, total: float) -> None:
        """Show that of a phase so much is done."""
        self._draw(phase, done, total)

    def of(self, phase: str) -> Callable[..., None]:
        """Return ``tell(done, total, …)`` of one phase; what else it is told is not shown."""

        def tell(done: float, total: float, *_: Any) -> None:
            self._draw(phase, done, total)

        return tell


@contextmanager
def progress_bar() -> Iterator[Shown]:
    """Give what shows progress: a bar with the time left on a terminal, lines in a notebook.

    Where nobody watches, as in a log, it is silent.

    Examples
    --------
    >>> with progress_bar() as show:
    ...     show("labels", 3, 10)
    """
    if _in_notebook():
        with _notebook() as draw:
            yield Shown(draw)
    else:
        with _terminal() as draw:
            yield Shown(draw)


def _in_notebook() -> bool:
    # Nothing is imported for it: where IPython is not loaded, this is no notebook.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and getattr(shell, "kernel", None) is not None


@contextmanager
def _terminal() -> Iterator[Callable[[str, float, float], None]]:
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from .cli.console import messages

    with Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(),
        console=messages(),
        disable=not sys.stderr.isatty(),
    ) as display:
        tasks: dict[str, TaskID] = {}

        def draw(phase: str, done: float, total: float) -> None:
            if phase not in tasks:
                tasks[phase] = display.add_task(phase, total=total)
            display.update(tasks[phase], completed=done, total=total)

        yield draw


@contextmanager
def _notebook() -> Iterator[Callable[[str, float, float], None]]:
    from IPython.display import HTML, display

    phases: dict[str, _Phase] = {}
    lines = display(HTML(""), display_id=True)
    drawn = 0.0

    def redraw() -> None:
        lines.update(
            HTML(f"<table><tbody>{''.join(p.row() for p in phases.values())}</tbody></table>")
        )

    def draw(phase: str, done: float, total: float) -> None:
        nonlocal drawn
        phases.setdefault(phase, _Phase(phase)).pass_to(done, total)
        now = time.monotonic()
        if now - drawn >= _PAUSE:
            drawn = now
            redraw()

    try:
        yield draw
    finally:
        redraw()


class _Phase:
    """One line of a notebook: a bar of the browser's own, in the notebook's colours."""

    def __init__(self, name: str) -> None:
        self.name, self.begun, self.last = name, time.monotonic(), time.monotonic()
        self.share = 0.0

    def pass_to(self, done: float, total: float) -> None:
        self.share = min(1.0, done / total) if total else 1.0
        self.last = time.monotonic()

    def row(self) -> str:
        spent = self.last - self.begun
        left = ""
        if 0.0 < self.share < 1.0:
            left = f"about {_clock(spent / self.share - spent)} left"
        cells = (
            escape(self.name),
            f'<progress value="{self.share:.4f}" max="1"></progress>',
            f"{100 * self.share:.0f} %",
            _clock(spent),
            left,
        )
        return "<tr>" + "".join(f"<td style='text-align:left'>{c}</td>" for c in cells) + "</tr>"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
