"""What commands print: tables and progress on a terminal, one JSON object with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def output() -> Console:
    """Return the console of stdout, for results."""
    from rich.console import Console

    return Console(soft_wrap=not sys.stdout.isatty(), highlight=False)


def messages() -> Console:
    """Return the console of stderr, for all that is not a result."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=not sys.stderr.isatty(), highlight=False)


def fail(message: str, status: int = 1) -> NoReturn:
    """Print one paragraph to stderr and end."""
    messages().print(f"[bold red]error:[/] {_escaped(message)}")
    sys.exit(status)


def note(message: str) -> None:
    """Print a remark to stderr where someone is watching."""
    if sys.stderr.isatty():
        messages().print(_escaped(message))


def emit_json(content: Any) -> None:
    """Print one JSON object to stdout."""
    print(json.dumps(content, indent=None, ensure_ascii=False))


def table(columns: list[str], rows: list[list[str]], title: str | None = None) -> None:
    """Print a table; tab-separated where stdout is not a terminal."""
    from rich import box
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        drawn.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        drawn.add_row(*row)
    output().print(drawn)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a progress display with the time that remains; silent when piped."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=messages(),
        disable=not sys.stderr.isatty(),
    ) as display:
        yield display


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
