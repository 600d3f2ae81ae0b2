"""ASE databases (``ase.db``: SQLite and JSON): one row per frame.

Labels of a row's calculator belong to the level that the caller names, else that its key `level`
names, else ``unknown``; forces are taken as they were stored, never with constraints applied.
Key–value pairs and `data` are kept as extras. What is written has one level as the row's
calculator, and in `data` under ``breadth`` what a row has no place for: the other levels,
identity, provenance, and extras that cannot be key–value pairs. ASE's JSON form is for small sets:
it is written anew with every row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from ase.io.formats import UnknownFileTypeError
from ase.stress import voigt_6_to_full_3x3_stress

from ..conformers import PROVENANCE, ConformerSet
from ..errors import DataError
from ..protocols import SetAside
from ..records import Record, plain_value
from .ase_db_writer import write_database
from .chunked import read_at_once
from .extxyz import UNNAMED_LEVEL
from .header import Header
from .settled import Settled, Source

_SQLITE = b"SQLite format 3\0"
_SMILES = ("smiles", "SMILES")
_ROW_ATOM_EXTRAS = (
    "tags", "momenta", "masses", "initial_magmoms", "initial_charges", "magmoms", "charges",
)  # fmt: skip
#: Rows that ASE is asked for at once.
_ROWS = 1_000
_FAILURES = (
    *(sqlite3.Error, UnknownFileTypeError),
    *(ValueError, KeyError, TypeError, EOFError, AssertionError, AttributeError),
)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is an SQLite database or ASE's JSON."""
    return head.startswith(_SQLITE) or (head.lstrip()[:1] == b"{" and path.suffix == ".json")


def streams(path: Path) -> bool:
    """Tell whether rows can be read one after another: ASE reads its JSON form at once."""
    return _kind(path) == "db"


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a database; `record` is the row's id."""
    source = open_source(path, level=level, skip_bad=skip_bad)
    return read_at_once(path, source, identity=identity)


def open_source(
    path: Path,
    *,
    level: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Source:
    """Open a database whose rows are read one after another."""
    from ase.db import connect

    aside: list[SetAside] = []
    header = Header()
    _refuse_truncated(path)

    def records() -> Iterator[Record]:
        rows = _rows(database, path, progress)
        while True:
            try:
                row = next(rows, None)
            except _FAILURES as error:
                raise _unreadable(path, error) from error
            if row is None:
                return
            place = f"{path}: row {row.id}"
            try:
                record = _record(row, path, place, header, level)
            except _FAILURES as error:
                if not skip_bad:
                    raise DataError(
                        f"{place}: {error}. Repair the row, or skip such rows (skip_bad=True, "
                        "--skip-bad)."
                    ) from error
                aside.append(SetAside(place, f"a structural fault: {error}"))
                continue
            yield record

    try:
        database = connect(path, type=_kind(path), use_lock_file=False)
        header.take(dict(database.metadata).get("breadth"), level)
    except _FAILURES as error:
        raise _unreadable(path, error) from error
    return Source(records(), header, aside, _tell_atoms_from_frames)


def _rows(database: Any, path: Path, progress: Callable[[float], None] | None) -> Iterator[Any]:
    """Yield the rows, some at a time: ASE takes all that it is asked for into memory."""
    if _kind(path) == "json":
        yield from database.select()
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
        last = file.execute("SELECT max(id) FROM systems").fetchone()[0] or 0
    for start in range(0, last + 1, _ROWS):
        yield from database.select(f"id>={start},id<{start + _ROWS}")
        if progress is not None:
            progress(min(1.0, (start + _ROWS) / (last + 1)))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as an ASE database: {error or type(error).__name__}. It is "
        "damaged, truncated, or in another format."
    )


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Write a database, in place of one that was there; `level` is that of the calculators."""
    write_database(conformers, path, level, kind=_kind(path))


def _kind(path: Path) -> str:
    return "json" if path.suffix.lower() == ".json" else "db"


def _refuse_truncated(path: Path) -> None:
    """Compare an SQLite file's size with what its header tells; SQLite itself reads on."""
    with open(path, "rb") as file:
        head = file.read(100)
    if not head.startswith(_SQLITE) or len(head) < 100:
        return
    size = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    # A size of 1 stands for 65536; a page count is valid if its two version numbers agree.
    wanted = pages * (65536 if size == 1 else size)
    if head[24:28] == head[92:96] and path.stat().st_size < wanted:
        raise DataError(
            f"{path} is truncated: it has {path.stat().st_size} bytes, and its header tells "
            f"{wanted}. Copy it again."
        )


# -- reading -------------------------------------------------------------------------------------


def _record(row: Any, path: Path, place: str, header: Header, level: str | None) -> Record:
    numbers = np.asarray(row.numbers)
    if not len(numbers) or not ((numbers > 0) & (numbers < 119)).all():
        raise ValueError("no atoms, or an unknown element")
    pairs, data = dict(row.key_value_pairs), dict(row.data)
    own = data.pop("breadth", None)
    named = pairs.pop("level", UNNAMED_LEVEL) if own is None else header.prefixes.get("", "")
    levels = {level or str(named): _labels(row)}
    record = Record(
        numbers=numbers.astype(np.uint8),
        positions=np.asarray(row.positions, dtype=np.float64).reshape(len(numbers), 3),
        cell=np.asarray(row.cell, dtype=np.float64).reshape(3, 3),
        pbc=np.asarray(row.pbc, dtype=bool).reshape(3),
        place=place,
        provenance={"source": f"{path.resolve().parent.name}/{path.name}", "record": int(row.id)},
    )
    if own is None:
        record.smiles = next((str(pairs.pop(k)) for k in _SMILES if k in pairs), "")
        record.charge = int(pairs.pop("total_charge", 0))
        record.multiplicity = int(pairs.pop("multiplicity", 1))
        record.atom_extras = {k: np.asarray(row[k]) for k in _ROW_ATOM_EXTRAS if k in row}
        data |= {"dipole": np.asarray(row.dipole)} if "dipole" in row else {}
    else:
        record.is_conformer = bool(own["identifier"])
        for name in ("identifier", "constitution", "smiles", "charge", "multiplicity"):
            setattr(record, name, own[name])
        if own["bonds"] is not None:
            record.bonds = np.asarray(own["bonds"], dtype=np.int32).reshape(-1, 3)
        if record.is_conformer:
            record.provenance = dict(own["provenance"])
        for name, labels in own["levels"]:
            levels.setdefault(name, {}).update(
                {quantity: _label(quantity, v, len(numbers)) for quantity, v in labels.items()}
            )
        record.frame_extras = {k: np.asarray(v) for k, v in own["frame_extras"]}
        record.atom_extras = {k: np.asarray(v) for k, v in own["atom_extras"]}
        _refuse_misfits(record)
    for name, values in record.atom_extras.items():
        if values.shape[:1] != record.numbers.shape:
            raise ValueError(f"it has not one row of {name!r} for each atom")
    record.levels = {k: v for k, v in levels.items() if v}
    record.frame_extras |= {**pairs, **{k: plain_value(v) for k, v in data.items()}}
    return record


def _label(quantity: str, value: Any, n_atoms: int) -> Any:
    """Return a label of another level than the row's own; a reshaping that fails is a fault."""
    if quantity == "energy":
        return float(value)
    return np.asarray(value, dtype=float).reshape((n_atoms, 3) if quantity == "forces" else (3, 3))


def _refuse_misfits(record: Record) -> None:
    """Refuse what our own data of a row cannot hold.

    Raises
    ------
    ValueError
        If a value has the wrong type or shape.
    """
    texts = (record.identifier, record.constitution, record.smiles)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its molecule is not named by texts")
    if not all(isinstance(number, int) for number in (record.charge, record.multiplicity)):
        raise ValueError("its charge or multiplicity is not an integer")
    told = record.provenance
    if not isinstance(told.get("source", ""), str) or not all(
        isinstance(told[name], int | float) for name in PROVENANCE if name in told
    ):
        raise ValueError("its provenance is damaged")
    extras = [*record.frame_extras.items(), *record.atom_extras.items()]
    if not all(isinstance(k, str) and v.dtype.kind in "biufU" for k, v in extras):
        raise ValueError("an extra is neither numbers nor texts")


def _labels(row: Any) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if row.get("energy") is not None:
        labels["energy"] = float(row.energy)
    if row.get("forces") is not None:
        labels["forces"] = np.asarray(row.forces, dtype=float).reshape(len(row.numbers), 3)
    if row.get("stress") is not None:
        stress = np.asarray(row.stress, dtype=float)
        full = stress.reshape(3, 3) if stress.size == 9 else voigt_6_to_full_3x3_stress(stress)
        labels["stress"] = np.asarray(full)
    return labels


def _tell_atoms_from_frames(records: list[Record], settled: Settled) -> None:
    """Make arrays with a row per atom in every record that has them per-atom extras."""
    names = {k for r in records if not r.is_conformer for k in r.frame_extras}
    for name in sorted(names):
        have = [r for r in records if name in r.frame_extras]
        shapes = [np.shape(r.frame_extras[name]) for r in have]
        if not any(len(r.numbers) > 1 for r in have):
            continue
        per_atom = all(s and s[0] == len(r.numbers) for s, r in zip(shapes, have, strict=True))
        if settled.holds(f"{name} has a row per atom", per_atom):
            for record in have:
                record.atom_extras[name] = np.asarray(record.frame_extras.pop(name))
