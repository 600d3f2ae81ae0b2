"""RMSD of heavy atoms: the least over rotations and over the symmetries of the graph."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from .errors import DataError

#: Pairs of frames that are compared at once; what they need fits a processor's cache.
_BLOCK = 16384
#: Most of Newton's steps, and the last step of a root that counts as found, as a share of it.
_STEPS, _CONVERGED = 20, 1e-10
#: Error allowed in an RMSD, Å, and what rounding does to the quartic, which is of order 1.
_TOLERANCE, _ROUNDING = 1e-7, 16 * np.finfo(np.float64).eps


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


def pairwise_rmsd(positions: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """Return the RMSD of each pair of frames after its own best superposition.

    Over proper rotations, by the quaternion characteristic polynomial (Theobald 2005,
    doi 10.1107/S0108767305015266); atoms correspond by their order and weigh the same. All
    covariances come from matrix products. Time grows as n m N, memory as n m.

    Parameters
    ----------
    positions : array, shape (n, N, 3)
        In Å.
    others : array, shape (m, N, 3), optional
        Compared with; `positions` itself where it is not given.

    Returns
    -------
    array of float64, shape (n, m)
        In Å, to 1e-6 Å; symmetric with zeros on the diagonal without `others`.

    Raises
    ------
    DataError
        If a position is NaN or infinite.

    Examples
    --------
    >>> bent = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]])
    >>> turned = bent @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    >>> bool(pairwise_rmsd(np.stack([bent, turned])).max() < 1e-6)
    True
    """
    n_atoms = np.shape(positions)[-2]
    right = None if others is None else _frames(others, n_atoms)
    return _least_rmsd(_frames(positions, n_atoms), right, np.arange(n_atoms)[None])


def symmetry_rmsd(
    numbers: np.ndarray,
    bonds: np.ndarray,
    positions: np.ndarray,
    others: np.ndarray | None = None,
    *,
    limit: int = 10_000,
) -> np.ndarray:
    """Return the least RMSD of heavy atoms between conformers of one molecule.

    Least over proper rotations (see `pairwise_rmsd`) and over the symmetries of the graph, so that
    turning a phenyl or tert-butyl group onto itself costs nothing. RDKit finds symmetries of its
    own, which count the two oxygens of COOH as alike; here they are those of `automorphisms`.

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
    left = _frames(positions, len(numbers))[:, heavy]
    right = None if others is None else _frames(others, len(numbers))[:, heavy]
    return _least_rmsd(left, right, permutations)


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


def _frames(positions: np.ndarray, n_atoms: int) -> np.ndarray:
    return np.asarray(positions, dtype=np.float64).reshape(-1, n_atoms, 3)


def _least_rmsd(left: np.ndarray, right: np.ndarray | None, permutations: np.ndarray) -> np.ndarray:
    """Return the least RMSD over permutations of the atoms on the right, block by block."""
    same = right is None
    moved, size = _centred(left)
    still, still_size = (moved, size) if right is None else _centred(right)
    n, m = moved.shape[1], still.shape[1]
    result = np.full((n, m), np.inf)
    together = max(1, _BLOCK // max(1, m))
    for start in range(0, len(permutations), together):
        maps = permutations[start : start + together]
        p = len(maps)
        targets = still[:, :, maps].reshape(3, m * p, -1)
        target_size = np.repeat(still_size, p)
        step = max(1, _BLOCK // max(1, m * p))
        for i in range(0, n, step):
            rows, first = slice(i, i + step), i if same else 0
            values = _superposed(
                moved[:, rows],
                size[rows],
                targets[:, first * p :],
                target_size[first * p :],
                maps=p if same else None,
            )
            nearest = values.reshape(len(values), m - first, p).min(axis=2)
            np.minimum(result[rows, first:], nearest, out=result[rows, first:])
    if same:
        upper = np.triu(result, 1)
        return upper + upper.T
    return result


def _centred(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frames about their centroids as (3, n, N), and their sums of squares."""
    if not np.isfinite(frames).all():
        bad = int(np.flatnonzero(~np.isfinite(frames).all(axis=(1, 2)))[0])
        raise DataError(f"Conformer {bad} has a position that is NaN or infinite.")
    centred = np.ascontiguousarray((frames - frames.mean(1, keepdims=True)).transpose(2, 0, 1))
    return centred, np.einsum("knN,knN->n", centred, centred)


def _superposed(
    moved: np.ndarray,
    size: np.ndarray,
    still: np.ndarray,
    still_size: np.ndarray,
    *,
    maps: int | None,
) -> np.ndarray:
    """Return the RMSD of each pair after the best proper rotation, shape (r, c).

    With `maps`, the columns are so many forms of each frame and begin with the first row's own:
    pairs on or below that diagonal are not needed and may be wrong.

    r.m.s.² = (2E − 2λ)/N, where 2E is the sum of both frames' squares and λ the largest root of
    Theobald's quartic, with its coefficients written in the 3×3 covariance S: λ⁴ − 2|S|²λ² −
    8 det(S) λ + |S|⁴ − 4|cof S|². All is divided by E, so that λ ≤ 1 and Newton's method falls
    onto the root from 1.
    """
    n_atoms = moved.shape[2]
    half = (size[:, None] + still_size[None]) / 2
    scale = np.divide(1.0, half, out=np.zeros_like(half), where=half > 0)
    s = [[(a @ b.T) * scale for b in still] for a in moved]
    square = sum(v * v for row in s for v in row)
    cofactors = [
        [
            s[(i + 1) % 3][(j + 1) % 3] * s[(i + 2) % 3][(j + 2) % 3]
            - s[(i + 1) % 3][(j + 2) % 3] * s[(i + 2) % 3][(j + 1) % 3]
            for j in range(3)
        ]
        for i in range(3)
    ]
    quadratic = -2.0 * square
    linear = -8.0 * sum(v * c for v, c in zip(s[0], cofactors[0], strict=True))
    constant = square * square - 4.0 * sum(c * c for row in cofactors for c in row)
    root = np.ones_like(half)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            squared = root * root
            cubic = (squared + quadratic) * root
            whole = cubic + linear
            slope = 2.0 * squared * root + cubic + whole
            step = (whole * root + constant) / slope
            root -= step
            if np.abs(step).max(initial=0.0) < _CONVERGED:
                break
        values = np.sqrt(np.maximum(2.0 * half * (1.0 - root) / n_atoms, 0.0))
        # Near-equal frames cancel, and collinear ones make the root a double one: what rounding
        # may have done to such pairs is more than `_TOLERANCE`, so they are rotated one by one.
        rounding = 2.0 * half / n_atoms * _ROUNDING / slope
        sound = (rounding >= 0) & (rounding <= 2 * _TOLERANCE * np.maximum(values, _TOLERANCE))
        rows, columns = np.nonzero(~(sound & (np.abs(step) < _CONVERGED)))
    if maps is not None:
        needed = columns // maps > rows
        rows, columns = rows[needed], columns[needed]
    for start in range(0, len(rows), _BLOCK):
        i, j = rows[start : start + _BLOCK], columns[start : start + _BLOCK]
        values[i, j] = _rotated(moved[:, i], still[:, j])
    return values


def _rotated(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Return the RMSDs of p pairs of centred frames (3, p, N) from the rotated positions."""
    u, _, vt = np.linalg.svd(np.einsum("kpn,lpn->pkl", moved, still))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a rotation, no reflection
    turned = np.einsum("pkl,kpn->lpn", u @ vt, moved)
    return np.sqrt(((turned - still) ** 2).sum(axis=0).mean(axis=1))
