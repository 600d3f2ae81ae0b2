"""NumPy archives (``.npz``), some rows of their arrays at a time; nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

#: What NumPy and zipfile raise at damaged archives.
FAILURES = (
    *(ValueError, EOFError, KeyError, MemoryError, OverflowError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
#: Rows that are read at once.
ROWS = 1_000


class Head(NamedTuple):
    """What an array's header tells."""

    shape: tuple[int, ...]
    by_columns: bool
    kind: np.dtype


def array_heads(path: Path) -> dict[str, Head]:
    """Return the headers of an archive's arrays, by name."""
    with zipfile.ZipFile(path) as archive:
        return _heads(archive)


def _heads(archive: zipfile.ZipFile) -> dict[str, Head]:
    """Return the headers of an archive's arrays."""
    heads = {}
    for name in archive.namelist():
        with archive.open(name) as member:
            heads[name.removesuffix(".npy")] = _read_head(member)
    return heads


def _read_head(member: IO[bytes]) -> Head:
    version = np.lib.format.read_magic(member)
    reader = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if reader is None:
        raise ValueError(f"NumPy's format {version} is not known")
    return Head(*reader(member))


def stretches(
    path: Path, numbers: str, positions: str
) -> Iterator[tuple[dict[str, np.ndarray], set[str], int]]:
    """Yield the arrays with some of their rows, the names of those with rows, and how many in all.

    Parameters
    ----------
    path : Path
    numbers : str
        An array that has no row for each record, though it may look so.
    positions : str
        An array that has.
    """
    with zipfile.ZipFile(path) as archive, ExitStack() as stack:
        heads = _heads(archive)
        n = heads[positions].shape[0]
        by_row = {k for k, head in heads.items() if head.shape[:1] == (n,)} - {numbers}
        members = {k: stack.enter_context(archive.open(f"{k}.npy")) for k in heads}
        whole = {
            k: np.lib.format.read_array(member) for k, member in members.items() if k not in by_row
        }
        for name in by_row:
            _read_head(members[name])
        for start in range(0, n, ROWS):
            count = min(ROWS, n - start)
            some = {k: _rows(members[k], heads[k], count) for k in by_row}
            yield {**whole, **some}, by_row, n


def _rows(member: IO[bytes], head: Head, rows: int) -> np.ndarray:
    size = rows * prod(head.shape[1:]) * head.kind.itemsize
    content = member.read(size)
    if len(content) < size:
        raise EOFError("an array is shorter than its header tells")
    return np.frombuffer(content, dtype=head.kind).reshape(rows, *head.shape[1:])
