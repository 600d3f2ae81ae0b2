"""Sets from records that come one after another, a chunk at a time, as if all had been at hand.

What holds of a file as a whole (by which rule its molecules are told apart, of which type an extra
is) is taken from the first chunk. A later record may prove it wrong: then what was made so far is
thrown away, and the file is read again in the knowledge of that record. Files that change their
ways late are rare, and each thing can be proved wrong only once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..conformers import ConformerSet
from ..errors import ConfigurationError, DataError
from ..identity import RULES, build, parted
from ..protocols import SetAside
from ..records import Record
from .grouped import CHUNK_BYTES, CHUNK_CONFORMERS
from .header import restored
from .settled import Settled, Source
from .told import Told


def read_at_once(path: Path, source: Source, *, identity: str) -> ConformerSet:
    """Read a file as one set; see :func:`breadth.diversity.read`."""
    records = list(source.records)
    source.agree(records, Settled())
    made = build(
        records,
        identity=identity,
        source=str(path),
        set_aside=source.aside,
        metadata=source.header.metadata,
    )
    return restored(made, source.header)


def chunks(
    path: Path, source: Source, settled: Settled, *, identity: str
) -> Iterator[ConformerSet]:
    """Read a file as sets of about `CHUNK_BYTES`; joined, they are what reading it at once gives.

    Two things are told by the chunk in which a molecule comes first: the SMILES of a molecule that
    has several, and the constitution of one that has a name alone.

    Parameters
    ----------
    path : Path
        For messages.
    source : Source
    settled : Settled
    identity : str
        As in :func:`breadth.diversity.read`.

    Raises
    ------
    StartOver
        If all has to be read again, with the same `settled`.
    DataError
        As :func:`breadth.diversity.read`.
    """
    if identity not in ("auto", *RULES):
        raise ConfigurationError(
            f"There is no identity rule {identity!r}; choose auto, {', '.join(RULES)}."
        )
    told = Told(path, settled, identity)
    pending: ConformerSet | None = None  # one set waits, for records set aside after it
    aside: list[SetAside] = []
    for records in _batches(source.records):
        source.agree(records, settled)
        frames, atoms, unusable = parted(records)
        aside += [*source.aside, *unusable]
        source.aside.clear()
        told.take_atoms(atoms)
        if not frames:
            continue
        metadata = source.header.metadata
        if pending is not None:
            metadata = {k: v for k, v in metadata.items() if k != "set_aside"}
        made = restored(told.assembled(frames, aside, metadata), source.header)
        aside = []
        if pending is not None:
            yield pending
        pending = made
    aside += source.aside
    if pending is None:
        if not told.atoms:
            details = f": {aside[0].record}: {aside[0].reason}" if aside else ""
            raise DataError(f"{path} has no record that can be used{details}.")
        pending = restored(told.assembled([], aside, source.header.metadata), source.header)
        aside = []
    if aside:
        left = [*pending.metadata.get("set_aside", []), *(a._asdict() for a in aside)]
        pending = replace(pending, metadata={**pending.metadata, "set_aside": left})
    told.finish()
    yield told.with_references(pending)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        # Positions and forces, and as much again for each column of the atoms.
        size += 48 * len(record.numbers) * (1 + len(record.atom_extras))
        size += sum(_size(value) for value in record.frame_extras.values())
        if size >= CHUNK_BYTES or len(batch) >= CHUNK_CONFORMERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else getattr(value, "nbytes", 8)
