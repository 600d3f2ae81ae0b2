"""Spectra of the normalised Laplacians of many radius graphs at once.

The spectrum of L = I − D^(−1/2) A D^(−1/2), A the radius graph of a structure, is how
arXiv:2503.08674 measures connectivity. Structures are taken together by size; graphs that are equal
are solved once, and complete ones not at all. What remains is solved 32 graphs at a time, each in
a lane of the processor's vector registers, by Householder tridiagonalisation and the root-free
QL iteration of Pal, Walker and Kahan (C. Reinsch, Comm. ACM 16, 689 (1973), algorithm 464).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from .bonds import pairs_within
from .conformers import ConformerSet
from .errors import ConfigurationError
from .graphs import normalised_laplacian_spectrum

#: Graphs solved side by side: enough to fill vector registers and hide the time of a division.
_LANES = 32
#: Above so many atoms the matrices leave the cache, and LAPACK one by one is as fast.
_LANE_ATOMS = 64
#: Most elements of an intermediate array.
_CHUNK = 2**24
#: Squares of off-diagonal elements that count as zero: eigenvalues lie between 0 and 2.
_NEGLIGIBLE = 1e-30
#: Added to squares that are divided by: keeps 0/0 at the right side, and inverses finite.
_NOTHING = 1e-60
#: Cosines of rotations below this are those of a right angle.
_RIGHT_ANGLE = 1e-50
#: Most sweeps for one eigenvalue; two are usual.
_SWEEPS = 40


def laplacian_spectra(
    positions: np.ndarray,
    offsets: np.ndarray,
    radii: np.ndarray,
    *,
    max_neighbours: int | None = None,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
) -> np.ndarray:
    """Return the normalised Laplacian spectra of radius graphs, of all structures at all radii.

    Parameters
    ----------
    positions : array, shape (A, 3)
        Of the atoms of all structures, Å.
    offsets : array of int, shape (n + 1,)
        Where each structure's atoms begin.
    radii : array, shape (R,) or (n, R)
        In Å; atoms nearer than a radius are neighbours. One row for each structure if 2-D.
    max_neighbours : int, optional
        Of an atom, only so many nearest neighbours count; a pair stays while it is among the
        nearest of either of its atoms, so that the graph has no direction. No limit by default.
    cell : array, shape (n, 3, 3), optional
        Cell vectors as rows, Å.
    pbc : array of bool, shape (n, 3), optional
        Each periodic image counts; a pair with k images near has weight k.

    Returns
    -------
    array of float64, shape (n, R, N)
        Ascending, in [0, 2], padded with zeros at the end to the largest number of atoms N. An
        atom without neighbours contributes an eigenvalue 0.

    Raises
    ------
    ConfigurationError
        If a radius is not above 0, or `max_neighbours` is below 1.

    Examples
    --------
    Three atoms in a row, 1 Å apart: a path at 1.5 Å, complete at 2.5 Å.

    >>> row = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    >>> laplacian_spectra(row, np.array([0, 3]), np.array([0.5, 1.5, 2.5])).round(6)
    array([[[0. , 0. , 0. ],
            [0. , 1. , 2. ],
            [0. , 1.5, 1.5]]])
    """
    offsets = np.asarray(offsets, dtype=np.int64)
    counts = np.diff(offsets)
    n = len(counts)
    radii = np.asarray(radii, dtype=np.float64)
    if not np.isfinite(radii).all() or (radii <= 0).any():
        raise ConfigurationError("Radii must be finite and above 0 Å.")
    if max_neighbours is not None and max_neighbours < 1:
        raise ConfigurationError(f"max_neighbours must be at least 1, not {max_neighbours}.")
    radii = np.broadcast_to(radii, (n, radii.shape[-1]))
    out = np.zeros((n, radii.shape[1], int(counts.max(initial=0))))
    periodic = np.zeros(n, dtype=bool) if pbc is None else np.asarray(pbc, dtype=bool).any(1)
    for i in np.flatnonzero(periodic):
        assert cell is not None
        assert pbc is not None
        own = positions[offsets[i] : offsets[i + 1]]
        graphs = _periodic_graphs(own, radii[i], max_neighbours, cell[i], pbc[i])
        out[i, :, : counts[i]] = normalised_laplacian_spectrum(graphs)
    for size, rows in _alike(np.where(periodic, 0, counts), radii.shape[1]):
        atoms = positions[offsets[rows][:, None] + np.arange(size)].astype(np.float64)
        out[rows, :, :size] = _spectra_of_size(atoms, radii[rows], max_neighbours)
    return out


def spectra_at(
    conformers: ConformerSet, radii: np.ndarray, *, max_neighbours: int | None = None
) -> np.ndarray:
    """Return the spectra of a set's radius graphs; see `laplacian_spectra`.

    Parameters
    ----------
    conformers : ConformerSet
    radii : array, shape (R,) or (n, R)
        In Å.
    max_neighbours : int, optional

    Returns
    -------
    array of float64, shape (n, R, N)
        Ascending, zeros at the end of smaller structures.
    """
    return laplacian_spectra(
        conformers.positions,
        conformers.offsets,
        radii,
        max_neighbours=max_neighbours,
        cell=conformers.cell,
        pbc=conformers.pbc,
    )


def _alike(counts: np.ndarray, n_radii: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield structures of equal size above 1, in chunks that bound the memory."""
    for size in np.unique(counts[counts > 1]).tolist():
        rows = np.flatnonzero(counts == size)
        step = max(1, _CHUNK // (size * size * n_radii))
        for start in range(0, len(rows), step):
            yield size, rows[start : start + step]


def _spectra_of_size(
    positions: np.ndarray, radii: np.ndarray, max_neighbours: int | None
) -> np.ndarray:
    """Return the spectra (m, R, N) of structures (m, N, 3)."""
    m, size, _ = positions.shape
    first, second = np.tril_indices(size, -1)
    distances = np.sqrt(np.square(positions[:, first] - positions[:, second]).sum(-1))
    if max_neighbours is not None and max_neighbours < size - 1:
        distances = np.where(_among_nearest(distances, size, max_neighbours), distances, np.inf)
    edges = (distances[:, None] < radii[:, :, None]).reshape(-1, len(first))
    bits = np.ascontiguousarray(np.packbits(edges, axis=1))
    rows = bits.view(np.dtype((np.void, bits.shape[1]))).ravel()
    _, which, inverse = np.unique(rows, return_index=True, return_inverse=True)
    distinct = edges[which]
    found = np.zeros((len(which), size))
    degree = distinct.sum(1)
    complete = degree == len(first)
    found[complete, 1:] = size / (size - 1)
    rest = (degree > 0) & ~complete
    found[rest] = _solve(distinct[rest], size)
    return found[inverse.ravel()].reshape(m, radii.shape[1], size)


def _solve(edges: np.ndarray, size: int) -> np.ndarray:
    """Return the ascending spectra of graphs given by the upper triangles of their adjacency."""
    found = np.empty((len(edges), size))
    if size <= _LANE_ATOMS:
        for start in range(0, len(edges), _LANES):
            block = edges[start : start + _LANES]
            lanes = np.zeros((edges.shape[1], _LANES))
            lanes[:, : len(block)] = block.T
            found[start : start + _LANES] = _lane_spectra(lanes, size).T[: len(block)]
        return np.clip(np.sort(found, axis=1), 0.0, 2.0) + 0.0  # no −0
    first, second = np.tril_indices(size, -1)
    step = max(1, _CHUNK // size**2)
    for start in range(0, len(edges), step):
        graphs = np.zeros((len(edges[start : start + step]), size, size))
        graphs[:, first, second] = graphs[:, second, first] = edges[start : start + step]
        found[start : start + step] = normalised_laplacian_spectrum(graphs)
    return found


def _among_nearest(distances: np.ndarray, size: int, limit: int) -> np.ndarray:
    """Tell which pairs (m, P) are among the nearest `limit` of either atom; ties by index."""
    first, second = np.tril_indices(size, -1)
    full = np.full((len(distances), size, size), np.inf)
    full[:, first, second] = full[:, second, first] = distances
    rank = np.argsort(np.argsort(full, axis=2, kind="stable"), axis=2, kind="stable")
    return np.minimum(rank[:, first, second], rank[:, second, first]) < limit


def _periodic_graphs(
    positions: np.ndarray,
    radii: np.ndarray,
    limit: int | None,
    cell: np.ndarray,
    pbc: np.ndarray,
) -> np.ndarray:
    """Return weighted adjacencies (R, N, N), images counted, of one periodic structure."""
    size = len(positions)
    pairs, distances = pairs_within(positions, float(radii.max()), cell, pbc)
    # Each pair in both directions; an atom's own images already stand once for each.
    other = pairs[:, 0] != pairs[:, 1]
    start = np.concatenate([pairs[:, 0], pairs[other, 1]])
    end = np.concatenate([pairs[:, 1], pairs[other, 0]])
    length = np.concatenate([distances, distances[other]])
    kept = np.ones(len(length), dtype=bool)
    if limit is not None:
        order = np.lexsort((end, length, start))
        begins = np.searchsorted(start[order], np.arange(size))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order)) - begins[start[order]]
        forward, back = rank[: len(pairs)].copy(), rank[len(pairs) :]
        forward[other] = np.minimum(forward[other], back)
        kept = np.concatenate([forward, forward[other]]) < limit
    graphs = np.zeros((len(radii), size, size))
    for graph, radius in zip(graphs, radii, strict=True):
        near = kept & (length < radius)
        np.add.at(graph, (start[near], end[near]), 1.0)
    return graphs


# In the kernels below the last index is the lane, and the number of lanes W is left to run time:
# compilers take loops of known length apart before they see that they are vectors. Work space comes
# from outside, in few arrays: otherwise they stay scalar for fear that arrays overlap.
_fast = njit(cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@_fast
def _lane_spectra(edges: np.ndarray, size: int) -> np.ndarray:
    """Return unordered Laplacian spectra (N, W) from the lower triangles (P, W) of graphs."""
    lanes = edges.shape[1]
    a = np.empty((size, size, lanes))
    root = np.zeros((size, lanes))
    pair = 0
    for i in range(size):
        for j in range(i):
            for w in range(lanes):
                root[i, w] += edges[pair, w]
                root[j, w] += edges[pair, w]
            pair += 1
    pair = 0
    for i in range(size):
        for w in range(lanes):
            a[i, i, w] = min(root[i, w], 1.0)
            root[i, w] = 1.0 / np.sqrt(max(root[i, w], 1.0))
        for j in range(i):
            for w in range(lanes):
                a[i, j, w] = -root[i, w] * root[j, w] * edges[pair, w]
            pair += 1
    d, e = np.empty((size, lanes)), np.zeros((size, lanes))
    work, rows = np.zeros((4, size, lanes)), np.empty((6, lanes))
    _tridiagonalise(a, d, e, work, rows)
    _root_free_ql(d, e, rows)
    return d


@_fast
def _tridiagonalise(
    a: np.ndarray, d: np.ndarray, e: np.ndarray, work: np.ndarray, rows: np.ndarray
) -> None:
    """Reduce symmetric matrices, of which (N, N, W) holds the lower triangles, by reflections.

    Returns their diagonals (N, W), and the squares of the elements beside: row i stands between
    i and i + 1. `a` is overwritten.
    """
    n, _, lanes = a.shape
    old_u, old_p, u, p = work[0], work[1], work[2], work[3]
    norm, scale, dot = rows[0], rows[1], rows[2]
    for i in range(n - 1, 0, -1):
        norm[:] = 0.0
        dot[:] = 0.0
        for j in range(i + 1):
            for w in range(lanes):
                u[j, w] = a[i, j, w] - old_u[i, w] * old_p[j, w] - old_p[i, w] * old_u[j, w]
            p[j] = 0.0
        d[i] = u[i]
        for j in range(i):
            for w in range(lanes):
                norm[w] += u[j, w] * u[j, w]
        for w in range(lanes):
            e[i - 1, w] = norm[w]
            g = np.copysign(np.sqrt(norm[w]), u[i - 1, w])
            h = norm[w] + g * u[i - 1, w]
            u[i - 1, w] += g  # now |u|² = 2 h
            scale[w] = 1.0 / h if h > 1e-200 else 0.0
        # One pass brings the rows above up to date and multiplies them with u.
        for j in range(i):
            for m in range(j):
                for w in range(lanes):
                    a[j, m, w] -= old_u[j, w] * old_p[m, w] + old_p[j, w] * old_u[m, w]
                for w in range(lanes):
                    p[j, w] += a[j, m, w] * u[m, w]
                    p[m, w] += a[j, m, w] * u[j, w]
            for w in range(lanes):
                a[j, j, w] -= 2.0 * old_u[j, w] * old_p[j, w]
                p[j, w] += a[j, j, w] * u[j, w]
        for j in range(i):
            for w in range(lanes):
                p[j, w] *= scale[w]
                dot[w] += u[j, w] * p[j, w]
        for w in range(lanes):
            dot[w] *= 0.5 * scale[w]
        for j in range(i):
            for w in range(lanes):
                p[j, w] -= dot[w] * u[j, w]
        old_u, old_p, u, p = u, p, old_u, old_p
    for w in range(lanes):
        d[0, w] = a[0, 0, w] - 2.0 * old_u[0, w] * old_p[0, w]


@_fast
def _root_free_ql(d: np.ndarray, e: np.ndarray, rows: np.ndarray) -> None:
    """Turn diagonals d (N, W) and squares e beside them into eigenvalues in d, unordered.

    All lanes sweep together until the slowest has converged. What a lane finds does not depend on
    its companions: one that has converged keeps its values. An off-diagonal zero starts the
    recursion afresh.
    """
    n, lanes = d.shape
    sigma, gamma, p, c, s, open_ = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    for top in range(n - 1):
        for _ in range(_SWEEPS):
            largest = 0.0
            for w in range(lanes):
                largest = max(largest, e[top, w])
            if largest <= _NEGLIGIBLE:
                break
            for w in range(lanes):
                # Wilkinson's shift: the eigenvalue of the first 2 × 2 block nearer to d[top].
                square = e[top, w]
                half = 0.5 * (d[top + 1, w] - d[top, w])
                far = half + np.copysign(np.sqrt(half * half + square), half)
                sigma[w] = d[top, w] - (square / far if square > _NEGLIGIBLE else 0.0)
                open_[w] = 1.0 if square > _NEGLIGIBLE else 0.0
                below = d[n - 1, w] - sigma[w]
                gamma[w] = below
                p[w] = below * below
                c[w] = 1.0
                s[w] = 0.0
            for i in range(n - 2, top - 1, -1):
                for w in range(lanes):
                    square, alpha, before, old = e[i, w], d[i, w], gamma[w], c[w]
                    left, kept, moves = e[i + 1, w], d[i + 1, w], open_[w] > 0.0
                    r = p[w] + square + _NOTHING
                    inverse = 1.0 / r
                    cosine = (p[w] + _NOTHING) * inverse
                    sine = square * inverse
                    after = cosine * (alpha - sigma[w]) - sine * before
                    chased, found = s[w] * r, before + (alpha - after)
                    e[i + 1, w] = chased if moves else left
                    d[i + 1, w] = found if moves else kept
                    p[w] = after * after / cosine if cosine > _RIGHT_ANGLE else old * square
                    gamma[w], c[w], s[w] = after, cosine, sine
            for w in range(lanes):
                square, kept, moves = e[top, w], d[top, w], open_[w] > 0.0
                chased, found = s[w] * p[w], sigma[w] + gamma[w]
                e[top, w] = chased if moves else square
                d[top, w] = found if moves else kept
