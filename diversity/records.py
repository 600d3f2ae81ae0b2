"""One frame of a file as it was read, and how many of them become columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .conformers import PROVENANCE
from .errors import DataError
from .tables import Extra, Labels

#: One atom in a periodic cell is a crystal, not an isolated atom, if its images are this near, Å.
CRYSTAL_DISTANCE = 6.0


@dataclass(slots=True, kw_only=True, eq=False)
class Record:
    """One frame of a file.

    Parameters
    ----------
    numbers : array of int, shape (n,)
    positions : array of float, shape (n, 3)
        In Å; the precision is kept.
    cell : array of float, shape (3, 3), optional
        Cell vectors as rows, Å.
    pbc : array of bool, shape (3,), optional
    charge, multiplicity : int
        In e; 2S + 1.
    identifier : str
        Names the molecule where the source says so; '' otherwise.
    smiles, constitution : str
        '' unknown.
    bonds : array of int, shape (B, 3), optional
        As in :class:`~breadth.diversity.Molecules`.
    levels : dict of str to dict
        `energy` (eV), `forces` (n, 3) (eV/Å), `stress` (3, 3) (eV/Å³), each where it is there.
    frame_extras, atom_extras : dict
        What the suite does not interpret: scalars, texts or arrays; atom extras (n, …).
    provenance : dict
        `source`, `record`, `minimum`, `temperature`, `trajectory`, `time` where known.
    place : str
        Names the record in messages: file, record and line.
    is_conformer : bool
        True keeps a frame of one atom a conformer; otherwise it is an isolated atom.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: np.ndarray = field(default_factory=lambda: np.zeros(3, dtype=bool))
    charge: int = 0
    multiplicity: int = 1
    identifier: str = ""
    smiles: str = ""
    constitution: str = ""
    bonds: np.ndarray | None = None
    levels: dict[str, dict[str, Any]] = field(default_factory=dict)
    frame_extras: dict[str, Any] = field(default_factory=dict)
    atom_extras: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    place: str = ""
    is_conformer: bool = False

    @property
    def is_isolated_atom(self) -> bool:
        """Whether the frame holds one atom alone; some such frames carry a wide periodic box."""
        if len(self.numbers) != 1 or self.is_conformer:
            return False
        lengths = np.linalg.norm(self.cell[self.pbc], axis=1)
        return not len(lengths) or bool(lengths.min() >= CRYSTAL_DISTANCE)


def reference_energies(atoms: Sequence[Record]) -> dict[str, dict[int, float]]:
    """Return the energies in eV of isolated atoms, by level and atomic number.

    Raises
    ------
    DataError
        If one element has two energies at one level; the message names both records.
    """
    found: dict[str, dict[int, tuple[float, str]]] = {}
    for atom in atoms:
        z = int(atom.numbers[0])
        for level, labels in atom.levels.items():
            if "energy" not in labels:
                continue
            energy = float(labels["energy"])
            first, place = found.setdefault(level, {}).setdefault(z, (energy, atom.place))
            if abs(first - energy) > 1e-6:
                raise DataError(
                    f"The isolated atom with Z = {z} has two energies at level {level!r}: "
                    f"{first:.8g} eV in {place} and {energy:.8g} eV in {atom.place}. Keep one, "
                    "or name two levels of theory."
                )
    return {level: {z: e for z, (e, _) in atoms.items()} for level, atoms in found.items()}


def columns(records: Sequence[Record]) -> dict[str, Any]:
    """Return the columns of a `ConformerSet` but for its molecules, from at least no record."""
    counts = np.array([len(r.numbers) for r in records], dtype=np.int64)
    single = bool(records) and all(r.positions.dtype == np.float32 for r in records)
    positions = [np.asarray(r.positions, dtype=np.float32 if single else float) for r in records]
    return {
        "numbers": _joined([r.numbers for r in records], (0,), np.uint8),
        "positions": _joined(positions, (0, 3), np.float32 if single else np.float64),
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "cell": np.array([r.cell for r in records], dtype=float).reshape(-1, 3, 3),
        "pbc": np.array([r.pbc for r in records], dtype=bool).reshape(-1, 3),
        "source": np.array([r.provenance.get("source", "") for r in records], dtype=np.str_),
        **{
            name: np.array([r.provenance.get(name, fill) for r in records], dtype=kind)
            for name, (kind, fill) in PROVENANCE.items()
        },
        "frame_extras": {
            name: frame_extra([r.frame_extras.get(name) for r in records])
            for name in dict.fromkeys(k for r in records for k in r.frame_extras)
        },
        "atom_extras": {
            name: _atom_extra(name, records)
            for name in dict.fromkeys(k for r in records for k in r.atom_extras)
        },
    }


def label_columns(
    records: Sequence[Record], references: dict[str, dict[int, float]]
) -> dict[str, Labels]:
    """Return the labels of all levels that a record or an isolated atom has."""
    levels = dict.fromkeys([*(k for r in records for k in r.levels), *references])
    counts = [len(r.numbers) for r in records]
    made = {}
    for level in levels:
        have = [r.levels.get(level, {}) for r in records]
        single = {h["forces"].dtype for h in have if "forces" in h} == {np.dtype(np.float32)}
        kind = np.float32 if single else np.float64
        forces = [
            np.asarray(h["forces"], kind) if "forces" in h else np.zeros((c, 3), kind)
            for h, c in zip(have, counts, strict=True)
        ]
        masks = {q: np.array([q in h for h in have], bool) for q in ("energy", "forces", "stress")}
        stress = np.array([h.get("stress", np.zeros((3, 3))) for h in have], float)
        made[level] = Labels(
            energy=np.array([h.get("energy", 0.0) for h in have], float),
            forces=_joined(forces, (0, 3), kind),
            stress=stress.reshape(-1, 3, 3) if masks["stress"].any() else None,
            has_energy=masks["energy"],
            has_forces=masks["forces"],
            has_stress=masks["stress"],
            reference_energies=references.get(level, {}),
        )
    return made


def frame_extra(values: Sequence[Any]) -> Extra:
    """Make a column of per-frame values; None where a frame has none.

    Numbers of one shape stay numbers; values of mixed shapes become their JSON text.
    """
    arrays = [None if v is None else np.asarray(v) for v in values]
    have = [a for a in arrays if a is not None]
    textual = any(a.dtype.kind == "U" for a in have)
    if len({a.shape for a in have}) > 1 or (textual and any(a.dtype.kind != "U" for a in have)):
        texts = [None if a is None else value_text(a) for a in arrays]
        return frame_extra(texts)
    kind = np.result_type(*(a.dtype for a in have))
    fill = np.zeros(have[0].shape, dtype=kind)
    return Extra(
        np.stack([fill if a is None else a for a in arrays]).astype(kind, copy=False),
        np.array([a is not None for a in arrays]),
    )


def plain_value(value: Any) -> Any:
    """Return a value as an array of numbers or texts, else as its text."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    return array if array.dtype.kind in "biufU" else repr(value)


def _atom_extra(name: str, records: Sequence[Record]) -> Extra:
    arrays = [r.atom_extras.get(name) for r in records]
    have = [a for a in arrays if a is not None]
    for record, array in zip(records, arrays, strict=True):
        if array is not None and array.shape[1:] != have[0].shape[1:]:
            raise DataError(
                f"{record.place}: the per-atom values {name!r} have shape {array.shape[1:]} per "
                f"atom, and {have[0].shape[1:]} in records before. Give them different names."
            )
    textual = any(a.dtype.kind == "U" for a in have)
    kind = np.dtype(np.str_) if textual else np.result_type(*(a.dtype for a in have))
    shape = have[0].shape[1:]
    filled = [
        np.zeros((len(r.numbers), *shape), kind) if a is None else a.astype(kind)
        for r, a in zip(records, arrays, strict=True)
    ]
    return Extra(np.concatenate(filled), np.array([a is not None for a in arrays]))


def value_text(value: np.ndarray) -> str:
    """Return a text as it is, and another value as its JSON."""
    if value.ndim == 0 and value.dtype.kind == "U":
        return str(value)
    return json.dumps(value.tolist())


def _joined(arrays: Sequence[np.ndarray], empty: tuple[int, ...], dtype: Any) -> np.ndarray:
    if not arrays:
        return np.zeros(empty, dtype=dtype)
    return np.concatenate(arrays).astype(dtype, copy=False)
