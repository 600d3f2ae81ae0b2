"""Take the text of an extended XYZ file apart into frames, and say where it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ..protocols import SetAside
from .extxyz_lines import Lines
from .keyvalue import parse_comment

_KINDS = {"S": np.str_, "R": np.float64, "I": np.int64, "L": np.bool_}
_PLAIN_PROPERTIES = "species:S:1:pos:R:3"
#: Smaller files are read line by line: loading the compiled reader takes longer than they do.
COMPILED_FROM = 1_000_000
#: Frames with more atoms, if they are no mistake, are read line by line.
_MOST_ROWS = 10_000_000


class Fault(Exception):
    """A structural fault of one frame: what is wrong, and in which line of the file."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


@dataclass(slots=True)
class Frame:
    """The raw parts of one frame; `columns` are the atoms' properties by name.

    `numbers` are the atomic numbers, where the symbols were read as such.
    """

    number: int
    line: int
    values: dict[str, Any]
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: np.ndarray | None = None


def frames(
    path: Path,
    aside: list[SetAside] | None,
    *,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a file; faults go to `aside` and the next frame is sought, or raise.

    Parameters
    ----------
    path : Path
    aside : list of SetAside or None
        None: the first fault raises.
    progress : callable, optional
        Called with the share of the file that has been read.

    Raises
    ------
    DataError
        If a frame has a structural fault, or the file is no text.
    """
    number = 0
    compiled = path.stat().st_size >= COMPILED_FROM
    with Lines(path, progress) as lines:
        while True:
            lines.hold()
            start = lines.number + 1
            try:
                frame = _frame(lines, number, compiled)
            except Fault as fault:
                if aside is None:
                    raise fault_error(path, number, fault) from None
                place = f"{path}: record {number} (line {start})"
                aside.append(SetAside(place, f"a structural fault: {fault}"))
                lines.back()
                _seek(lines, path, number)
                number += 1
                continue
            except UnicodeDecodeError:
                raise _no_text(path, number) from None
            if frame is None:
                return
            yield frame
            number += 1


def fault_error(path: Path, number: int, fault: Fault) -> DataError:
    """Return the error that says where a fault is and what to do."""
    return DataError(
        f"{path}: record {number} (line {fault.line}): {fault}. Repair the file, or skip "
        "such records (skip_bad=True, --skip-bad)."
    )


def _no_text(path: Path, number: int) -> DataError:
    return DataError(
        f"{path}: record {number} holds bytes that are no text; this is not an extended XYZ "
        "file, or it is damaged."
    )


def _seek(lines: Lines, path: Path, number: int) -> None:
    """Go beyond the next line, to one that is a count and stands before a comment with a key."""
    try:
        lines.next()
        while True:
            lines.hold()
            line = lines.next()
            if line is None:
                return
            if _count(line) and "=" in (lines.next() or ""):
                lines.back()
                return
            lines.back()
            lines.next()
    except UnicodeDecodeError:
        raise _no_text(path, number) from None


def _frame(lines: Lines, number: int, compiled: bool) -> Frame | None:
    """Take the next frame, None at the end."""
    while True:
        first = lines.next()
        if first is None:
            return None
        if first.strip():
            break
        lines.hold()
    start, count = lines.number, _count(first)
    if not count:
        raise Fault(f"a count of atoms should stand here, not {first.strip()[:40]!r}", start)
    comment = lines.next()
    if comment is None:
        raise Fault("the file ends before the comment line", lines.number)
    try:
        values = parse_comment(comment) if "=" in comment else _plain(comment)
    except ValueError as error:
        raise Fault(str(error), lines.number) from None
    properties = str(values.pop("Properties", _PLAIN_PROPERTIES))
    layout = _layout(properties)
    if layout is None:
        raise Fault(f"cannot read Properties={properties[:60]!r}", lines.number)
    frame = Frame(number, start, values)
    fast = compiled and layout.plain and count <= _MOST_ROWS
    if not (fast and _read_compiled(lines, count, layout, frame)):
        _read_rows(lines, count, layout, frame)
    return frame


def _count(line: str) -> int:
    """Return the count that a line is, 0 if it is none."""
    text = line.strip()
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def _plain(comment: str) -> dict[str, Any]:
    """Return the free text of a plain XYZ file as a value."""
    return {"comment": comment.strip()} if comment.strip() else {}


class _Layout(NamedTuple):
    """The properties of a frame's atoms: names, kinds and sizes, and the kinds of all columns.

    `plain` is False for names that occur twice, of which the last holds.
    """

    properties: tuple[tuple[str, str, int], ...]
    kinds: np.ndarray
    width: int
    n_real: int
    n_integer: int
    plain: bool


@lru_cache(maxsize=256)
def _layout(text: str) -> _Layout | None:
    """Return what a text of Properties tells, None if it cannot be read."""
    parts = text.split(":")
    names, kinds, sizes = parts[0::3], parts[1::3], parts[2::3]
    sound = len(parts) % 3 == 0 and all(k in _KINDS for k in kinds)
    if not sound or not all(_count(s) and len(s) < 5 for s in sizes):
        return None
    properties = tuple((n, k, int(s)) for n, k, s in zip(names, kinds, sizes, strict=True))
    codes: list[int] = []
    for name, kind, size in properties:
        # The columns of the compiled reader: SYMBOL, REAL, INTEGER, TRUTH, WORD.
        symbol = name == "species" and kind == "S" and size == 1
        codes += [0 if symbol else "_RILS".index(kind)] * size
    return _Layout(
        properties,
        np.array(codes, dtype=np.int64),
        len(codes),
        codes.count(1),
        codes.count(2) + codes.count(3) + 2 * codes.count(4),
        len(set(names)) == len(names),
    )


def _read_compiled(lines: Lines, count: int, layout: _Layout, frame: Frame) -> bool:
    """Read the atoms at the speed of the machine; False leaves all to be read line by line."""
    from .extxyz_table import CUT_SHORT, read_table

    numbers = np.empty(count, dtype=np.uint8)
    bits = np.empty((count, layout.n_real), dtype=np.uint64)
    integers = np.empty((count, layout.n_integer), dtype=np.int64)
    while True:
        end = read_table(lines.bytes, lines.at, layout.kinds, numbers, bits, integers)
        if end != CUT_SHORT or not lines.more():
            break
    if end < 0:
        return False
    reals, real, integer = bits.view(np.float64), 0, 0
    for name, kind, size in layout.properties:
        values: np.ndarray
        if kind == "R":
            values, real = reals[:, real : real + size], real + size
        elif name == "species" and kind == "S" and size == 1:
            frame.numbers = numbers
            continue
        else:
            wide = size * (2 if kind == "S" else 1)
            values, integer = integers[:, integer : integer + wide], integer + wide
            if kind == "L":
                values = values.astype(np.bool_)
            elif kind == "S":
                places = values.reshape(-1, 2).tolist()
                words = [lines.bytes[a:b].tobytes().decode() for a, b in places]
                values = np.array(words, dtype=np.str_).reshape(count, size)
        frame.columns[name] = values[:, 0] if size == 1 else values
    lines.skip(end, count)
    return True


def _read_rows(lines: Lines, count: int, layout: _Layout, frame: Frame) -> None:
    """Read the atoms line by line, and say what is wrong with them."""
    rows = []
    for i in range(count):
        line = lines.next()
        if line is None:
            raise Fault(f"the file ends after {i} of {count} atoms", lines.number)
        row = line.split()
        if len(row) != layout.width:
            raise Fault(
                f"atom {i} of {count} has {len(row)} columns instead of {layout.width}",
                lines.number,
            )
        rows.append(row)
    table, at = np.array(rows, dtype=np.str_), 0
    for name, kind, size in layout.properties:
        cells = table[:, at : at + size]
        flat = cells[:, 0] if size == 1 else cells
        frame.columns[name] = _typed(flat, kind, name, frame.line + 2)
        at += size


def _typed(cells: np.ndarray, kind: str, name: str, first_line: int) -> np.ndarray:
    if kind == "S":
        return cells
    if kind == "L":
        truth = np.isin(cells, ["T", "True", "true", "TRUE", "1"])
        known = truth | np.isin(cells, ["F", "False", "false", "FALSE", "0"])
        if known.all():
            return truth
        row = int(np.argwhere(~known)[0][0])
    else:
        try:
            return cells.astype(_KINDS[kind])
        except (ValueError, OverflowError):
            row = next(i for i, cell in enumerate(cells) if not _converts(cell, kind))
    shown = np.atleast_1d(cells[row]).tolist()
    raise Fault(f"atom {row} has no number in {name!r}: {shown}", first_line + row)


def _converts(cell: np.ndarray, kind: str) -> bool:
    try:
        np.asarray(cell).astype(_KINDS[kind])
    except (ValueError, OverflowError):
        return False
    return True
