"""QCSchema: JSON of MolSSI's schema, as Psi4 and QCEngine write it; read, never written.

A file holds one result, one molecule, one optimisation (each step of its trajectory is a record),
or a list of these. Lengths are in bohr, energies in hartree, `gradient` is the negative of the
forces; all are taken over with ASE's constants. The level is ``method/basis`` of `model` in small
letters. A failed calculation is set aside; one with ghost atoms is a fault, since its energy is
not that of the atoms alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import build
from ..records import Record
from .extxyz import UNNAMED_LEVEL
from .program_outputs import Broken, gathered, refuse_writing

_MARKS = (b'"schema_name"', b'"qcschema', b'"return_result"')
_SMILES = ("canonical_isomeric_explicit_hydrogen_mapped_smiles", "canonical_smiles", "smiles")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a text is JSON with names of the schema."""
    return head.lstrip()[:1] in (b"{", b"[") and any(mark in head for mark in _MARKS)


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a file; see the module for units and :func:`breadth.diversity.read` for parameters."""
    try:
        whole = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as QCSchema: {error}. It is truncated, damaged, or no JSON."
        ) from error
    entries = list(_entries(whole))
    if not entries:
        raise DataError(f"{path} has no molecule of QCSchema (symbols and geometry).")
    records, aside = gathered(path, entries, lambda e: _record(e, level), skip_bad=skip_bad)
    return build(records, identity=identity, source=str(path), set_aside=aside)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: the format is only read."""
    refuse_writing("qcschema", path)


def _entries(whole: Any) -> Iterator[dict[str, Any]]:
    """Yield results and molecules; the steps of an optimisation one by one."""
    if isinstance(whole, list):
        for part in whole:
            yield from _entries(part)
    elif isinstance(whole, dict):
        steps = whole.get("trajectory") or whole.get("trajectory_results")
        if isinstance(steps, list) and steps:
            yield from _entries(steps)
        elif "molecule" in whole or "symbols" in whole or whole.get("success") is False:
            yield whole


def _record(entry: dict[str, Any], level: str | None) -> Record | str:
    if entry.get("success") is False:
        told = entry.get("error")
        message = told.get("error_message", "") if isinstance(told, dict) else ""
        first = (str(message).splitlines() or [""])[0]
        return f"the calculation failed{f': {first}' if first else ''}"
    molecule = entry.get("molecule", entry)
    if not isinstance(molecule, dict):
        raise Broken("its molecule is no object")
    numbers = _numbers(molecule)
    geometry = _floats(molecule.get("geometry"), (len(numbers), 3), "geometry")
    labels = _labels(entry, len(numbers)) if "molecule" in entry else {}
    names = molecule.get("identifiers")
    names = names if isinstance(names, dict) else {}
    extras = {"name": str(molecule["name"])} if molecule.get("name") else {}
    return Record(
        numbers=numbers,
        positions=geometry * Bohr,
        charge=_integer(molecule, "molecular_charge", 0),
        multiplicity=_integer(molecule, "molecular_multiplicity", 1),
        smiles=next((str(names[k]) for k in _SMILES if names.get(k)), ""),
        bonds=_bonds(molecule.get("connectivity"), len(numbers)),
        levels={level or _level(entry): labels} if labels else {},
        frame_extras=extras,
    )


def _numbers(molecule: dict[str, Any]) -> np.ndarray:
    symbols = molecule.get("symbols")
    if not isinstance(symbols, list) or not symbols:
        raise Broken("it has no symbols")
    unknown = next((s for s in symbols if str(s).capitalize() not in atomic_numbers), None)
    if unknown is None:  # a dummy atom: ASE knows it, by the number 0
        unknown = next((s for s in symbols if str(s).capitalize() == "X"), None)
    if unknown is not None:
        raise Broken(f"unknown element {unknown!r}")
    real = molecule.get("real")
    if isinstance(real, list) and not all(real):
        raise Broken("it has ghost atoms, so that its energy is not that of its atoms alone")
    return np.array([atomic_numbers[str(s).capitalize()] for s in symbols], dtype=np.uint8)


def _labels(entry: dict[str, Any], n: int) -> dict[str, Any]:
    """Return energy and forces: of `properties`, else of `return_result` by the driver."""
    properties = entry.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    asked = entry.get("driver") or _specification(entry).get("driver")
    result = entry.get("return_result")
    energy, gradient = properties.get("return_energy"), properties.get("return_gradient")
    energy = result if energy is None and asked == "energy" else energy
    gradient = result if gradient is None and asked == "gradient" else gradient
    labels: dict[str, Any] = {}
    if energy is not None:
        labels["energy"] = float(_floats(energy, (), "the energy")) * Hartree
    if gradient is not None:
        labels["forces"] = -_floats(gradient, (n, 3), "the gradient") * (Hartree / Bohr)
    return labels


def _specification(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a result in the schema's second version that says what was asked."""
    given = entry.get("input_data")
    told = given.get("specification") if isinstance(given, dict) else None
    return told if isinstance(told, dict) else {}


def _level(entry: dict[str, Any]) -> str:
    model = entry.get("model") or _specification(entry).get("model")
    if not isinstance(model, dict) or not model.get("method"):
        return UNNAMED_LEVEL
    method = model["method"]
    basis = model.get("basis")
    basis = basis.get("name") if isinstance(basis, dict) else basis
    return f"{method}/{basis}".lower() if basis else str(method).lower()


def _bonds(table: Any, n: int) -> np.ndarray | None:
    if not isinstance(table, list) or not table:
        return None
    rows = _floats(table, (len(table), 3), "connectivity")
    atoms, twice = np.sort(rows[:, :2], axis=1), 2 * rows[:, 2]
    if (atoms < 0).any() or (atoms >= n).any() or (atoms % 1).any() or (twice % 1).any():
        raise Broken("its connectivity names atoms that it does not have")
    return np.column_stack([atoms, twice]).astype(np.int32)


def _floats(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        array = np.full((0, 0), np.nan)
    if array.size != int(np.prod(shape)) or value is None:
        raise Broken(f"{what} is not {' × '.join(map(str, shape)) or 'one'} numbers")
    return array.reshape(shape)


def _integer(molecule: dict[str, Any], name: str, default: int) -> int:
    value = molecule.get(name, default)
    if not isinstance(value, int | float) or value != round(value) or abs(value) > 1000:
        raise Broken(f"{name} {value!r} is not an integer")
    return round(value)
