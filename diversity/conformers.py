"""`ConformerSet`: ragged, immutable, columnar; the one currency of the suite.

Energies are in eV, lengths in Å, forces in eV/Å, stress in eV/Å³ with ASE's sign. A missing label
is told by a mask, never by NaN. Levels of theory are kept apart by name and never merged.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from .errors import DataError
from .tables import Extra, Labels, Molecules, fresh, frozen, ragged_index

#: Per-conformer columns that say where a conformer comes from, with the value for 'unknown'.
PROVENANCE: dict[str, tuple[type, Any]] = {
    "record": (np.int64, -1),
    "minimum": (np.int64, -1),
    "temperature": (np.float64, np.nan),
    "trajectory": (np.int64, -1),
    "time": (np.float64, np.nan),
}

#: Conformers whose rounded positions are in memory at once while ids are computed.
_AT_ONCE = 50_000


@dataclass(frozen=True, eq=False, kw_only=True)
class ConformerSet:
    """Conformers of molecules with labels by level of theory.

    All arrays are read-only. n conformers, M molecules, A atoms in all.

    Parameters
    ----------
    molecules : Molecules
        M rows; each is used by at least one conformer after `select`.
    molecule : array of int64, shape (n,)
        Row of each conformer's molecule.
    numbers : array of uint8, shape (A,)
        Atomic numbers.
    positions : array of float32 or float64, shape (A, 3)
        In Å, in the precision of their file.
    offsets : array of int64, shape (n + 1,)
        Where each conformer's atoms begin.
    cell : array of float64, shape (n, 3, 3), optional
        Cell vectors as rows, Å; zeros where there is none.
    pbc : array of bool, shape (n, 3), optional
    source : array of str, shape (n,), optional
        The file or program that a conformer comes from.
    record, minimum, trajectory : array of int64, shape (n,), optional
        Place in the source, index of the minimum that it was displaced from, index of the
        trajectory it was cut from; −1 unknown.
    temperature, time : array of float64, shape (n,), optional
        In K and fs; NaN unknown.
    levels : mapping of str to Labels, optional
    frame_extras, atom_extras : mapping of str to Extra, optional
    metadata : mapping, optional
        What JSON can hold, about the set as a whole (`identity_rule`, `set_aside`).
    """

    molecules: Molecules
    molecule: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    offsets: np.ndarray
    cell: np.ndarray = None  # type: ignore[assignment]
    pbc: np.ndarray = None  # type: ignore[assignment]
    source: np.ndarray = None  # type: ignore[assignment]
    record: np.ndarray = None  # type: ignore[assignment]
    minimum: np.ndarray = None  # type: ignore[assignment]
    temperature: np.ndarray = None  # type: ignore[assignment]
    trajectory: np.ndarray = None  # type: ignore[assignment]
    time: np.ndarray = None  # type: ignore[assignment]
    levels: Mapping[str, Labels] = field(default_factory=dict)
    frame_extras: Mapping[str, Extra] = field(default_factory=dict)
    atom_extras: Mapping[str, Extra] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, a = len(self.molecule), len(self.numbers)
        precision = np.asarray(self.positions).dtype
        precision = precision if precision in (np.float32, np.float64) else np.dtype(np.float64)
        columns: list[tuple[str, Any, tuple[int | None, ...], Any]] = [
            ("molecule", np.int64, (n,), None),
            ("numbers", np.uint8, (a,), None),
            ("positions", precision, (a, 3), None),
            ("offsets", np.int64, (n + 1,), None),
            ("cell", np.float64, (n, 3, 3), 0.0),
            ("pbc", bool, (n, 3), False),
            ("source", np.str_, (n,), ""),
            *((name, kind, (n,), fill) for name, (kind, fill) in PROVENANCE.items()),
        ]
        for name, kind, shape, fill in columns:
            value = getattr(self, name)
            if value is None:
                value = np.full(shape, fill, dtype=kind)
            try:
                object.__setattr__(self, name, frozen(np.asarray(value, dtype=kind), shape=shape))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        for name in ("levels", "frame_extras", "atom_extras", "metadata"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        self._check(n, a)

    def _check(self, n: int, a: int) -> None:
        if self.offsets[0] != 0 or self.offsets[-1] != a or (np.diff(self.offsets) < 1).any():
            raise ValueError("offsets must rise from 0 to the number of atoms")
        if n and not (0 <= self.molecule.min() and self.molecule.max() < len(self.molecules)):
            raise ValueError("molecule points outside the table of molecules")
        if a and not (1 <= self.numbers.min() and self.numbers.max() <= 118):
            raise ValueError("atomic numbers lie outside 1 … 118")
        if not np.isfinite(self.positions).all():
            bad = int(self.atom_conformer[~np.isfinite(self.positions).all(1)][0])
            raise DataError(f"Conformer {bad} has a position that is NaN or infinite.")
        for level, labels in self.levels.items():
            if len(labels.energy) != n or len(labels.forces) != a:
                raise ValueError(f"labels of level {level!r} do not fit {n} conformers, {a} atoms")
        for name, extra in self.frame_extras.items():
            if len(extra.values) != n or len(extra.present) != n:
                raise ValueError(f"frame extra {name!r} does not fit {n} conformers")
        for name, extra in self.atom_extras.items():
            if len(extra.values) != a or len(extra.present) != n:
                raise ValueError(f"atom extra {name!r} does not fit {a} atoms")

    # -- sizes and derived columns -----------------------------------------------------------

    def __len__(self) -> int:
        return len(self.molecule)

    def __repr__(self) -> str:
        levels = ", ".join(self.levels) or "no labels"
        return (
            f"<ConformerSet: {self.n_conformers} conformers of {self.n_molecules} molecules, "
            f"{self.n_atoms} atoms; {levels}>"
        )

    def _repr_html_(self) -> str:
        from .describe import set_html

        return set_html(self)

    @property
    def n_conformers(self) -> int:
        """Number of conformers n."""
        return len(self.molecule)

    @property
    def n_molecules(self) -> int:
        """Number of molecules M."""
        return len(self.molecules)

    @property
    def n_atoms(self) -> int:
        """Number of atoms A of all conformers together."""
        return len(self.numbers)

    @cached_property
    def counts(self) -> np.ndarray:
        """Atoms per conformer, shape (n,)."""
        return frozen(np.diff(self.offsets))

    @cached_property
    def atom_conformer(self) -> np.ndarray:
        """Conformer of each atom, shape (A,)."""
        return frozen(np.repeat(np.arange(len(self)), np.diff(self.offsets)))

    @cached_property
    def id(self) -> np.ndarray:
        """128-bit content ids as 32 hexadecimal digits, array of bytes 'S32', shape (n,).

        The id hashes atomic numbers, positions rounded to 1e-6 Å, cell vectors along periodic
        directions, charge and multiplicity: the same geometry has the same id in any file.
        """
        ids = []
        for start in range(0, len(self), _AT_ONCE):
            rows = slice(start, min(start + _AT_ONCE, len(self)))
            starts = self.offsets[start : rows.stop + 1].tolist()
            numbers, positions = (
                column[starts[0] : starts[-1]] for column in (self.numbers, self.positions)
            )
            rounded = np.rint(positions.astype(np.float64) * 1e6).astype("<i8")
            cell = np.where(self.pbc[rows, :, None], self.cell[rows], 0.0)
            cells = np.rint(cell * 1e6).astype("<i8")
            whose = self.molecule[rows]
            state = np.stack(
                [self.molecules.charge[whose], self.molecules.multiplicity[whose]], axis=1
            ).astype("<i4")
            for i, (begin, end) in enumerate(itertools.pairwise(starts)):
                atoms = slice(begin - starts[0], end - starts[0])
                digest = hashlib.blake2b(numbers[atoms].tobytes(), digest_size=16)
                digest.update(rounded[atoms].tobytes())
                digest.update(cells[i].tobytes())
                digest.update(state[i].tobytes())
                ids.append(digest.hexdigest().encode())
        return frozen(np.array(ids, dtype="S32"))

    @property
    def smiles(self) -> np.ndarray:
        """SMILES of each conformer's molecule, shape (n,); '' unknown."""
        return self.molecules.smiles[self.molecule]

    @property
    def charge(self) -> np.ndarray:
        """Total charge of each conformer in e, shape (n,)."""
        return self.molecules.charge[self.molecule]

    @property
    def multiplicity(self) -> np.ndarray:
        """Spin multiplicity of each conformer, shape (n,)."""
        return self.molecules.multiplicity[self.molecule]

    @property
    def constitution(self) -> np.ndarray:
        """Hold-out key of each conformer's molecule, shape (n,)."""
        return self.molecules.constitution[self.molecule]

    @property
    def elements(self) -> np.ndarray:
        """Atomic numbers that occur, ascending."""
        return np.unique(self.numbers)

    def atoms_slice(self, conformer: int) -> slice:
        """Return the slice of one conformer's atoms."""
        return slice(int(self.offsets[conformer]), int(self.offsets[conformer + 1]))

    def formula(self, conformer: int) -> str:
        """Return one conformer's chemical formula in Hill order."""
        from ase.formula import Formula
        from ase.symbols import Symbols

        return Formula(str(Symbols(self.numbers[self.atoms_slice(conformer)]))).format("hill")

    # -- levels of theory ---------------------------------------------------------------------

    def labels(self, level: str | None = None) -> Labels:
        """Return the labels of a level; of the only one where none is named.

        Raises
        ------
        DataError
            If there is no such level, or several and none was named.
        """
        if level is None and len(self.levels) == 1:
            return next(iter(self.levels.values()))
        if level is None or level not in self.levels:
            have = ", ".join(map(repr, self.levels)) or "none"
            what = "name a level of theory" if level is None else f"no level of theory {level!r}"
            raise DataError(f"Cannot take labels: {what}; this set has {have}.")
        return self.levels[level]

    def with_level(self, name: str, labels: Labels) -> ConformerSet:
        """Return the set with a level of theory added, or replaced."""
        return replace(self, levels={**self.levels, name: labels})

    def without_level(self, name: str) -> ConformerSet:
        """Return the set without a level of theory."""
        self.labels(name)
        return replace(self, levels={k: v for k, v in self.levels.items() if k != name})

    # -- subsets ------------------------------------------------------------------------------

    def select(self, index: np.ndarray | Sequence[int]) -> ConformerSet:
        """Return some conformers in the order given; molecules that none uses are dropped.

        Parameters
        ----------
        index : array of int, shape (k,), or of bool, shape (n,)
        """
        rows = np.asarray(index)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} for {len(self)} conformers")
            rows = np.flatnonzero(rows)
        rows = np.arange(len(self), dtype=np.int64)[rows.astype(np.int64)]
        atoms, offsets = ragged_index(self.offsets, rows)
        used, molecule = np.unique(self.molecule[rows], return_inverse=True)
        picked = {
            name: fresh(getattr(self, name)[rows])
            for name in ("cell", "pbc", "source", *PROVENANCE)
        }
        return ConformerSet(
            molecules=self.molecules.select(used),
            molecule=molecule,
            numbers=fresh(self.numbers[atoms]),
            positions=fresh(self.positions[atoms]),
            offsets=offsets,
            **picked,
            levels={k: v.select(rows, atoms) for k, v in self.levels.items()},
            frame_extras={
                k: Extra(v.values[rows], v.present[rows]) for k, v in self.frame_extras.items()
            },
            atom_extras={
                k: Extra(v.values[atoms], v.present[rows]) for k, v in self.atom_extras.items()
            },
            metadata=self.metadata,
        )

    def iter_chunks(self, size: int) -> Iterator[ConformerSet]:
        """Yield consecutive subsets of at most `size` conformers."""
        for start in range(0, len(self), size):
            yield self.select(np.arange(start, min(start + size, len(self))))

    # -- flat and labelled forms --------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the set as numeric arrays by name and what JSON can hold; see `from_arrays`."""
        from .flat import to_arrays

        return to_arrays(self)

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> ConformerSet:
        """Return the set that `to_arrays` took apart, equal in every column."""
        from .flat import from_arrays

        return from_arrays(arrays, meta)

    def to_xarray(self) -> xr.Dataset:
        """Return the set as CF contiguous ragged arrays with units; inverse `from_xarray`."""
        from .flat import to_xarray

        return to_xarray(self)

    @staticmethod
    def from_xarray(dataset: xr.Dataset) -> ConformerSet:
        """Return the set that `to_xarray` wrote."""
        from .flat import from_xarray

        return from_xarray(dataset)

    def to_ase(self, level: str | None = None) -> list[Any]:
        """Return one `ase.Atoms` for each conformer; see :mod:`breadth.diversity.ase_atoms`."""
        from .ase_atoms import to_ase

        return to_ase(self, level)

    @staticmethod
    def from_ase(
        frames: Iterable[Any], *, level: str | None = None, identity: str = "auto"
    ) -> ConformerSet:
        """Return the set of any `ase.Atoms`; see :mod:`breadth.diversity.ase_atoms`."""
        from .ase_atoms import from_ase

        return from_ase(frames, level=level, identity=identity)
