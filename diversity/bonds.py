"""Covalent bonds perceived from geometry, and whether a geometry still has the bonds it should.

A pair is bonded where d < scale · (r_i + r_j), with the covalent radii of Cordero et al., Dalton
Trans. 2832 (2008). Distances are between nearest images along periodic directions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import neighbor_list
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

#: Pairs of the sum of covalent radii below which two atoms are bonded. 1.3 keeps the vibrations of
#: organic molecules at 1000 K bonded and the 1,3 pairs of a four-membered ring apart.
BOND_SCALE = 1.3
#: A bond is broken when it is longer than its reference by this much, in Å.
STRETCH_LIMIT = 0.5
#: A bond has collapsed when it is shorter than this share of its reference.
SHRINK_LIMIT = 0.5
#: A bond has formed between atoms that should have none below this multiple of the radii.
CONTACT_SCALE = 1.15

_DENSE_ATOMS = 200


class BondChange(NamedTuple):
    """The first difference found between a geometry's bonds and those that it should have.

    Attributes
    ----------
    kind : str
        ``"bond broken"`` or ``"bond formed"``.
    first, second : int
        The two atoms.
    distance : float
        Their distance in Å.
    """

    kind: str
    first: int
    second: int
    distance: float

    def describe(self, numbers: np.ndarray) -> str:
        """Return such as ``bond broken: C2–O5 at 2.10 Å``."""
        a, b = (f"{chemical_symbols[numbers[i]]}{i}" for i in (self.first, self.second))
        return f"{self.kind}: {a}–{b} at {self.distance:.2f} Å"


def pairs_within(
    positions: np.ndarray,
    reach: float | np.ndarray,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of atoms, images included, that are close.

    Parameters
    ----------
    positions : array, shape (N, 3)
        In Å.
    reach : float, or array of shape (N,)
        A distance in Å; or a radius for each atom, pairs being close below the sum of theirs.
    cell : array, shape (3, 3), optional
        Cell vectors as rows, Å.
    pbc : array of bool, shape (3,), optional

    Returns
    -------
    pairs : array of int64, shape (P, 2)
        i ≤ j in ascending order; one row for each image (i = j is an atom and its own image, and
        stands once for each of the two directions).
    distances : array, shape (P,)
        In Å.
    """
    n = len(positions)
    radii = np.broadcast_to(np.asarray(reach, dtype=float), (n,)) if np.ndim(reach) else None
    longest = float(2 * radii.max(initial=0.0)) if radii is not None else float(reach)
    if pbc is not None and cell is not None and np.any(pbc):
        i, j, d = neighbor_list(
            "ijd", _atoms(positions, cell, pbc), longest, self_interaction=False
        )
        keep = i <= j
        i, j, d = i[keep], j[keep], d[keep]
    elif n <= _DENSE_ATOMS:
        i, j = np.triu_indices(n, 1)
        d = pdist(np.asarray(positions, dtype=float)) if n > 1 else np.zeros(0)
    else:
        found = cKDTree(positions).query_pairs(longest, output_type="ndarray")
        i, j = found[:, 0], found[:, 1]
        d = np.linalg.norm(positions[i] - positions[j], axis=1)
    close = d < (longest if radii is None else radii[i] + radii[j])
    i, j, d = i[close], j[close], d[close]
    order = np.lexsort((d, j, i))
    return np.stack([i, j], axis=1)[order].astype(np.int64), d[order]


def covalent_bonds(
    numbers: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
    *,
    scale: float = BOND_SCALE,
) -> np.ndarray:
    """Return the bonds that the covalent radii suggest.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    positions : array, shape (N, 3)
        In Å.
    cell : array, shape (3, 3), optional
    pbc : array of bool, shape (3,), optional
    scale : float, optional
        Multiple of the sum of covalent radii below which a pair is bonded.

    Returns
    -------
    array of int32, shape (B, 2)
        Atoms i < j in ascending order, each pair once however many of its images are bonded.

    Examples
    --------
    >>> covalent_bonds(np.array([8, 1, 1]), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
    array([[0, 1],
           [0, 2]], dtype=int32)
    """
    pairs, _ = pairs_within(positions, scale * covalent_radii[numbers], cell, pbc)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(pairs, axis=0).reshape(-1, 2).astype(np.int32)


def bond_changes(
    numbers: np.ndarray,
    positions: np.ndarray,
    bonds: np.ndarray,
    reference: np.ndarray | None = None,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
    *,
    stretch: float = STRETCH_LIMIT,
    contact: float = CONTACT_SCALE,
) -> list[BondChange | None]:
    """Compare geometries of one molecule with the bonds that it should have.

    A bond is broken where it is longer than in the reference by more than `stretch` (without a
    reference: longer than the radii by that much). A bond has formed where two atoms without one
    come within `contact` times the sum of their radii, unless the reference has them there too.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    positions : array, shape (N, 3) or (n, N, 3)
        One geometry or several, Å.
    bonds : array of int, shape (B, 2) or (B, 3)
        The molecule's bonds; further columns are ignored.
    reference : array, shape (N, 3) or (n, N, 3), optional
        Undisturbed geometry, one for all or one for each.
    cell, pbc : array, optional
        Shapes (3, 3) and (3,), the same for all geometries; distances are between nearest images.

    Returns
    -------
    list of (BondChange or None), length n
        The largest change of each geometry; None where the bonds are intact.
    """
    pairs = pair_changes(
        numbers, positions, bonds, reference, cell, pbc, stretch=stretch, contact=contact
    )
    changes: list[BondChange | None] = []
    worst = pairs.excess.argmax(axis=1) if len(pairs.atoms) else np.zeros(len(pairs.excess), int)
    for frame, pair in enumerate(worst):
        there = len(pairs.atoms) and pairs.excess[frame, pair] > 0
        changes.append(pairs.change(frame, int(pair)) if there else None)
    return changes


class PairChanges(NamedTuple):
    """How far each pair of atoms is from being a bond change, frame by frame.

    Attributes
    ----------
    atoms : array of int64, shape (P, 2)
        All pairs i < j.
    bonded : array of bool, shape (P,)
        Whether the pair should be bonded.
    distances : array, shape (n, P)
        In Å.
    excess : array, shape (n, P)
        In Å: above 0 where a bond is broken, or where one has formed.
    """

    atoms: np.ndarray
    bonded: np.ndarray
    distances: np.ndarray
    excess: np.ndarray

    def change(self, frame: int, pair: int) -> BondChange:
        """Return the change of one pair in one frame."""
        kind = "bond broken" if self.bonded[pair] else "bond formed"
        first, second = self.atoms[pair].tolist()
        return BondChange(kind, first, second, float(self.distances[frame, pair]))


def pair_changes(
    numbers: np.ndarray,
    positions: np.ndarray,
    bonds: np.ndarray,
    reference: np.ndarray | None = None,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
    *,
    stretch: float = STRETCH_LIMIT,
    contact: float = CONTACT_SCALE,
) -> PairChanges:
    """Judge every pair of atoms as `bond_changes` does, which tells the worst alone."""
    frames = np.asarray(positions, dtype=float).reshape(-1, len(numbers), 3)
    i, j = np.triu_indices(len(numbers), 1)
    pair_of = np.full((len(numbers), len(numbers)), -1)
    pair_of[i, j] = np.arange(len(i))
    ends = np.sort(np.asarray(bonds, dtype=np.int64)[:, :2].reshape(-1, 2), axis=1)
    bonded = np.zeros(len(i), dtype=bool)
    bonded[pair_of[ends[:, 0], ends[:, 1]]] = True
    radii = covalent_radii[numbers][i] + covalent_radii[numbers][j]

    atoms = np.stack([i, j], axis=1)
    distances = pair_distances(frames, atoms, cell, pbc)
    shortest = contact * radii
    if reference is None:
        undisturbed = radii[None]
    else:
        rest = np.asarray(reference, dtype=float).reshape(-1, len(numbers), 3)
        undisturbed = pair_distances(rest, atoms, cell, pbc)
        # Some strained cages hold 1,3 pairs this close; only coming closer still is a change.
        shortest = np.minimum(shortest, 0.9 * undisturbed)
    excess = np.where(bonded, distances - undisturbed - stretch, shortest - distances)
    return PairChanges(atoms, bonded, distances, excess)


def pair_distances(
    positions: np.ndarray,
    pairs: np.ndarray,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
) -> np.ndarray:
    """Return the distances of some pairs of atoms, such as bonds, in each geometry.

    Parameters
    ----------
    positions : array, shape (n, N, 3)
        In Å.
    pairs : array of int, shape (P, 2) or (P, 3)
        Further columns are ignored.
    cell, pbc : array, optional
        Shapes (3, 3) and (3,), the same for all geometries; distances are between nearest images.

    Returns
    -------
    array of float64, shape (n, P)
        In Å.
    """
    frames = np.asarray(positions, dtype=float)
    i, j = np.asarray(pairs, dtype=np.int64)[:, :2].T
    vectors = frames[:, i] - frames[:, j]
    if pbc is not None and cell is not None and np.any(pbc):
        from ase.geometry import find_mic

        _, lengths = find_mic(vectors.reshape(-1, 3), cell, pbc)
        return np.asarray(lengths.reshape(vectors.shape[:2]))
    return np.asarray(np.sqrt((vectors**2).sum(-1)))


def closest_pair(
    positions: np.ndarray, cell: np.ndarray | None = None, pbc: np.ndarray | None = None
) -> tuple[int, int, float]:
    """Return the two closest atoms and their distance in Å, (−1, −1, inf) for a lone atom.

    Only periodic images of one atom within 3 Å are seen.
    """
    pairs, distances = pairs_within(positions, 3.0, cell, pbc)
    if not len(pairs):
        if len(positions) < 2:
            return -1, -1, float("inf")
        separation, partner = cKDTree(positions).query(positions, k=2)
        first = int(separation[:, 1].argmin())
        return first, int(partner[first, 1]), float(separation[first, 1])
    nearest = int(distances.argmin())
    return int(pairs[nearest, 0]), int(pairs[nearest, 1]), float(distances[nearest])


def _atoms(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray):  # type: ignore[no-untyped-def]
    from ase import Atoms

    return Atoms(
        numbers=np.ones(len(positions), dtype=int), positions=positions, cell=cell, pbc=pbc
    )
