"""Sets from files that keep a group for each molecule, a chunk at a time: SPICE, ANI, QM7-X.

A layout yields `Block` objects: stretches of conformations with equally many atoms, in the units
of the suite. They become records and, once a chunk is full, a `ConformerSet`; no more than some
chunks are ever in memory. A value that is NaN stands for a label that was not computed, as the
authors of ANI-1x have it.

These formats are read and not written: the native form and extended XYZ hold what is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..concat import concat
from ..conformers import ConformerSet
from ..errors import ConfigurationError, DataError
from ..identity import build
from ..protocols import SetAside
from ..records import Record
from .hdf5 import FAILURES, SIGNATURE, Fault, leaves

#: A chunk is full with so many bytes of positions, labels and extras, or so many conformers.
CHUNK_BYTES = 32_000_000
CHUNK_CONFORMERS = 25_000
#: Conformations read at once from a group, which may hold millions.
ROWS = 5_000


@dataclass(kw_only=True)
class Block:
    """Conformations with equally many atoms, in eV and Å.

    Parameters
    ----------
    numbers : array of uint8, shape (N,) or (C, N)
    positions : array of float, shape (C, N, 3)
    levels : dict of str to dict
        `energy` (C,) and `forces` (C, N, 3) by level, each where it is there.
    frame, atom : dict of str to array
        Extras (C, …) and (C, N, …).
    texts : dict of str to str
        Extras that all conformations share.
    identifier, smiles : str
    charge : int
    minimum : int
        Of all conformations, -1 unknown.
    """

    numbers: np.ndarray
    positions: np.ndarray
    levels: dict[str, dict[str, np.ndarray]]
    frame: dict[str, np.ndarray] = field(default_factory=dict)
    atom: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    identifier: str = ""
    smiles: str = ""
    charge: int = 0
    minimum: int = -1

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        labels = [a for level in self.levels.values() for a in level.values()]
        arrays = [self.positions, *labels, *self.frame.values(), *self.atom.values()]
        return sum(a.nbytes for a in arrays)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the groups of a kind of file are read.

    Parameters
    ----------
    title : str
        Of the kind of files, for messages.
    marks : tuple of str
        Data sets that each group of conformations holds.
    blocks : callable
        ``blocks(group, path, file_name, level)`` yields the blocks of a group; raises `Fault`.
    identity : str
        The identity rule that `auto` means where records have no SMILES: 'graph' where groups hold
        isomers.
    left_out : str
        What of the file is not read, told in the metadata; '' for nothing.
    """

    title: str
    marks: tuple[str, ...]
    blocks: Callable[[Any, str, str, str | None], Iterator[Block]]
    identity: str = "auto"
    left_out: str = ""


def fits(path: Path, head: bytes, layout: Layout) -> bool:
    """Tell whether the first group with data of an HDF5 file is of a layout."""
    if not head.startswith(SIGNATURE):
        return False
    import h5py

    try:
        with h5py.File(path, "r") as file:
            first = next(leaves(file, ("atomic_numbers", "species", "atNUM")), None)
            if first is None or isinstance(first[1], Exception):
                return False
            return all(mark in first[1] for mark in layout.marks)
    except (*FAILURES, Fault):
        return False


def read(path: Path, layout: Layout, level: str | None, identity: str, skip: bool) -> ConformerSet:
    """Read a whole file."""
    parts = chunks(path, layout, level=level, identity=identity, skip_bad=skip)
    return concat(list(parts), conflicts=True)


def chunks(
    path: Path,
    layout: Layout,
    *,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Iterator[ConformerSet]:
    """Read a file as sets of about `CHUNK_BYTES`, in the order of its groups.

    Parameters
    ----------
    path : Path
    layout : Layout
    level : str, optional
        Of labels that the file leaves unnamed.
    identity : str
        The rule is applied chunk by chunk. A chunk ends where a group at the top ends, unless the
        rule is 'graph', which looks at one record at a time.
    skip_bad : bool
        Leave groups with a structural fault out, and tell.
    progress : callable, optional
        Called with the share of the groups that has been read.

    Raises
    ------
    DataError
        If the file or a group cannot be read, or no record can be used.
    """
    pending: ConformerSet | None = None  # one set waits, for records set aside after it
    aside: list[SetAside] = []
    told: dict[str, tuple[str, str]] = {}
    for records, faults in _gathered(path, layout, level, identity, skip_bad, progress):
        aside += faults
        kept = [r for r in records if not _unusable(r, aside)]
        if not kept:
            continue
        if identity == "auto":
            named = all(r.smiles or r.is_isolated_atom for r in kept)
            rule = "auto" if named else layout.identity
        else:
            rule = identity
        made = build(
            kept,
            identity=rule,
            source=str(path),
            set_aside=aside,
            metadata={"left_out": layout.left_out} if layout.left_out else None,
        )
        aside = []
        if pending is not None:
            yield pending
        pending = as_told_before(made, told)
    if pending is None:
        why = f": {aside[0].record}: {aside[0].reason}" if aside else ""
        raise DataError(f"{path} has no record that can be used{why}.")
    if aside:
        left = [*pending.metadata.get("set_aside", []), *(a._asdict() for a in aside)]
        pending = replace(pending, metadata={**pending.metadata, "set_aside": left})
    yield pending


def refuse_write(path: Path, layout: Layout) -> NoReturn:
    """Say that a format is read only.

    Raises
    ------
    ConfigurationError
    """
    raise ConfigurationError(
        f"Cannot write {path}: {layout.title} is read and not written. Choose the native form (a "
        "name without ending) or extended XYZ (.xyz)."
    )


def as_told_before(made: ConformerSet, told: dict[str, tuple[str, str]]) -> ConformerSet:
    """Give a molecule the SMILES and constitution of the chunk in which it came first.

    Two stereoisomers are one molecule by their graph, and have two SMILES; chunks that differed in
    them could not be joined.
    """
    m = made.molecules
    if not len(m):  # isolated atoms alone
        return made
    rows = zip(m.key.tolist(), m.smiles.tolist(), m.constitution.tolist(), strict=True)
    first = [told.setdefault(key, (smiles, whole)) for key, smiles, whole in rows]
    smiles, constitution = (np.array(column, dtype=np.str_) for column in zip(*first, strict=True))
    return replace(made, molecules=replace(m, smiles=smiles, constitution=constitution))


def _unusable(record: Record, aside: list[SetAside]) -> bool:
    """Set lone ions and atoms without an energy aside, so that none makes a chunk without use."""
    if not record.is_isolated_atom:
        return False
    if not record.charge and any("energy" in labels for labels in record.levels.values()):
        return False
    why = "an isolated ion" if record.charge else "an isolated atom without an energy"
    aside.append(SetAside(record.place, why))
    return True


def _gathered(
    path: Path,
    layout: Layout,
    level: str | None,
    identity: str,
    skip_bad: bool,
    progress: Callable[[float], None] | None,
) -> Iterator[tuple[list[Record], list[SetAside]]]:
    """Yield the records of a chunk, and the faults met on the way."""
    anywhere = "graph" in (identity, layout.identity)
    source = f"{path.resolve().parent.name}/{path.name}"
    records: list[Record] = []
    faults: list[SetAside] = []
    size, number, top = 0, 0, ""
    for share, name, block in _blocks(path, layout, level, faults if skip_bad else None):
        full = size >= CHUNK_BYTES or len(records) >= CHUNK_CONFORMERS
        if full and (anywhere or name.split("/", 1)[0] != top):
            yield records, faults
            records, faults[:], size = [], [], 0
        top = name.split("/", 1)[0]
        for i in range(len(block.positions)):
            place = f"{path}: group {name}, conformation {i}"
            records.append(_record(block, i, place, source, number, name))
            number += 1
        size += block.n_bytes
        if progress is not None:
            progress(share)
    if progress is not None:
        progress(1.0)
    yield records, faults


def _record(b: Block, i: int, place: str, source: str, number: int, group: str) -> Record:
    levels = {}
    for level, labels in b.levels.items():
        there = {k: v[i] for k, v in labels.items() if not np.isnan(v[i]).any()}
        if there:
            levels[level] = there
    return Record(
        numbers=b.numbers if b.numbers.ndim == 1 else b.numbers[i],
        positions=b.positions[i],
        charge=b.charge,
        identifier=b.identifier,
        smiles=b.smiles,
        levels=levels,
        frame_extras={
            "group": group,
            **b.texts,
            **{k: v[i] for k, v in b.frame.items() if not _nan(v[i])},
        },
        atom_extras={k: v[i] for k, v in b.atom.items() if not _nan(v[i])},
        provenance={"source": source, "record": number, "minimum": b.minimum},
        place=place,
    )


def _nan(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


# -- the file ------------------------------------------------------------------------------------


def _blocks(
    path: Path, layout: Layout, level: str | None, aside: list[SetAside] | None
) -> Iterator[tuple[float, str, Block]]:
    """Yield how far the file is read, a group's path, and a block of it."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except FAILURES as error:
        raise DataError(
            f"{path} cannot be read as HDF5: {' '.join(str(error).split()) or 'no reason given'}. "
            "It is truncated, damaged, or in another format."
        ) from error
    with file:
        empty = True
        tops = _tops(file, path)
        groups = leaves(file, layout.marks)
        while True:
            name = "the next one"
            try:
                found = next(groups, None)
                if found is None:
                    break
                name, group = found
                if isinstance(group, Exception):
                    raise group
                empty = False
                share = tops.get(name.split("/", 1)[0], 0) / len(tops)
                for block in layout.blocks(group, name, path.name, level):
                    yield share, name, block
            except (Fault, *FAILURES) as error:
                what = " ".join(str(error).split()) or type(error).__name__
                if aside is None:
                    raise DataError(
                        f"{path}: group {name}: {what}. Repair the file, or skip such groups "
                        "(skip_bad=True, --skip-bad)."
                    ) from error
                aside.append(SetAside(f"{path}: group {name}", f"a structural fault: {what}"))
        if empty and not aside:
            raise DataError(
                f"{path} is an HDF5 file, and not of {layout.title}: no group of it has the data "
                f"sets {' and '.join(layout.marks)}. SPICE, ANI and QM7-X files are known."
            )


def _tops(file: Any, path: Path) -> dict[str, int]:
    """Return the place of each group at the top, by name."""
    try:
        return {name: i for i, name in enumerate(file)}
    except FAILURES as error:
        raise DataError(f"{path} is damaged: its groups cannot be listed ({error}).") from error
