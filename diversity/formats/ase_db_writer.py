"""Write ASE databases: one row per conformer, and what a row has no place for in its data."""

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
from ase.stress import full_3x3_to_voigt_6_stress

from ..conformers import PROVENANCE, ConformerSet
from ..errors import BreadthError
from .aside import sync_folder
from .header import Header, columns_told


def write_database(conformers: ConformerSet, path: Path, level: str | None, *, kind: str) -> None:
    """Write a database of a kind of ASE's, `db` or `json`, in place of one that was there.

    Raises
    ------
    BreadthError
        If the file system refuses; what was there before is unharmed.
    """
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
        database = connect(temporary, type=kind, append=False, use_lock_file=False)
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
