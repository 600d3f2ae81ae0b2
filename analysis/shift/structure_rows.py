"""What shift is measured on: arrays that describe the structures of a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.decomposition import PCA

from ...diversity.errors import DataError
from ...diversity.tables import ragged_index
from ..detectors.base import evenly_taken

#: Columns of features beyond which principal components stand for them, and how many.
MOST_COLUMNS, N_COMPONENTS = 200, 100
#: Atoms of a set that are fitted to, at most; more are thinned out evenly, by structure.
MOST_ATOMS = 5_000


@dataclass(frozen=True, eq=False, kw_only=True)
class StructureRows:
    """Structures of a set as arrays: n structures with A atoms.

    Parameters
    ----------
    numbers : array of int, shape (A,)
        Atomic numbers, structure after structure.
    offsets : array of int, shape (n + 1,)
        Where each structure's atoms begin.
    molecule : array of str or int, shape (n,)
        Molecule of each structure, by a name that means the same in all sets compared.
    features : array, shape (A, d), optional
        Of each atom's environment, invariant to rotation, translation and the order of atoms.
    scalars : mapping of str to array, shape (n,)
        Numbers that describe a structure: ``force_norm`` and ``predicted_force_norm`` (mean ‖F_i‖,
        eV/Å), ``connectivity`` (fraction of Laplacian eigenvalues in [0.9, 1.1]),
        ``committee_variance`` (mean over atoms of the members' standard deviation, eV/Å).

    Raises
    ------
    DataError
        If the set is empty, shapes do not fit, or a number is NaN or infinite.
    """

    numbers: np.ndarray
    offsets: np.ndarray
    molecule: np.ndarray
    features: np.ndarray | None = None
    scalars: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("numbers", "offsets", "molecule"):
            put(self, name, np.asarray(getattr(self, name)))
        put(self, "scalars", {k: np.asarray(v, dtype=float) for k, v in self.scalars.items()})
        n, a = len(self.offsets) - 1, len(self.numbers)
        if n < 1 or self.offsets[0] != 0 or self.offsets[-1] != a or (self.counts < 1).any():
            raise DataError("Shift needs structures, each with its atoms: the offsets do not fit.")
        if self.molecule.shape != (n,):
            raise DataError(f"Molecules of shape {self.molecule.shape} for {n} structures.")
        for name, values in self.scalars.items():
            if values.shape != (n,) or not np.isfinite(values).all():
                raise DataError(f"{name} must be a finite number for each of the {n} structures.")
        if self.features is not None and (
            self.features.shape[:1] != (a,) or not np.isfinite(self.features).all()
        ):
            raise DataError(f"Features must be finite rows for each of the {a} atoms.")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> np.ndarray:
        """Atoms of each structure, shape (n,)."""
        return np.diff(self.offsets)

    def mean_of_atoms(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over each structure's atoms of (A,) or (A, d) values, in float64."""
        total = np.add.reduceat(values, self.offsets[:-1], axis=0, dtype=np.float64)
        return total / (self.counts if values.ndim == 1 else self.counts[:, None])

    def select(self, rows: np.ndarray) -> StructureRows:
        """Return some structures, by index or mask, in the order given."""
        rows = np.arange(len(self))[rows]
        atoms, offsets = ragged_index(self.offsets, rows)
        return replace(
            self,
            numbers=self.numbers[atoms],
            offsets=offsets,
            molecule=self.molecule[rows],
            features=None if self.features is None else self.features[atoms],
            scalars={name: values[rows] for name, values in self.scalars.items()},
        )

    def evenly(self, most: int) -> StructureRows:
        """Return at most so many structures, evenly taken, that have every element of all."""
        if len(self) <= most:
            return self
        return self.select(taken_with_elements(self.numbers, self.offsets, most))


def leading_components(*rows: StructureRows) -> tuple[StructureRows, ...]:
    """Return rows whose features, where they have many columns, are principal components.

    Sets of more than 200 columns (SOAP has thousands) are projected together onto the 100 leading
    principal components of all sets' atoms, thinned out evenly to 5,000 each: covariances of
    thousands of columns cost minutes and are mostly noise. Components of all sets, not of a
    reference alone, keep what is new in another.
    """
    tables = [one.features for one in rows]
    if any(table is None or table.shape[1] <= MOST_COLUMNS for table in tables):
        return rows
    thinned = [one.evenly(max(1, int(MOST_ATOMS / one.counts.mean()))).features for one in rows]
    together = np.concatenate([one for one in thinned if one is not None]).astype(np.float64)
    n = min(N_COMPONENTS, *(k - 1 for k in together.shape))
    fitted = PCA(n_components=n, svd_solver="arpack", random_state=0).fit(together)
    return tuple(replace(one, features=fitted.transform(one.features)) for one in rows)


def taken_with_elements(numbers: np.ndarray, offsets: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many structures, evenly taken; with the first of each element if one fails.

    A rare element that thinning lost would be taken for one that the set never had.

    Parameters
    ----------
    numbers : array of int, shape (A,)
    offsets : array of int, shape (n + 1,)
    most : int
        As many as there are elements at the least.

    Examples
    --------
    >>> taken_with_elements(np.array([6, 6, 6, 9, 6, 6, 6]), np.arange(8), 3)
    array([0, 3, 6])
    >>> taken_with_elements(np.array([6, 9, 6, 6, 6, 6, 6]), np.arange(8), 3)
    array([0, 1])
    """
    n = len(offsets) - 1
    taken = evenly_taken(n, most)
    elements, at = np.unique(numbers, return_index=True)
    if len(np.unique(numbers[ragged_index(offsets, taken)[0]])) == len(elements):
        return taken
    firsts = np.unique(np.searchsorted(offsets, at, side="right") - 1)
    return np.union1d(evenly_taken(n, max(0, most - len(firsts))), firsts)
