"""RMSD of heavy atoms: the least over rotations and over the symmetries of the graph."""

from __future__ import annotations

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolAlign

from .errors import DataError


def automorphisms(
    numbers: np.ndarray, bonds: np.ndarray, *, limit: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """Return the relabellings of the heavy atoms that leave the molecular graph as it is.

    Heavy atoms are told apart by element, connectivity and number of hydrogens; bond orders and
    stereochemistry do not count. A molecule without heavy atoms is taken as it is.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    bonds : array of int, shape (B, 2) or (B, 3)
    limit : int, optional
        Most relabellings to consider.

    Returns
    -------
    heavy : array of int64, shape (h,)
        The atoms considered.
    permutations : array of int64, shape (P, h)
        Into `heavy`; the identity is one of them.

    Raises
    ------
    DataError
        If there are more than `limit`.
    """
    numbers = np.asarray(numbers)
    heavy = np.flatnonzero(numbers > 1)
    if not len(heavy):
        heavy = np.arange(len(numbers))
    ends = np.asarray(bonds, dtype=np.int64)[:, :2].reshape(-1, 2)
    place = np.full(len(numbers), -1)
    place[heavy] = np.arange(len(heavy))
    hydrogens = np.zeros(len(numbers), dtype=int)
    graph = Chem.RWMol()
    inside = (place[ends] >= 0).all(axis=1)
    for i, j in ends[~inside]:
        hydrogens[i if place[i] >= 0 else j] += 1
    for atom in heavy:
        node = Chem.Atom(int(numbers[atom]))
        node.SetIsotope(int(hydrogens[atom]) + 1)  # isotopes are compared when matching
        node.SetNoImplicit(True)
        graph.AddAtom(node)
    for i, j in place[ends[inside]].tolist():
        graph.AddBond(i, j, Chem.BondType.SINGLE)
    molecule = graph.GetMol()
    molecule.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(molecule)
    found = molecule.GetSubstructMatches(molecule, uniquify=False, maxMatches=limit + 1)
    if len(found) > limit:
        raise DataError(
            f"A molecule of {len(heavy)} heavy atoms has more than {limit} symmetries of its "
            "graph; raise the limit or compare its conformers by another measure."
        )
    return heavy, np.array(found, dtype=np.int64).reshape(-1, len(heavy))


def symmetry_rmsd(
    numbers: np.ndarray,
    bonds: np.ndarray,
    positions: np.ndarray,
    others: np.ndarray | None = None,
    *,
    limit: int = 10_000,
) -> np.ndarray:
    """Return the least RMSD of heavy atoms between conformers of one molecule.

    Least over proper rotations (by RDKit) and over the symmetries of the graph, so that turning a
    phenyl or tert-butyl group onto itself costs nothing. RDKit finds symmetries of its own, which
    count the two oxygens of COOH as alike; here they are those of `automorphisms`.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    bonds : array of int, shape (B, 2) or (B, 3)
    positions : array, shape (n, N, 3) or (N, 3)
        In Å.
    others : array, shape (m, N, 3) or (N, 3), optional
        Compared with; `positions` itself where it is not given.
    limit : int, optional
        Most symmetries to consider; see `automorphisms`.

    Returns
    -------
    array of float64, shape (n, m)
        In Å.
    """
    heavy, permutations = automorphisms(numbers, bonds, limit=limit)
    left = _frames(positions, len(numbers), heavy)
    right = left if others is None else _frames(others, len(numbers), heavy)
    maps = [
        list(zip(relabelled, range(len(heavy)), strict=True))
        for relabelled in permutations.tolist()
    ]
    probe = _conformers(left)
    if others is None:
        distances = np.zeros((len(left), len(left)))
        rows, columns = np.tril_indices(len(left), -1)
        if len(rows):
            values = rdMolAlign.GetAllConformerBestRMS(probe, numThreads=1, map=maps)
            distances[rows, columns] = distances[columns, rows] = values
        return distances
    reference = _conformers(right)
    return np.array(
        [
            [rdMolAlign.GetBestRMS(probe, reference, i, j, maps) for j in range(len(right))]
            for i in range(len(left))
        ]
    ).reshape(len(left), len(right))


def distinct_conformers(distances: np.ndarray, threshold: float) -> np.ndarray:
    """Return the indices of conformers no nearer than a threshold to one kept before them.

    Parameters
    ----------
    distances : array, shape (n, n)
        From `symmetry_rmsd`, rows in order of preference (by energy, say).
    threshold : float
        In Å.

    Returns
    -------
    array of int64, shape (k,)
        Ascending.
    """
    kept: list[int] = []
    for i in range(len(distances)):
        if not kept or distances[i, kept].min() >= threshold:
            kept.append(i)
    return np.array(kept, dtype=np.int64)


def _frames(positions: np.ndarray, n_atoms: int, heavy: np.ndarray) -> np.ndarray:
    return np.asarray(positions, dtype=np.float64).reshape(-1, n_atoms, 3)[:, heavy]


def _conformers(frames: np.ndarray) -> Chem.Mol:
    """Return bare atoms with these conformers; what they are is said by the maps."""
    atoms = Chem.RWMol()
    for _ in range(frames.shape[1]):
        atoms.AddAtom(Chem.Atom(0))
    for frame in frames:
        conformer = Chem.Conformer(len(frame))
        conformer.SetPositions(np.ascontiguousarray(frame))
        atoms.AddConformer(conformer, assignId=True)
    return atoms.GetMol()
