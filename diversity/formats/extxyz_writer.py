"""Write a `ConformerSet` as extended XYZ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ..conformers import PROVENANCE, ConformerSet
from ..errors import DataError
from ..tables import Extra
from .aside import written_aside
from .header import Header, coded, columns_told
from .keyvalue import format_comment

_KINDS = {"b": "L", "i": "I", "u": "I", "f": "R", "U": "S"}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
#: Keys that a frame or its columns use; an extra of such a name is written under another.
_TAKEN = frozenset(
    (
        *("Lattice", "Properties", "pbc", "species", "pos", "Z", "breadth", "level"),
        *("energy", "forces", "force", "stress"),
        *("REF_energy", "REF_forces", "REF_force", "REF_stress"),
        *("charge", "total_charge", "multiplicity", "spin_multiplicity", "smiles", "SMILES"),
    )
)


def write_frames(conformers: ConformerSet, path: Path, level: str | None = None) -> None:
    """Write a set to a file, aside first.

    Parameters
    ----------
    conformers : ConformerSet
    path : Path
    level : str, optional
        The level to write as `energy` and `forces`; the first where none is named.

    Raises
    ------
    DataError
        If the set is empty or does not have the level.
    BreadthError
        If the file system refuses.
    """
    if level is not None:
        conformers.labels(level)
    names = [level] if level is not None else []
    names += [name for name in conformers.levels if name not in names]
    if not len(conformers) and not any(
        labels.reference_energies for labels in conformers.levels.values()
    ):
        raise DataError(f"There is nothing to write to {path}: the set has no conformers.")
    writer = _Writer(conformers, names)
    with written_aside(path) as file:
        for block in writer.blocks():
            file.write(block.encode())


class _Writer:
    def __init__(self, conformers: ConformerSet, levels: list[str]) -> None:
        self.set = conformers
        self.prefixes = _prefixes(levels)
        taken = _TAKEN | {f"{p}{q}" for p in self.prefixes for q in ("energy", "forces", "stress")}
        self.frame_keys = _keys(conformers.frame_extras, taken)
        self.atom_keys = _keys(conformers.atom_extras, taken)
        self.header = Header(
            prefixes=self.prefixes,
            forces={name: str(conformers.levels[name].forces.dtype) for name in levels},
            positions=str(conformers.positions.dtype),
            frame_extras=columns_told(conformers.frame_extras, self.frame_keys),
            atom_extras=columns_told(conformers.atom_extras, self.atom_keys),
            metadata=dict(conformers.metadata),
        )

    def blocks(self) -> Iterator[str]:
        """Yield one text per frame, isolated atoms last."""
        header: dict[str, Any] = {"breadth": self.header.__dict__}
        bonded: set[int] = set()
        for i in range(len(self.set)):
            yield self._conformer(i, header, bonded)
            header = {}
        atoms = {z for labels in self.set.levels.values() for z in labels.reference_energies}
        for z in sorted(atoms):
            yield self._atom(z, header)
            header = {}

    def _conformer(self, i: int, header: dict[str, Any], bonded: set[int]) -> str:
        s = self.set
        atoms, row = s.atoms_slice(i), int(s.molecule[i])
        columns: list[tuple[str, np.ndarray]] = [("pos", s.positions[atoms])]
        values: dict[str, Any] = {}
        if s.cell[i].any():
            values["Lattice"] = s.cell[i].ravel()
        if self.prefixes:
            values["level"] = self.prefixes[""]
        for prefix, level in self.prefixes.items():
            labels = s.levels[level]
            if labels.has_energy[i]:
                values[f"{prefix}energy"] = labels.energy[i]
            if labels.has_forces[i]:
                columns.append((f"{prefix}forces", labels.forces[atoms]))
            if labels.stress is not None and labels.has_stress[i]:
                # ASE reads the nine numbers of `stress` down the columns.
                order = "F" if prefix == "" else "C"
                values[f"{prefix}stress"] = labels.stress[i].ravel(order=order)
        for name, extra in s.atom_extras.items():
            if extra.present[i]:
                columns.append((self.atom_keys[name], extra.values[atoms]))
        for name, extra in s.frame_extras.items():
            if extra.present[i]:
                values[self.frame_keys[name]] = extra.values[i]
        values |= self._identity(i, row, bonded)
        values |= {"pbc": s.pbc[i], **header}
        symbols = [chemical_symbols[z] for z in s.numbers[atoms]]
        return _block(symbols, columns, values)

    def _identity(self, i: int, row: int, bonded: set[int]) -> dict[str, Any]:
        s, molecules = self.set, self.set.molecules
        values: dict[str, Any] = {
            "charge": int(molecules.charge[row]),
            "multiplicity": int(molecules.multiplicity[row]),
        }
        if molecules.smiles[row]:
            values["smiles"] = molecules.smiles[row]
        values["breadth_molecule"] = molecules.key[row]
        values["breadth_constitution"] = molecules.constitution[row]
        table = molecules.bond_table(row)
        if table is not None and row not in bonded:
            bonded.add(row)
            values["breadth_bonds"] = table
        if s.source[i]:
            values["breadth_source"] = s.source[i]
        for name, (_, unknown) in PROVENANCE.items():
            value = getattr(s, name)[i]
            if value != unknown and value == value:
                values[f"breadth_{name}"] = value
        return values

    def _atom(self, z: int, header: dict[str, Any]) -> str:
        values: dict[str, Any] = {"config_type": "IsolatedAtom"}
        if self.prefixes:
            values["level"] = self.prefixes[""]
        for prefix, level in self.prefixes.items():
            references = self.set.levels[level].reference_energies
            if z in references:
                values[f"{prefix}energy"] = references[z]
        values |= {"pbc": np.zeros(3, dtype=bool), **header}
        return _block([chemical_symbols[z]], [("pos", np.zeros((1, 3)))], values)


def _prefixes(levels: list[str]) -> dict[str, str]:
    """Return the levels by the prefixes of their keys; the first has none."""
    prefixes: dict[str, str] = {}
    for i, level in enumerate(levels):
        plain = _KEY.fullmatch(level) and not level.startswith("breadth")
        prefix = "" if i == 0 else f"{level}_" if plain else f"level{i}_"
        if prefix in prefixes:
            prefix = f"level{i}_"
        prefixes[prefix] = level
    return prefixes


def _keys(extras: Mapping[str, Extra], taken: frozenset[str] | set[str]) -> dict[str, str]:
    """Return the key in the file of each extra: its name where that can be a key."""
    keys: dict[str, str] = {}
    for i, name in enumerate(extras):
        plain = _KEY.fullmatch(name) and name not in taken and not name.startswith("breadth_")
        keys[name] = name if plain else f"breadth_extra{i}"
    return keys


def _block(symbols: list[str], columns: list[tuple[str, np.ndarray]], values: Any) -> str:
    told, cells = ["species:S:1"], [symbols]
    for name, column in columns:
        flat = column.reshape(len(column), -1)
        if not flat.shape[1]:
            continue  # the header tells of values of size zero
        told.append(f"{name}:{_KINDS[flat.dtype.kind]}:{flat.shape[1]}")
        cells.extend(_words(flat[:, k]) for k in range(flat.shape[1]))
    comment = format_comment({"Properties": ":".join(told), **values})
    rows = "\n".join(" ".join(row) for row in zip(*cells, strict=True))
    return f"{len(symbols)}\n{comment}\n{rows}\n"


def _words(column: np.ndarray) -> list[str]:
    if column.dtype.kind == "U":
        return [coded(text) for text in column.tolist()]
    if column.dtype.kind == "b":
        return ["T" if value else "F" for value in column.tolist()]
    return [repr(value) for value in column.tolist()]
