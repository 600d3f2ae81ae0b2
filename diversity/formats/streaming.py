"""Turn a large file into a native folder, a chunk at a time: memory does not grow with the file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import BreadthError
from . import _module, grouped, native, recognise


class Converted(NamedTuple):
    """How many conformers were written, and how many records set aside."""

    n_conformers: int
    n_set_aside: int


def streams(source: Path, *, identity: str = "auto") -> bool:
    """Tell whether a file can be read a chunk at a time: SPICE, ANI and QM7-X.

    Parameters
    ----------
    source : Path
    identity : str
        The rule 'ordered' compares all records of a file, so that it needs them at once.
    """
    return identity != "ordered" and hasattr(_module(recognise(source)), "LAYOUT")


def convert_to_native(
    source: Path,
    target: Path,
    *,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Converted:
    """Write a file that :func:`streams` to a native folder, which appears when it is complete.

    Parameters
    ----------
    source : Path
    target : Path
        A folder that is not there yet.
    level, identity, skip_bad
        As in :func:`breadth.diversity.read`.
    progress : callable, optional
        Called with the share that is done.

    Raises
    ------
    DataError
        If the file cannot be read; the message names file and group.
    BreadthError
        If the file system refuses, or there is something at `target`.
    """
    layout = _module(recognise(source)).LAYOUT
    if target.exists():
        raise BreadthError(f"{target} exists already. Remove it, or name another target.")
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    n = set_aside = 0
    try:
        for chunk in grouped.chunks(
            source, layout, level=level, identity=identity, skip_bad=skip_bad, progress=progress
        ):
            native.append(aside, chunk)
            n += len(chunk)
            set_aside += len(chunk.metadata.get("set_aside", []))
        aside.rename(target)
    except OSError as error:
        raise BreadthError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Converted(n, set_aside)
