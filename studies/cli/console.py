"""What commands print: tables and progress on a terminal, one JSON object with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ..progress import progress_bar as progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ...diversity import ConformerSet


def output() -> Console:
    """Return the console of stdout, for results."""
    from rich.console import Console

    # A pipe has no width: lines stay whole for the next program.
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


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


def tell_left_out(*sets: ConformerSet) -> None:
    """Say on stderr which records sets were read without, so that none is missed in silence."""
    aside = [entry for one in sets for entry in one.metadata.get("set_aside", [])]
    if aside:
        first = f"{aside[0]['record']}: {aside[0]['reason']}"
        more = f", and {len(aside) - 1:,} more (breadth describe counts them)" if aside[1:] else ""
        messages().print(_escaped(f"left out: {first}{more}."))


def emit_json(content: Any) -> None:
    """Print one JSON object to stdout."""
    print(json.dumps(content, indent=None, ensure_ascii=False))


def table(
    columns: list[str], rows: list[list[str]], title: str | None = None, *, left: int = 1
) -> None:
    """Print a table whose first columns, `left` of them, are texts and the others numbers."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, show_header=any(columns))
    for i, column in enumerate(columns):
        drawn.add_column(_escaped(column), justify="left" if i < left else "right")
    for row in rows:
        # SMILES such as c1cc[nH]c1 look like markup.
        drawn.add_row(*map(_escaped, row))
    if title is not None:
        # Not the table's own title, which would wrap at the table's width.
        output().print(f"[bold]{_escaped(title)}[/]")
    output().print(drawn)


def listing(content: Mapping[str, Any], title: str | None = None) -> None:
    """Print names and values, a line each."""
    # The ground imports numpy, which must not load before its threads are set.
    from ...diversity.html import shown

    rows = [[key.replace("_", " "), shown(value)] for key, value in content.items()]
    table(["", title or ""], rows, left=2)


def drawn_figures(out: Path) -> list[str]:
    """Return the paths of a study's figures, sorted."""
    return sorted(str(path) for path in (out / "figures").rglob("*.png"))


def tell_written(out: Path) -> None:
    """Say where a finished study's figures and results are."""
    output().print("\nFigures (PDF beside each PNG):")
    for figure in drawn_figures(out):
        output().print(f"  {figure}", soft_wrap=True)
    output().print(f"Results: {out / 'results.nc'}  Predictions: {out / 'predictions.nc'}")
    note("Run the same command again to see this table; it computes nothing twice.")


def worker_count(threads: int) -> int:
    """Return how many worker processes of so many threads fill this machine."""
    from ..record import cores

    return max(1, cores() // threads)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
