"""Extended XYZ: one frame after another, each a count, a comment line of ``key=value``, and atoms.

How labels are named
--------------------
`energy`, `forces` (or `force`) and `stress` belong to the level that the caller names; else that
the frame's key `level` names; else ``unknown``. `REF_energy`, `REF_forces` and `REF_stress` belong
to the level ``REF``; where a file has these alone, a level that the caller names is theirs. Units
are eV, eV/Å and eV/Å³; stress has ASE's sign, as 6 (Voigt) or 9 numbers. Other keys and columns
are kept as extras.

What is written
---------------
One level as `energy`, `forces`, `stress`, with its name in the key `level`; the others as
``<level>_energy`` and so on; isolated atoms as frames of one atom with
``config_type=IsolatedAtom``. Keys ``breadth_*`` hold identity and provenance, and the first
frame's `breadth` holds what is true of the whole set, so that nothing is lost on the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from ase.stress import voigt_6_to_full_3x3_stress

from ..conformers import PROVENANCE, ConformerSet
from ..protocols import SetAside
from ..records import Record
from .chunked import read_at_once
from .extxyz_frames import Fault, Frame, fault_error, frames
from .extxyz_writer import write_frames
from .header import Header
from .settled import Settled, Source

#: Level of `energy` and `forces` where neither the caller nor the file names one.
UNNAMED_LEVEL = "unknown"
REFERENCE_PREFIX = "REF"

_FORCES = {"forces": "forces", "force": "forces"}
_CHARGES = ("charge", "total_charge")
_MULTIPLICITIES = ("multiplicity", "spin_multiplicity")
_SMILES = ("smiles", "SMILES")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file begins as an XYZ file does: with a line that is a count."""
    if path.is_dir() or b"\0" in head:
        return False
    first = head.split(b"\n", 1)[0].strip()
    return first.isdigit() and b"\n" in head


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a file; see the module for names and :func:`breadth.diversity.read` for parameters."""
    source = open_source(path, level=level, skip_bad=skip_bad)
    return read_at_once(path, source, identity=identity)


def open_source(
    path: Path,
    *,
    level: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Source:
    """Open a file whose records are read one after another."""
    header = Header()
    aside: list[SetAside] = []
    name, where = f"{path.resolve().parent.name}/{path.name}", str(path)

    def records() -> Iterator[Record]:
        for frame in frames(path, aside if skip_bad else None, progress=progress):
            place = f"{where}: record {frame.number} (line {frame.line})"
            try:
                header.take(frame.values.pop("breadth", None), level)
                record = record_of(frame, place, header, level=level, source=name)
            except Fault as fault:
                if not skip_bad:
                    raise fault_error(path, frame.number, fault) from None
                aside.append(SetAside(place, f"a structural fault: {fault}"))
                continue
            yield record

    def agree(records: list[Record], settled: Settled) -> None:
        if level is not None and settled.holds("REF is the only level", _only_ref(records)):
            name_references(records, level)

    return Source(records(), header, aside, agree)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Write a set; see the module for how. `level` is the one written as `energy` and `forces`."""
    write_frames(conformers, path, level)


def record_of(
    frame: Frame, place: str, header: Header, *, level: str | None = None, source: str = ""
) -> Record:
    """Return the record of a frame, which is emptied of the keys that mean something.

    Raises
    ------
    Fault
        If a value is of the wrong type or shape.
    """
    values, columns = frame.values, frame.columns
    if "pos" not in columns or columns["pos"].shape[1:] != (3,):
        raise Fault("there are no positions (pos:R:3) among its Properties", frame.line + 1)
    numbers = _numbers(columns, frame)
    positions = np.asarray(columns.pop("pos"), dtype=np.float64)
    lattice = values.pop("Lattice", None)
    cell = np.zeros((3, 3)) if lattice is None else _matrix(lattice, "Lattice", frame)
    told = values.pop("pbc", None)
    pbc = np.full(3, cell.any()) if told is None else np.atleast_1d(np.asarray(told))
    if pbc.shape != (3,) or pbc.dtype.kind not in "bi":
        raise Fault(f"pbc={pbc.tolist()} is not three of T and F", frame.line + 1)
    record = Record(
        numbers=numbers,
        positions=positions,
        cell=cell,
        pbc=pbc.astype(bool),
        charge=_integer(values, _CHARGES, 0, frame),
        multiplicity=_integer(values, _MULTIPLICITIES, 1, frame),
        smiles=next((str(values.pop(k)) for k in _SMILES if k in values), ""),
        identifier=str(values.pop("breadth_molecule", "")),
        constitution=str(values.pop("breadth_constitution", "")),
        levels=_levels(frame, header, level),
        provenance={"source": source, "record": frame.number},
        place=place,
    )
    record.is_conformer = bool(record.identifier)
    if "breadth_bonds" in values:
        record.bonds = np.asarray(values.pop("breadth_bonds"), dtype=np.int32).reshape(-1, 3)
    if record.identifier:
        record.provenance = {"source": ""}
    for name in ("source", *PROVENANCE):
        if f"breadth_{name}" in values:
            record.provenance[name] = values.pop(f"breadth_{name}")
    record.provenance["source"] = str(record.provenance["source"])
    record.frame_extras = {header.frame_name(k): v for k, v in values.items()}
    record.atom_extras = {header.atom_name(k): header.atom_text(k, v) for k, v in columns.items()}
    return record


def name_references(records: Sequence[Record], level: str | None) -> None:
    """Give the caller's name to the level REF of records that have no other."""
    if level is not None and _only_ref(records):
        for labelled in (r for r in records if r.levels):
            labelled.levels = {level: labelled.levels[REFERENCE_PREFIX]}


def _only_ref(records: Sequence[Record]) -> bool:
    return all(set(r.levels) <= {REFERENCE_PREFIX} for r in records)


def _numbers(columns: dict[str, np.ndarray], frame: Frame) -> np.ndarray:
    if frame.numbers is not None:
        return frame.numbers
    if "species" in columns:
        symbols = columns.pop("species").tolist()
        try:
            numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
        except KeyError as unknown:
            row = symbols.index(unknown.args[0])
            raise Fault(
                f"unknown element {symbols[row]!r} (atom {row})", frame.line + 2 + row
            ) from None
    elif "Z" in columns:
        numbers = np.asarray(columns.pop("Z"))
    else:
        raise Fault("there are no elements (species:S:1 or Z:I:1)", frame.line + 1)
    if (
        numbers.ndim != 1
        or numbers.dtype.kind != "i"
        or not ((numbers > 0) & (numbers < 119)).all()
    ):
        row = int(np.argmin((numbers > 0) & (numbers < 119)))
        raise Fault(f"unknown element (atom {row}: {numbers[row]})", frame.line + 2 + row)
    return numbers.astype(np.uint8)


def _integer(values: dict[str, Any], names: Sequence[str], default: int, frame: Frame) -> int:
    for name in names:
        if name in values:
            value = values.pop(name)
            if np.ndim(value) != 0 or isinstance(value, str) or float(value) != int(value):
                raise Fault(f"{name}={value!r} is not an integer", frame.line + 1)
            return int(value)
    return default


def _matrix(value: Any, name: str, frame: Frame) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "if" or array.size not in (6, 9):
        raise Fault(f"{name} is not 9 numbers", frame.line + 1)
    array = array.astype(np.float64)
    if name == "Lattice" or array.size == 9:
        if array.size != 9:
            raise Fault(f"{name} is not 9 numbers", frame.line + 1)
        # As ASE: nine numbers of `stress` run down its columns, others along the rows.
        return array.reshape((3, 3), order="F" if name == "stress" and array.ndim == 1 else "C")
    return np.asarray(voigt_6_to_full_3x3_stress(array))


def _levels(frame: Frame, header: Header, named: str | None) -> dict[str, dict[str, Any]]:
    """Take the labels out of a frame's values and columns."""
    plain = str(frame.values.pop("level", UNNAMED_LEVEL))
    prefixes = header.prefixes or {"": named or plain, f"{REFERENCE_PREFIX}_": REFERENCE_PREFIX}
    levels: dict[str, dict[str, Any]] = {}
    for prefix, level in prefixes.items():
        labels: dict[str, Any] = {}
        if f"{prefix}energy" in frame.values:
            energy = frame.values.pop(f"{prefix}energy")
            if not isinstance(energy, float) and (
                np.ndim(energy) != 0 or isinstance(energy, str | bool)
            ):
                raise Fault(f"{prefix}energy={energy!r} is not a number", frame.line + 1)
            labels["energy"] = float(energy)
        for key, name in _FORCES.items():
            if f"{prefix}{key}" in frame.columns:
                forces = frame.columns.pop(f"{prefix}{key}")
                if forces.shape[1:] != (3,) or forces.dtype.kind not in "if":
                    raise Fault(f"{prefix}{key} are not three numbers an atom", frame.line + 1)
                labels[name] = forces.astype(np.float64)
        if f"{prefix}stress" in frame.values:
            key = f"{prefix}stress"
            labels["stress"] = _matrix(frame.values.pop(key), key, frame)
        if labels:
            levels[level] = labels
    return levels
