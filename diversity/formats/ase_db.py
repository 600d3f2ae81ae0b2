"""ASE databases (``ase.db``: SQLite and JSON): one row per frame.

Labels of a row's calculator belong to the level that the caller names, else that its key `level`
names, else ``unknown``; forces are taken as they were stored, never with constraints applied.
Key–value pairs and `data` are kept as extras. What is written has one level as the row's
calculator, and in `data` under ``breadth`` what a row has no place for: the other levels,
identity, provenance, and extras that cannot be key–value pairs. ASE's JSON form is for small sets:
it is written anew with every row.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import UnknownFileTypeError
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from ..conformers import PROVENANCE, ConformerSet
from ..errors import BreadthError, DataError
from ..identity import build
from ..protocols import SetAside
from ..records import Record, plain_value
from .aside import sync_folder
from .extxyz import UNNAMED_LEVEL
from .header import Header, columns_told, restored

_SQLITE = b"SQLite format 3\0"
_SMILES = ("smiles", "SMILES")
_ROW_ATOM_EXTRAS = (
    "tags", "momenta", "masses", "initial_magmoms", "initial_charges", "magmoms", "charges",
)  # fmt: skip
_FAILURES = (
    *(sqlite3.Error, UnknownFileTypeError),
    *(ValueError, KeyError, TypeError, EOFError, AssertionError, AttributeError),
)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is an SQLite database or ASE's JSON."""
    return head.startswith(_SQLITE) or (head.lstrip()[:1] == b"{" and path.suffix == ".json")


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a database; `record` is the row's id."""
    from ase.db import connect

    aside: list[SetAside] = []
    records: list[Record] = []
    _refuse_truncated(path)
    try:
        database = connect(path, type=_kind(path), use_lock_file=False)
        header = Header()
        header.take(dict(database.metadata).get("breadth"), level)
        rows = list(database.select())
    except _FAILURES as error:
        raise DataError(
            f"{path} cannot be read as an ASE database: {error or type(error).__name__}. It is "
            "damaged, truncated, or in another format."
        ) from error
    for row in rows:
        place = f"{path}: row {row.id}"
        try:
            records.append(_record(row, path, place, header, level))
        except _FAILURES as error:
            if not skip_bad:
                raise DataError(
                    f"{place}: {error}. Repair the row, or skip such rows (skip_bad=True, "
                    "--skip-bad)."
                ) from error
            aside.append(SetAside(place, f"a structural fault: {error}"))
    _tell_atoms_from_frames(records)
    made = build(
        records,
        identity=identity,
        source=str(path),
        set_aside=aside,
        metadata=header.metadata,
    )
    return restored(made, header)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Write a database, in place of one that was there; `level` is that of the calculators."""
    from ase.db import connect

    name = level if level is not None else next(iter(conformers.levels), None)
    if name is not None:
        conformers.labels(name)
    header = Header(
        prefixes={f"level{i}_" if k != name else "": k for i, k in enumerate(conformers.levels)},
        forces={k: str(v.forces.dtype) for k, v in conformers.levels.items()},
        positions=str(conformers.positions.dtype),
        frame_extras=columns_told(conformers.frame_extras, {}),
        atom_extras=columns_told(conformers.atom_extras, {}),
        metadata=dict(conformers.metadata),
    )
    temporary: Path | None = None
    try:
        descriptor, text = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(descriptor)
        temporary = Path(text)
        temporary.unlink()  # ASE takes an empty file for a database that is there
        database = connect(temporary, type=_kind(path), append=False, use_lock_file=False)
        with database:
            for i in range(len(conformers)):
                _write_conformer(database, conformers, i, name)
            for z in _isolated(conformers):
                _write_atom(database, conformers, z, name)
            database.metadata = {"breadth": json.dumps(header.__dict__)}
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise BreadthError(
            f"Cannot write {path}: {error}. Nothing that was there before is changed. Free some "
            "space or choose another place, and run again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
        pbc=np.asarray(row.pbc, dtype=bool),
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
                {q: np.asarray(v) if q != "energy" else v for q, v in labels.items()}
            )
        record.frame_extras = {k: np.asarray(v) for k, v in own["frame_extras"]}
        record.atom_extras = {k: np.asarray(v) for k, v in own["atom_extras"]}
    record.levels = {k: v for k, v in levels.items() if v}
    record.frame_extras |= {**pairs, **{k: plain_value(v) for k, v in data.items()}}
    return record


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


def _tell_atoms_from_frames(records: list[Record]) -> None:
    """Make arrays with a row per atom in every record that has them per-atom extras."""
    names = {k for r in records if not r.is_conformer for k in r.frame_extras}
    for name in names:
        have = [r for r in records if name in r.frame_extras]
        shapes = [np.shape(r.frame_extras[name]) for r in have]
        larger = [r for r in have if len(r.numbers) > 1]
        if larger and all(s and s[0] == len(r.numbers) for s, r in zip(shapes, have, strict=True)):
            for record in have:
                record.atom_extras[name] = np.asarray(record.frame_extras.pop(name))


# -- writing -------------------------------------------------------------------------------------


def _write_conformer(database: Any, s: ConformerSet, i: int, level: str | None) -> None:
    atoms, row = s.atoms_slice(i), int(s.molecule[i])
    table = s.molecules.bond_table(row)
    pairs, own_extras = _pairs({k: e.values[i] for k, e in s.frame_extras.items() if e.present[i]})
    calculator, rest = _results(s, i, level)
    own: dict[str, Any] = {
        "identifier": str(s.molecules.key[row]),
        "constitution": str(s.molecules.constitution[row]),
        "smiles": str(s.molecules.smiles[row]),
        "charge": int(s.molecules.charge[row]),
        "multiplicity": int(s.molecules.multiplicity[row]),
        "bonds": None if table is None else table.tolist(),
        "provenance": {
            "source": str(s.source[i]),
            **{
                name: getattr(s, name)[i].item()
                for name, (_, fill) in PROVENANCE.items()
                if getattr(s, name)[i] != fill and getattr(s, name)[i] == getattr(s, name)[i]
            },
        },
        # Lists of pairs: ASE's JSON makes numbers of keys that look like numbers.
        "levels": list(rest.items()),
        "frame_extras": list(own_extras.items()),
        "atom_extras": [
            (k, _storable(e.values[atoms])) for k, e in s.atom_extras.items() if e.present[i]
        ],
    }
    made = Atoms(numbers=s.numbers[atoms], positions=s.positions[atoms], cell=s.cell[i])
    made.pbc = s.pbc[i]
    _put(database, made, calculator, pairs, own)


def _write_atom(database: Any, s: ConformerSet, z: int, level: str | None) -> None:
    energies = {
        k: v.reference_energies[z] for k, v in s.levels.items() if z in v.reference_energies
    }
    own: dict[str, Any] = {
        "identifier": "",
        "constitution": "",
        "smiles": "",
        "charge": 0,
        "multiplicity": 1,
        "bonds": None,
        "provenance": {},
        "levels": [(k, {"energy": e}) for k, e in energies.items() if k != level],
        "frame_extras": [],
        "atom_extras": [],
    }
    calculator = {"energy": energies[level]} if level in energies else {}
    _put(database, Atoms(numbers=[z]), calculator, {"config_type": "IsolatedAtom"}, own)


def _put(
    database: Any, atoms: Atoms, results: dict[str, Any], pairs: dict[str, Any], own: dict[str, Any]
) -> None:
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    database.write(atoms, key_value_pairs=pairs, data={"breadth": own})


def _results(
    s: ConformerSet, i: int, level: str | None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what the row's calculator holds, and the rest by level."""
    calculator: dict[str, Any] = {}
    rest: dict[str, dict[str, Any]] = {}
    for name, labels in s.levels.items():
        have: dict[str, Any] = {}
        if labels.has_energy[i]:
            have["energy"] = float(labels.energy[i])
        if labels.has_forces[i]:
            have["forces"] = np.array(labels.forces[s.atoms_slice(i)], dtype=np.float64)
        if labels.stress is not None and labels.has_stress[i]:
            have["stress"] = np.array(labels.stress[i])
        if name == level:
            stress = have.get("stress")
            # A row holds the six numbers of a symmetric stress.
            if stress is not None and (stress == stress.T).all():
                have["stress"] = full_3x3_to_voigt_6_stress(stress)
            elif stress is not None:
                rest[name] = {"stress": have.pop("stress")}
            calculator = have
        elif have:
            rest[name] = have
    return calculator, rest


def _pairs(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part values into those that ASE takes as key–value pairs, and others for `data`."""
    from ase.db.core import check
    from ase.db.row import AtomsRow

    pairs, others = {}, {}
    for key, value in values.items():
        plain = value.item() if np.ndim(value) == 0 else None
        try:
            # `check` lets names pass that a row has a meaning of its own for.
            if plain is None or plain != plain or hasattr(AtomsRow, key):
                raise ValueError
            check({key: plain})
            pairs[key] = plain
        except (ValueError, TypeError):
            others[key] = _storable(value)
    return pairs, others


def _storable(value: Any) -> Any:
    """Return an array as `data` can hold it: ASE stores numbers, and lists of texts."""
    array = np.asarray(value)
    return array.tolist() if array.dtype.kind in "Ub" or array.ndim == 0 else np.array(array)


def _isolated(s: ConformerSet) -> list[int]:
    return sorted({z for labels in s.levels.values() for z in labels.reference_energies})
