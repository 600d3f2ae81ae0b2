"""The files of a figure: PDF, PNG and SVG of equal bytes for equal figures, and its numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from .style import styled
from .table import write_table

Format = Literal["pdf", "png", "svg"]
FORMATS: tuple[Format, ...] = ("pdf", "png")
"""Those of a study."""
#: Neither dates nor versions: they would differ between equal figures.
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "breadth", "Producer": None},
    "png": {"Software": "breadth"},
    "svg": {"Date": None, "Creator": "breadth"},
}
_DPI = 300
_SLIDE_DPI = 144
"""1920 pixels wide."""


def save(figure: Figure, stem: Path, *, formats: Sequence[Format] = FORMATS) -> list[Path]:
    """Write a figure in each format, and what it shows as ``stem.csv``.

    Parameters
    ----------
    figure : Figure
    stem : Path
        Path without its ending; the folder is made if absent.
    formats : sequence of {'pdf', 'png', 'svg'}
        PDF holds text as text, SVG as outlines, so that it looks alike without the fonts. PNG: 300
        dots per inch, of a slide 1920 pixels.

    Returns
    -------
    list of Path
        Of the pictures, in the order of the formats, then of the table, if there is any.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    with styled():
        for name in formats:
            path = stem.parent / f"{stem.name}.{name}"
            dpi = _SLIDE_DPI if name == "png" and figure.get_figwidth() > 10 else _DPI
            figure.savefig(path, dpi=dpi, metadata=_METADATA[name])
            paths.append(path)
    table = stem.parent / f"{stem.name}.csv"
    return [*paths, table] if write_table(figure, table) else paths


def save_all(
    figures: Mapping[str, Figure], directory: Path, *, formats: Sequence[Format] = FORMATS
) -> list[Path]:
    """Write figures by name; see :func:`save`."""
    return [
        path
        for name, figure in figures.items()
        for path in save(figure, directory / name, formats=formats)
    ]
