"""What a report is made of: sections of texts, facts, tables, pictures and code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

#: Sign of what is below zero, as wide as a digit.
MINUS = "−"


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Parameters
    ----------
    text : str
    role : {'plain', 'lead', 'note', 'warning'}
        A lead says what was found; a note is small; a warning stands out.
    """

    text: str
    role: str = "plain"
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Facts:
    """Names and values, a line each."""

    rows: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Code:
    """Text that is copied as it stands: a command, a configuration, BibTeX.

    Parameters
    ----------
    text, label : str
        The label says what it is, to those who do not see it.
    long : bool
        It scrolls within a window of its own.
    """

    text: str
    label: str
    long: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Value:
    """A number with its interval in a cell of a table, in the units that are shown.

    Parameters
    ----------
    text : str
        The number.
    interval : str
        The bounds; empty where they are not known.
    mark : str
        Such as * for what a note under the table explains.
    strong : bool
        Shown in bold, such as the lowest of a column.
    """

    text: str
    interval: str = ""
    mark: str = ""
    strong: bool = False
    kind: ClassVar[str] = "value"


@dataclass(frozen=True)
class Change:
    """A difference with its interval, which a table draws beside its numbers.

    Parameters
    ----------
    value, lower, upper : float
        In the units that are shown; NaN bounds are not known.
    digits : int
        After the point.
    good : {'below', 'above', ''}
        The side of zero that is the better one; empty where neither is.
    """

    value: float
    lower: float = math.nan
    upper: float = math.nan
    digits: int = 0
    good: str = "below"
    kind: ClassVar[str] = "change"

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)

    @property
    def verdict(self) -> str:
        """``below``, ``above`` or ``undecided``: where the interval lies against zero."""
        if not self.known or self.lower <= 0 <= self.upper:
            return "undecided"
        return "below" if self.upper < 0 else "above"

    @property
    def judged(self) -> str:
        """``better``, ``worse`` or ``undecided``; what is neither good nor bad is undecided."""
        if self.verdict == "undecided" or not self.good:
            return "undecided"
        return "better" if self.verdict == self.good else "worse"

    @property
    def text(self) -> str:
        """The difference, with its sign."""
        return signed(self.value, self.digits)

    @property
    def interval(self) -> str:
        """The bounds in words of numbers; empty where they are not known."""
        if not self.known:
            return ""
        return f"{signed(self.lower, self.digits)} to {signed(self.upper, self.digits)}"


Cell = str | Value | Change


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Parameters
    ----------
    columns : sequence of str
    rows : sequence of sequences of Cell
    caption : str
        What it shows, with units.
    note : str
        What its marks mean.
    words : int
        Columns of words, from the left; the others are numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    note: str = ""
    words: int = 1
    kind: ClassVar[str] = "table"

    @property
    def reach(self) -> float:
        """Half the width of the scale on which differences of this table are drawn.

        One interval of ten may be cut: else a single wide one would hide all others.
        """
        ends = sorted(
            abs(end)
            for row in self.rows
            for cell in row
            if isinstance(cell, Change)
            for end in (cell.value, cell.lower, cell.upper)
            if math.isfinite(end)
        )
        return 1.1 * ends[int(0.9 * (len(ends) - 1))] or 1.0 if ends else 1.0

    @property
    def crowded(self) -> bool:
        """Whether so many differences stand beside each other that each is drawn below itself."""
        return any(sum(isinstance(cell, Change) for cell in row) > 2 for row in self.rows)


@dataclass(frozen=True)
class Picture:
    """A figure, inside the page.

    Parameters
    ----------
    source : str
        A data URI.
    alt, caption : str
        What it shows, to those who do not see it and to those who do.
    width, height : int
        In pixels of the page.
    """

    source: str
    alt: str
    caption: str
    width: int
    height: int
    kind: ClassVar[str] = "picture"


Block = Text | Facts | Code | Table | Picture


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Parameters
    ----------
    title : str
    blocks : sequence of Block
    parts : sequence of Section
        Sections within it.
    """

    title: str
    blocks: Sequence[Block] = ()
    parts: Sequence[Section] = ()


@dataclass(frozen=True)
class Report:
    """A whole report.

    Parameters
    ----------
    title, subtitle : str
    facts : sequence of (str, str)
        The few numbers that stand at the top: a value and what it is.
    sections : sequence of Section
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=list)


def signed(value: float, digits: int = 0) -> str:
    """Return a number with its sign; a dash where it is not known.

    >>> signed(-1.26, 1), signed(0.2), signed(math.nan)
    ('−1.3', '0', '–')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{abs(value):,.{digits}f}"
    if not text.strip("0.,"):
        return text
    return (MINUS if value < 0 else "+") + text


def number(value: float, digits: int = 0) -> str:
    """Return a number without a plus; a dash where it is not known.

    >>> number(1234.5), number(-0.5, 1), number(math.nan)
    ('1,234', '−0.5', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}f}".replace("-", MINUS)


def bounds(interval: Iterable[float], digits: int = 0, *, unit: float = 1.0) -> str:
    """Return an interval, in units of which one holds so many; empty where it is not known.

    >>> bounds([1.0, 2.0]), bounds((-0.002, 0.003), unit=1e3), bounds([math.nan, 1.0])
    ('1–2', '−2 to 3', '')
    """
    lower, upper = (unit * end for end in interval)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return ""
    # A dash between signs would be read as one of them.
    between = "–" if lower >= 0 else " to "
    return f"{number(lower, digits)}{between}{number(upper, digits)}"


def change(
    value: float,
    interval: Iterable[float] | None,
    *,
    unit: float = 1.0,
    digits: int = 0,
    good: str = "below",
) -> Change:
    """Return a difference in units of which one holds so many; None: no interval is known."""
    lower, upper = (math.nan, math.nan) if interval is None else (unit * end for end in interval)
    return Change(unit * value, lower, upper, digits, good)
