"""Take the text of an extended XYZ file apart into frames, and say where it cannot be."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import DataError
from ..protocols import SetAside
from .keyvalue import parse_comment

_KINDS = {"S": np.str_, "R": np.float64, "I": np.int64, "L": np.bool_}
_PLAIN_PROPERTIES = "species:S:1:pos:R:3"


class Fault(Exception):
    """A structural fault of one frame: what is wrong, and in which line of the file."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


@dataclass
class Frame:
    """The raw parts of one frame; `columns` are the atoms' properties by name."""

    number: int
    line: int
    values: dict[str, Any]
    columns: dict[str, np.ndarray] = field(default_factory=dict)


class _Lines:
    """The lines of a file with their numbers, which can be given back."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._returned: deque[str] = deque()
        self.number = 0

    def next(self) -> str | None:
        line = self._returned.popleft() if self._returned else self._file.readline()
        if not line:
            return None
        self.number += 1
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def frames(path: Path, aside: list[SetAside] | None) -> Iterator[Frame]:
    """Yield the frames of a file; faults go to `aside` and the next frame is sought, or raise."""
    number = 0
    try:
        with open(path, encoding="utf-8") as file:
            lines = _Lines(file)
            while True:
                taken: list[str] = []
                start = lines.number + 1
                try:
                    frame = _frame(lines, taken, number)
                except Fault as fault:
                    if aside is None:
                        raise fault_error(path, number, fault) from None
                    place = f"{path}: record {number} (line {start})"
                    aside.append(SetAside(place, f"a structural fault: {fault}"))
                    lines.give_back(taken[1:])
                    _seek(lines)
                    number += 1
                    continue
                if frame is None:
                    return
                yield frame
                number += 1
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: record {number} holds bytes that are no text; this is not an extended XYZ "
            "file, or it is damaged."
        ) from None


def fault_error(path: Path, number: int, fault: Fault) -> DataError:
    return DataError(
        f"{path}: record {number} (line {fault.line}): {fault}. Repair the file, or skip "
        "such records (skip_bad=True, --skip-bad)."
    )


def _seek(lines: _Lines) -> None:
    """Go to the next line that is a count and stands before a comment line with a key."""
    previous: str | None = None
    while (line := lines.next()) is not None:
        if previous is not None and previous.strip().isdigit() and "=" in line:
            lines.give_back([previous, line])
            return
        previous = line


def _frame(lines: _Lines, taken: list[str], number: int) -> Frame | None:
    """Take the next frame, None at the end; `taken` holds the lines used so far."""

    def line_or_fault(missing: str) -> str:
        line = lines.next()
        if line is None:
            raise Fault(f"the file ends {missing}", lines.number)
        taken.append(line)
        return line

    while True:
        line = lines.next()
        if line is None:
            return None
        taken.append(line)
        if line.strip():
            break
    start = lines.number
    if not line.strip().isdigit() or int(line) < 1:
        raise Fault(f"a count of atoms should stand here, not {line.strip()[:40]!r}", start)
    count = int(line)
    comment = line_or_fault("before the comment line")
    try:
        values = parse_comment(comment) if "=" in comment else _plain(comment)
    except ValueError as error:
        raise Fault(str(error), lines.number) from None
    properties = _properties(str(values.pop("Properties", _PLAIN_PROPERTIES)), lines.number)
    width = sum(size for _, _, size in properties)
    rows = []
    for i in range(count):
        row = line_or_fault(f"after {i} of {count} atoms").split()
        if len(row) != width:
            raise Fault(
                f"atom {i} of {count} has {len(row)} columns instead of {width}", lines.number
            )
        rows.append(row)
    frame = Frame(number, start, values)
    table, at = np.array(rows, dtype=np.str_), 0
    for name, kind, size in properties:
        cells = table[:, at : at + size]
        frame.columns[name] = _typed(cells[:, 0] if size == 1 else cells, kind, name, start + 2)
        at += size
    return frame


def _plain(comment: str) -> dict[str, Any]:
    """Return the free text of a plain XYZ file as a value."""
    return {"comment": comment.strip()} if comment.strip() else {}


def _properties(text: str, line: int) -> list[tuple[str, str, int]]:
    parts = text.split(":")
    names, kinds, sizes = parts[0::3], parts[1::3], parts[2::3]
    sound = len(parts) % 3 == 0 and all(k in _KINDS for k in kinds)
    if not sound or not all(s.isdigit() and int(s) > 0 for s in sizes):
        raise Fault(f"cannot read Properties={text[:60]!r}", line)
    return [(n, k, int(s)) for n, k, s in zip(names, kinds, sizes, strict=True)]


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
