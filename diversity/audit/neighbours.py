"""Frames of one molecule that are close: pairs, superposed, with displacements and rotations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..conformers import ConformerSet
from ..screening import completed

#: Frames among which neighbours are looked for; larger groups are cut along their first
#: principal component.
_BLOCK = 4096
#: Dimensions in which candidates for near duplicates are searched.
_SEARCH = 8
#: Frames that tell principal components.
_SAMPLE = 256
#: Candidates for each frame; a frame repeated more often is told from some of its copies.
_PARTNERS = 8


class Frames(NamedTuple):
    """Conformers of one molecule with one order of atoms, and one cell where periodic.

    Attributes
    ----------
    rows : array of int64, shape (n,)
        In the set.
    positions : array of float64, shape (n, N, 3)
        About their centroids, Å; periodic frames as they are, unwrapped onto the first.
    cell, pbc : array or None
        Of periodic frames.
    """

    rows: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None
    pbc: np.ndarray | None


class Pairs(NamedTuple):
    """Superposed pairs of frames.

    Attributes
    ----------
    first, second : array of int64, shape (p,)
        Frames of the group.
    step : array, shape (p, N, 3)
        From the first to the superposed second, Å.
    rotation : array, shape (p, 3, 3)
        Rows of the second's vectors times this are in the frame of the first.
    rmsd : array, shape (p,)
        Over all atoms, Å.
    """

    first: np.ndarray
    second: np.ndarray
    step: np.ndarray
    rotation: np.ndarray
    rmsd: np.ndarray


def frame_groups(conformers: ConformerSet, *, smallest: int = 2) -> Iterator[Frames]:
    """Yield the comparable conformers of each molecule, groups of fewer than `smallest` left out.

    Parameters
    ----------
    conformers : ConformerSet
    smallest : int, optional

    Yields
    ------
    Frames
    """
    order = np.argsort(conformers.molecule, kind="stable")
    ends = np.flatnonzero(np.diff(conformers.molecule[order])) + 1
    for rows in np.split(order, ends):
        if len(rows) < smallest:
            continue
        alike: dict[tuple[bytes, bytes], list[int]] = {}
        for row in rows.tolist():
            numbers = conformers.numbers[conformers.atoms_slice(row)].tobytes()
            pbc = conformers.pbc[row]
            cell = np.where(pbc[:, None], conformers.cell[row], 0.0).round(6) + 0.0
            alike.setdefault((numbers, cell.tobytes() if pbc.any() else b""), []).append(row)
        for group in alike.values():
            if len(group) >= smallest and conformers.counts[group[0]] > 1:
                yield _frames(conformers, np.array(group, dtype=np.int64))


def _frames(conformers: ConformerSet, rows: np.ndarray) -> Frames:
    atoms = conformers.offsets[rows][:, None] + np.arange(conformers.counts[rows[0]])
    positions = conformers.positions[atoms].astype(np.float64)
    pbc = conformers.pbc[rows[0]]
    if pbc.any():
        cell = conformers.cell[rows[0]]
        return Frames(rows, _unwrapped(positions, positions[0], cell, pbc), cell, pbc)
    return Frames(rows, positions - positions.mean(axis=1, keepdims=True), None, None)


def joined(first: Frames, second: Frames) -> Frames | None:
    """Return two groups of one order of atoms as one, None where their cells differ."""
    theirs = second.positions
    if (first.cell is None) != (second.cell is None):
        return None
    if first.cell is not None and first.pbc is not None and second.cell is not None:
        if not np.allclose(first.cell, second.cell, rtol=0, atol=1e-5):
            return None
        theirs = _unwrapped(theirs, first.positions[0], first.cell, first.pbc)
    return first._replace(
        rows=np.concatenate([first.rows, second.rows]),
        positions=np.concatenate([first.positions, theirs]),
    )


def _unwrapped(
    positions: np.ndarray, onto: np.ndarray, cell: np.ndarray, pbc: np.ndarray
) -> np.ndarray:
    return onto + _nearest_image(positions - onto, cell, pbc)


def _nearest_image(vectors: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    full = completed(cell, pbc)
    shifts = np.where(pbc, np.rint(vectors @ np.linalg.inv(full)), 0.0)
    return vectors - shifts @ full


def superposed(frames: Frames, first: np.ndarray, second: np.ndarray) -> Pairs:
    """Superpose the second frame of each pair on the first; periodic ones are only shifted."""
    left, right = frames.positions[first], frames.positions[second]
    if frames.cell is not None and frames.pbc is not None:
        step = _nearest_image(right - left, frames.cell, frames.pbc)
        step -= step.mean(axis=1, keepdims=True)
        rotation = np.broadcast_to(np.eye(3), (len(first), 3, 3))
    else:
        rotation = rotations(right, left)
        step = right @ rotation - left
    rmsd = np.sqrt((step**2).sum(axis=2).mean(axis=1))
    return Pairs(first, second, step, rotation, rmsd)


def rotations(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Return the rotations (p, 3, 3) that bring `moved` (p, N, 3), as rows, onto `still`."""
    u, _, vt = np.linalg.svd(moved.transpose(0, 2, 1) @ still)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a rotation, no reflection
    return np.asarray(u @ vt)


def nearest_frames(frames: Frames, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each frame its nearest ones, in a common superposition on the first frame.

    Parameters
    ----------
    frames : Frames
        n of them.
    k : int
        Neighbours of each frame.

    Returns
    -------
    first, second : array of int64, shape (n k,)
        With k smaller than asked for in small groups.
    """
    positions = frames.positions
    if frames.cell is None:
        still = np.broadcast_to(positions[:1], positions.shape)
        positions = positions @ rotations(positions, still)
    flat = positions.reshape(len(positions), -1).astype(np.float32)
    flat = flat - flat.mean(axis=0)
    order = np.argsort(_principal(flat, 1)[:, 0], kind="stable")
    firsts, seconds = [], []
    for block in np.array_split(order, -(-len(order) // _BLOCK)):
        near = min(k, len(block) - 1)
        if near < 1:
            continue
        points = flat[block]
        squares = (points**2).sum(axis=1)
        distances = squares[:, None] + squares[None] - 2.0 * (points @ points.T)
        np.fill_diagonal(distances, np.inf)
        chosen = np.argpartition(distances, near - 1, axis=1)[:, :near]
        firsts.append(np.repeat(block, near))
        seconds.append(block[chosen.ravel()])
    return np.concatenate(firsts), np.concatenate(seconds)


def near_pairs(frames: Frames, limit: float, *, split: int | None = None) -> Pairs:
    """Return pairs of frames, each with an earlier one within `limit` after superposition.

    Parameters
    ----------
    frames : Frames
    limit : float
        In Å.
    split : int, optional
        Take only pairs of a frame before this one and one from it on.

    Returns
    -------
    Pairs
    """
    if frames.cell is None:
        # Distances from the centroid differ by no more than the atoms do, however turned.
        invariants = np.linalg.norm(frames.positions, axis=2)
    else:
        invariants = frames.positions.reshape(len(frames.positions), -1)
    points = _principal(invariants - invariants.mean(axis=0), _SEARCH)
    reach = limit * np.sqrt(frames.positions.shape[1]) * (1 + 1e-6) + 1e-9
    start, stop = (0, len(points)) if split is None else (split, split)
    tree = cKDTree(points[:stop])
    _, partner = tree.query(points[start:], k=_PARTNERS, distance_upper_bound=reach)
    there, column = np.nonzero(partner < stop)
    pairs = np.column_stack([partner[there, column], there + start])
    pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0).astype(np.int64)
    found = superposed(frames, pairs[:, 0], pairs[:, 1])
    close = found.rmsd <= limit
    return Pairs(*(column[close] for column in found))


def _principal(centred: np.ndarray, n: int) -> np.ndarray:
    """Return coordinates (m, n) along orthonormal directions of large spread, from a sample."""
    if centred.shape[1] <= n:
        return centred
    sample = centred[:: -(-len(centred) // _SAMPLE)].astype(np.float64)
    directions = np.linalg.svd(sample, full_matrices=False)[2][:n]
    return np.asarray(centred @ directions.T.astype(centred.dtype))
