"""Write a `ConformerSet` as extended XYZ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
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
    parts = FrameParts(conformers, names)
    with written_aside(path) as file:
        for block in _blocks(parts):
            file.write(block.encode())


class FrameParts:
    """What the frames of a set hold under which key: columns of the atoms, values of the frame.

    Parameters
    ----------
    conformers : ConformerSet
    levels : list of str
        The first has the plain keys.
    taken : set of str, optional
        Further keys that extras must not have.

    Attributes
    ----------
    header : Header
    """

    def __init__(
        self, conformers: ConformerSet, levels: list[str], taken: Set[str] = frozenset()
    ) -> None:
        self.set = conformers
        self.prefixes = _prefixes(levels)
        labels = {f"{p}{q}" for p in self.prefixes for q in ("energy", "forces", "stress")}
        taken = _TAKEN | taken | labels
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

    @property
    def isolated(self) -> list[int]:
        """Atomic numbers that have a reference energy at some level, ascending."""
        levels = self.set.levels.values()
        return sorted({z for labels in levels for z in labels.reference_energies})

    def conformer(self, i: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the columns and values of one conformer, but for its numbers and bonds."""
        s = self.set
        atoms = s.atoms_slice(i)
        columns: dict[str, np.ndarray] = {"pos": s.positions[atoms]}
        values: dict[str, Any] = {}
        if s.cell[i].any():
            values["Lattice"] = s.cell[i]
        if self.prefixes:
            values["level"] = self.prefixes[""]
        for prefix, level in self.prefixes.items():
            labels = s.levels[level]
            if labels.has_energy[i]:
                values[f"{prefix}energy"] = labels.energy[i]
            if labels.has_forces[i]:
                columns[f"{prefix}forces"] = labels.forces[atoms]
            if labels.stress is not None and labels.has_stress[i]:
                values[f"{prefix}stress"] = labels.stress[i]
        for name, extra in s.atom_extras.items():
            if extra.present[i]:
                columns[self.atom_keys[name]] = extra.values[atoms]
        for name, extra in s.frame_extras.items():
            if extra.present[i]:
                values[self.frame_keys[name]] = extra.values[i]
        return columns, {**values, **self._identity(i), "pbc": s.pbc[i]}

    def _identity(self, i: int) -> dict[str, Any]:
        s, molecules, row = self.set, self.set.molecules, int(self.set.molecule[i])
        values: dict[str, Any] = {
            "charge": int(molecules.charge[row]),
            "multiplicity": int(molecules.multiplicity[row]),
        }
        if molecules.smiles[row]:
            values["smiles"] = str(molecules.smiles[row])
        values["breadth_molecule"] = str(molecules.key[row])
        values["breadth_constitution"] = str(molecules.constitution[row])
        if s.source[i]:
            values["breadth_source"] = str(s.source[i])
        for name, (_, unknown) in PROVENANCE.items():
            value = getattr(s, name)[i]
            if value != unknown and value == value:
                values[f"breadth_{name}"] = value
        return values

    def atom(self, z: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the columns and values of an isolated atom."""
        values: dict[str, Any] = {"config_type": "IsolatedAtom"}
        if self.prefixes:
            values["level"] = self.prefixes[""]
        for prefix, level in self.prefixes.items():
            references = self.set.levels[level].reference_energies
            if z in references:
                values[f"{prefix}energy"] = references[z]
        return {"pos": np.zeros((1, 3))}, {**values, "pbc": np.zeros(3, dtype=bool)}


def _blocks(parts: FrameParts) -> Iterator[str]:
    """Yield one text per frame, isolated atoms last."""
    s = parts.set
    header: dict[str, Any] = {"breadth": parts.header.__dict__}
    bonded: set[int] = set()
    for i in range(len(s)):
        columns, values = parts.conformer(i)
        for key in ("Lattice", *(f"{prefix}stress" for prefix in parts.prefixes)):
            if key in values:
                # ASE reads the nine numbers of `stress` down the columns.
                values[key] = values[key].ravel(order="F" if key == "stress" else "C")
        row = int(s.molecule[i])
        table = s.molecules.bond_table(row)
        if table is not None and row not in bonded:
            bonded.add(row)
            values["breadth_bonds"] = table
        yield _block(s.numbers[s.atoms_slice(i)], columns, {**values, **header})
        header = {}
    for z in parts.isolated:
        columns, values = parts.atom(z)
        yield _block(np.array([z]), columns, {**values, **header})
        header = {}


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


def _keys(extras: Mapping[str, Extra], taken: Set[str]) -> dict[str, str]:
    """Return the key in the file of each extra: its name where that can be a key."""
    keys: dict[str, str] = {}
    for i, name in enumerate(extras):
        plain = _KEY.fullmatch(name) and name not in taken and not name.startswith("breadth_")
        keys[name] = name if plain else f"breadth_extra{i}"
    return keys


def _block(numbers: np.ndarray, columns: Mapping[str, np.ndarray], values: dict[str, Any]) -> str:
    told, cells = ["species:S:1"], [[chemical_symbols[z] for z in numbers]]
    for name, column in columns.items():
        flat = column.reshape(len(column), -1)
        if not flat.shape[1]:
            continue  # the header tells of values of size zero
        told.append(f"{name}:{_KINDS[flat.dtype.kind]}:{flat.shape[1]}")
        cells.extend(_words(flat[:, k]) for k in range(flat.shape[1]))
    comment = format_comment({"Properties": ":".join(told), **values})
    rows = "\n".join(" ".join(row) for row in zip(*cells, strict=True))
    return f"{len(numbers)}\n{comment}\n{rows}\n"


def _words(column: np.ndarray) -> list[str]:
    if column.dtype.kind == "U":
        return [coded(text) for text in column.tolist()]
    if column.dtype.kind == "b":
        return ["T" if value else "F" for value in column.tolist()]
    return [repr(value) for value in column.tolist()]
