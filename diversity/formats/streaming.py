"""Turn a large file into a native folder, a chunk at a time: memory does not grow with the file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..conformers import ConformerSet
from ..errors import BreadthError
from . import _module, exhaustion_told, grouped, native, recognise
from .chunked import chunks
from .settled import Settled, StartOver


class Converted(NamedTuple):
    """How many conformers were written, and how many records set aside."""

    n_conformers: int
    n_set_aside: int


def streams(source: Path, *, identity: str = "auto") -> bool:
    """Tell whether a file can be read a chunk at a time.

    Extended XYZ, ASE's SQLite databases, rMD17 archives that other programs wrote, and the HDF5
    files of SPICE, ANI and QM7-X can.

    Parameters
    ----------
    source : Path
    identity : str
        The rule 'ordered' compares all records of a file; HDF5 files are then read at once.
    """
    module = _module(recognise(source))
    if hasattr(module, "LAYOUT"):
        return identity != "ordered"
    return hasattr(module, "open_source") and getattr(module, "streams", lambda path: True)(source)


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
    if target.exists():
        raise BreadthError(f"{target} exists already. Remove it, or name another target.")
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    settled = Settled()

    def parts() -> Iterator[ConformerSet]:
        module = _module(recognise(source))
        if hasattr(module, "LAYOUT"):
            return grouped.chunks(
                source,
                module.LAYOUT,
                level=level,
                identity=identity,
                skip_bad=skip_bad,
                progress=progress,
            )
        opened = module.open_source(source, level=level, skip_bad=skip_bad, progress=progress)
        return chunks(source, opened, settled, identity=identity)

    try:
        while True:
            n = set_aside = 0
            try:
                with exhaustion_told(source):
                    for chunk in parts():
                        native.append(aside, chunk)
                        n += len(chunk)
                        set_aside += len(chunk.metadata.get("set_aside", []))
            except StartOver:
                shutil.rmtree(aside, ignore_errors=True)
                continue
            aside.rename(target)
            return Converted(n, set_aside)
    except OSError as error:
        raise BreadthError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
