"""The tables that a `ConformerSet` is made of: molecules, labels of one level, extras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np


def frozen(
    array: Any, dtype: Any = None, shape: tuple[int | None, ...] | None = None
) -> np.ndarray:
    """Return a read-only contiguous copy (or the array itself where it is one already)."""
    given = np.asarray(array, dtype=dtype)
    if given.flags.writeable or not given.flags.c_contiguous:
        given = np.array(given, order="C")
        given.flags.writeable = False
    if shape is not None:
        fits = given.ndim == len(shape) and all(
            want is None or have == want for have, want in zip(given.shape, shape, strict=True)
        )
        if not fits:
            wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
            raise ValueError(f"an array of shape {given.shape} where {wanted} is needed")
    return given


def fresh(array: np.ndarray) -> np.ndarray:
    """Mark an array that was just made, and that nobody else holds: `frozen` takes no copy then."""
    array.flags.writeable = False
    return array


def ragged_index(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the element indices of some ragged rows, in order, and their new offsets."""
    counts = np.diff(offsets)[rows]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    index = np.repeat(offsets[rows] - starts[:-1], counts) + np.arange(starts[-1])
    return index, starts


@dataclass(frozen=True, eq=False)
class Molecules:
    """The molecules of a set, one row each.

    Parameters
    ----------
    key : array of str, shape (M,)
        Unique identity.
    smiles, constitution : array of str, shape (M,), optional
        SMILES ('' unknown); and the hold-out key, which leaves stereochemistry out and holds
        connectivity, charge and multiplicity (the identity key where it is not given).
    charge, multiplicity : array of int32, shape (M,), optional
        Total charge in e (0) and spin multiplicity (1, or 2 is for the caller to say).
    bonds : array of int32, shape (B, 3), optional
        Atoms i < j within the molecule and twice the bond order (3 is aromatic).
    bond_offsets : array of int64, shape (M + 1,), optional
        Where each molecule's bonds begin.
    has_bonds : array of bool, shape (M,), optional
        Whether the bond table is known: an atom has a known table of length 0.
    """

    key: np.ndarray
    smiles: np.ndarray = None  # type: ignore[assignment]
    charge: np.ndarray = None  # type: ignore[assignment]
    multiplicity: np.ndarray = None  # type: ignore[assignment]
    constitution: np.ndarray = None  # type: ignore[assignment]
    bonds: np.ndarray = None  # type: ignore[assignment]
    bond_offsets: np.ndarray = None  # type: ignore[assignment]
    has_bonds: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        m = len(self.key)
        put = object.__setattr__
        put(self, "key", frozen(np.asarray(self.key, dtype=np.str_), shape=(m,)))
        for name, kind, default in (
            ("smiles", np.str_, ""),
            ("charge", np.int32, 0),
            ("multiplicity", np.int32, 1),
            ("constitution", np.str_, self.key),
            ("bonds", np.int32, np.zeros((0, 3))),
            ("bond_offsets", np.int64, np.zeros(m + 1)),
            ("has_bonds", bool, False),
        ):
            value = getattr(self, name)
            if value is None:
                value = np.full(m, default) if np.ndim(default) == 0 else default
            shape = {"bonds": (None, 3), "bond_offsets": (m + 1,)}.get(name, (m,))
            try:
                put(self, name, frozen(np.asarray(value, dtype=kind), shape=shape))
            except ValueError as error:
                raise ValueError(f"molecules.{name}: {error}") from None
        if len(np.unique(self.key)) != m:
            raise ValueError("molecule keys are not unique")
        if self.bond_offsets[-1] != len(self.bonds) or (np.diff(self.bond_offsets) < 0).any():
            raise ValueError("molecules.bond_offsets does not fit molecules.bonds")

    def __len__(self) -> int:
        return len(self.key)

    def _repr_html_(self) -> str:
        from .drawings import molecules_html

        return molecules_html(self)

    def bond_table(self, molecule: int) -> np.ndarray | None:
        """Return the bonds (B, 3) of one molecule, or None where they are not known."""
        if not self.has_bonds[molecule]:
            return None
        return self.bonds[self.bond_offsets[molecule] : self.bond_offsets[molecule + 1]]

    def select(self, rows: np.ndarray) -> Molecules:
        """Return the given rows, in the given order."""
        index, offsets = ragged_index(self.bond_offsets, rows)
        columns = {
            f.name: getattr(self, f.name)[rows]
            for f in fields(self)
            if f.name not in ("bonds", "bond_offsets")
        }
        return Molecules(**columns, bonds=self.bonds[index], bond_offsets=offsets)


@dataclass(frozen=True, eq=False, kw_only=True)
class Labels:
    """Labels of n conformers with A atoms at one level of theory.

    Parameters
    ----------
    energy : array of float64, shape (n,)
        Total energy in eV.
    forces : array of float, shape (A, 3)
        Forces in eV/Å.
    stress : array of float64, shape (n, 3, 3), optional
        Stress in eV/Å³, ASE's sign.
    has_energy, has_forces, has_stress : array of bool, shape (n,), optional
        Where a label is there. Values behind a False are zeros and mean nothing.
    reference_energies : mapping of int to float, optional
        Energy in eV of the isolated atom by atomic number, at this level.
    faults : mapping of int to str, optional
        Why a conformer has no label, by its index; for the caller of an engine, not stored.
    """

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray | None = None
    has_energy: np.ndarray = None  # type: ignore[assignment]
    has_forces: np.ndarray = None  # type: ignore[assignment]
    has_stress: np.ndarray = None  # type: ignore[assignment]
    reference_energies: Mapping[int, float] = field(default_factory=dict)
    faults: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        n = len(self.energy)
        put(self, "energy", frozen(self.energy, np.float64, (n,)))
        forces = np.asarray(self.forces)
        put(self, "forces", frozen(forces, None if forces.dtype.kind == "f" else float, (None, 3)))
        if self.stress is not None:
            put(self, "stress", frozen(self.stress, np.float64, (n, 3, 3)))
        for name, there in (
            ("energy", True),
            ("forces", True),
            ("stress", self.stress is not None),
        ):
            mask = getattr(self, f"has_{name}")
            put(
                self, f"has_{name}", frozen(np.full(n, there) if mask is None else mask, bool, (n,))
            )
        references = {int(z): float(e) for z, e in sorted(self.reference_energies.items())}
        put(self, "reference_energies", MappingProxyType(references))
        put(self, "faults", MappingProxyType(dict(self.faults)))
        for name in ("energy", "forces"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(
                    f"{name} holds NaN or infinity; a missing label is told by its mask"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        # MappingProxyType cannot be pickled, and labels travel between worker processes.
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        state["reference_energies"] = dict(self.reference_energies)
        state["faults"] = dict(self.faults)
        return _labels, (state,)

    @classmethod
    def empty(cls, n_conformers: int, n_atoms: int) -> Labels:
        """Return labels of which none is there."""
        none = np.zeros(n_conformers, dtype=bool)
        return cls(
            energy=np.zeros(n_conformers),
            forces=np.zeros((n_atoms, 3)),
            has_energy=none,
            has_forces=none,
            has_stress=none,
        )

    def select(self, conformers: np.ndarray, atoms: np.ndarray) -> Labels:
        """Return the labels of some conformers, given their indices and those of their atoms."""
        places = {int(old): new for new, old in enumerate(conformers)} if self.faults else {}
        return Labels(
            energy=self.energy[conformers],
            forces=fresh(self.forces[atoms]),
            stress=None if self.stress is None else self.stress[conformers],
            has_energy=self.has_energy[conformers],
            has_forces=self.has_forces[conformers],
            has_stress=self.has_stress[conformers],
            reference_energies=self.reference_energies,
            faults={places[i]: why for i, why in self.faults.items() if i in places},
        )


def _labels(state: dict[str, Any]) -> Labels:
    return Labels(**state)


@dataclass(frozen=True, eq=False)
class Extra:
    """A per-conformer or per-atom value that the suite does not interpret, kept as it was read.

    Parameters
    ----------
    values : array, shape (n, …) per conformer or (A, …) per atom
        Of any boolean, integer, floating or string type.
    present : array of bool, shape (n,)
        Which conformers carry it; values elsewhere are fill.
    """

    values: np.ndarray
    present: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", frozen(self.values))
        object.__setattr__(self, "present", frozen(self.present, bool))
        if self.values.dtype.kind not in "biufU":
            raise ValueError(f"an extra of type {self.values.dtype} cannot be stored")
