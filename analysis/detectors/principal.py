"""Principal components of rows that pass once: exact means and variances, a sketch of the rest.

SOAP of seven elements has 11,172 columns and ten thousand frames two million rows, so neither the
rows nor their covariance are kept. As chunks pass, an orthonormal basis of `rank` directions is
kept up to date: each chunk adds the directions in which it sticks out of the basis, found by one
power iteration from random probes, and those of least variance are dropped (Halko, Martinsson,
Tropp, doi 10.1137/090771806; Brand, doi 10.1016/j.laa.2005.07.021). Every row is kept as its
coordinates in the basis and its whole squared norm, so that any part of the rows can be given
principal components of its own afterwards, without describing a structure twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import linalg

from ...diversity.errors import ShortageError
from ...diversity.randomness import generator

#: Directions that the basis holds, and that a chunk may add to it.
RANK, ADDED = 96, 32
#: Every so-manieth row of a chunk tells in which directions it sticks out, once the basis is full.
_PROBED = 4
#: Rows whose basis is brought up to date together.
_GATHERED = 4096
#: Rows that are scored at a time: few enough for the processor's cache to hold them.
_ROWS = 256
#: Directions that hold less than this share of what all hold are rounding, in single precision.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class RowSketch:
    """Rows in the coordinates of a basis, and what of each lies outside it."""

    origin: np.ndarray
    """(d,), where coordinates are 0."""
    mean: np.ndarray
    """(d,), of the rows, exact."""
    basis: np.ndarray
    """(d, r), orthonormal columns."""
    coordinates: np.ndarray
    """(n, r), single precision."""
    outside: np.ndarray
    """(n,), squared distance from the affine space of origin and basis, less its mean's part: rows
    are taken to stick out of the basis independently of the mean, so that their mean is exact."""

    @property
    def total_variance(self) -> float:
        """Sum of the variances of all columns, with n − 1."""
        n, mean = len(self.coordinates), self.coordinates.mean(axis=0, dtype=np.float64)
        inside = np.einsum("ij,ij->", self.coordinates, self.coordinates, dtype=np.float64)
        return float((inside - n * mean @ mean + self.outside.sum()) / max(n - 1, 1))


def sketch_rows(stream: Iterable[np.ndarray], *, rank: int = RANK) -> RowSketch:
    """Read rows once and keep them in a basis of at most `rank` directions.

    Parameters
    ----------
    stream : iterable of array, shape (n_i, d)
        Chunks of rows, of any size.
    rank : int
        With `rank` ≥ d the sketch is exact.

    Returns
    -------
    RowSketch
        Memory: 4,096 rows, the basis, and 128 numbers a row while they pass.

    Raises
    ------
    ShortageError
        If there are fewer than two rows.
    """
    random = generator(0, "row sketch")  # always the same probes: a fit has no seed
    kept: list[np.ndarray] = []
    turns: list[np.ndarray] = []
    squares: list[np.ndarray] = []
    origin = total = basis = gram = None
    for rows in _gathered(stream):
        if origin is None or basis is None or gram is None or total is None:
            origin = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            total = np.zeros(rows.shape[1])
            basis, gram = np.zeros((rows.shape[1], 0), np.float32), np.zeros((0, 0))
        rows -= origin
        most = max(rank - basis.shape[1], ADDED)
        probed = rows if most > ADDED or len(rows) < _PROBED * most else rows[::_PROBED]
        basis = np.hstack([basis, _sticking_out(probed, basis, most, random)])
        coordinates = rows @ basis
        squares.append(np.einsum("ij,ij->i", rows, rows))
        total += np.ones(len(rows), np.float32) @ rows
        wide = coordinates.astype(np.float64)
        gram = np.pad(gram, (0, basis.shape[1] - len(gram))) + wide.T @ wide
        spread, turn = np.linalg.eigh(gram)
        turn = turn[:, ::-1][:, : min(rank, len(turn))]
        gram = np.diag(spread[::-1][: turn.shape[1]])
        basis = basis @ turn.astype(np.float32)
        kept.append(coordinates)
        turns.append(turn)
    n = sum(map(len, squares))
    if origin is None or basis is None or total is None or n < 2:
        raise ShortageError(f"{n} rows have no principal components; there must be two or more.")
    # Rows were kept in the basis of their time: turn them to the last, from the end backwards.
    turn = np.eye(basis.shape[1])
    for i in reversed(range(len(kept))):
        turn = turns[i] @ turn[: turns[i].shape[1]]
        kept[i] = kept[i] @ turn.astype(np.float32)
    coordinates = np.concatenate(kept)
    offset = total / n
    beyond = offset - basis @ (basis.T @ offset)
    inside = np.einsum("ij,ij->i", coordinates, coordinates, dtype=np.float64)
    outside = np.concatenate(squares) - inside - beyond @ beyond
    return RowSketch(
        origin=origin.astype(np.float64),
        mean=origin + offset,
        basis=basis,
        coordinates=coordinates,
        outside=np.maximum(outside, 0.0),
    )


class PrincipalComponents:
    """Principal components: columns centred, not scaled.

    Parameters
    ----------
    n_components : int
        K.
    rank : int
        Directions of the sketch that they are found in; at least twice K is used.

    Attributes
    ----------
    mean_ : array, shape (d,)
    components_ : array, shape (K, d)
        Orthonormal; of each the entry of greatest size is positive.
    explained_variance_ : array, shape (K,)
        With n − 1.
    explained_variance_ratio_ : array, shape (K,)
    n_samples_ : int

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0, 1.0], [2.0, 0.0, 1.1], [4.0, 0.0, 1.0]])
    >>> fitted = PrincipalComponents(n_components=1).fit([rows[:2], rows[2:]])
    >>> fitted.explained_variance_ratio_.round(3)
    array([0.999])
    >>> scores, q, t2 = fitted.statistics(np.array([[2.0, 3.0, 1.0]]))
    >>> q.round(2)
    array([9.])
    """

    mean_: np.ndarray
    components_: np.ndarray
    explained_variance_: np.ndarray
    explained_variance_ratio_: np.ndarray
    n_samples_: int

    def __init__(self, *, n_components: int = 5, rank: int = RANK) -> None:
        self.n_components = n_components
        self.rank = rank

    def fit(self, stream: Iterable[np.ndarray]) -> Self:
        """Fit to chunks of rows, read once; see `sketch_rows`."""
        return self.fit_sketch(sketch_rows(stream, rank=max(self.rank, 2 * self.n_components)))

    def fit_sketch(self, sketch: RowSketch) -> Self:
        """Fit to rows that were read.

        Raises
        ------
        ShortageError
            If rows span no more directions than there are to be components: nothing would be left
            for a residual.
        """
        wide = sketch.coordinates.astype(np.float64)
        variance, directions = principal_directions(
            np.cov(wide.T).reshape(wide.shape[1], -1), self.n_components
        )
        components = (sketch.basis.astype(np.float64) @ directions).T
        greatest = np.abs(components).argmax(axis=1)
        components *= np.sign(components[np.arange(len(components)), greatest])[:, None]
        self.mean_, self.components_ = sketch.mean, components
        self.explained_variance_ = variance
        self.explained_variance_ratio_ = variance / sketch.total_variance
        self.n_samples_ = len(wide)
        return self

    def statistics(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scores, squared residuals Q and Hotelling's T² of rows.

        Parameters
        ----------
        X : array, shape (n, d)

        Returns
        -------
        scores : array, shape (n, K)
        q : array, shape (n,)
            ‖(x − μ) − PPᵀ(x − μ)‖², in squared units of the rows.
        t2 : array, shape (n,)
            Sum over components of score² / variance.
        """
        rows = np.asarray(X)
        mean, axes = self.mean_.astype(rows.dtype), self.components_.T.astype(rows.dtype)
        scores, whole = np.empty((len(rows), axes.shape[1])), np.empty(len(rows))
        for begin in range(0, len(rows), _ROWS):
            part = slice(begin, begin + _ROWS)
            centred = rows[part] - mean
            scores[part] = centred @ axes
            whole[part] = np.einsum("ij,ij->i", centred, centred)
        q = np.maximum(whole - (scores**2).sum(axis=1), 0.0)
        return scores, q, (scores**2 / self.explained_variance_).sum(axis=1)


def principal_directions(
    covariance: np.ndarray, n_components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest variances, descending, and their directions as columns.

    Raises
    ------
    ShortageError
        If fewer directions than one more have any variance.
    """
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    there = int((values > _ROUNDING * max(values[0], 0.0)).sum())
    if there <= n_components:
        raise ShortageError(
            f"The rows vary along {there} directions, too few for {n_components} principal "
            "components and a residual: take fewer components, or more and more varied structures."
        )
    return values[:n_components].copy(), vectors[:, :n_components].copy()


def _gathered(stream: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield rows, some thousand at a time, in memory that is used again."""
    buffer, filled = np.empty((0, 0), np.float32), 0
    for chunk in stream:
        rows = np.asarray(chunk)
        if not len(buffer):
            buffer = np.empty((_GATHERED, rows.shape[1]), np.float32)
        while len(rows):
            taken = min(len(rows), _GATHERED - filled)
            buffer[filled : filled + taken] = rows[:taken]
            rows, filled = rows[taken:], filled + taken
            if filled == _GATHERED:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]


def _sticking_out(
    rows: np.ndarray, basis: np.ndarray, most: int, random: np.random.Generator
) -> np.ndarray:
    """Return orthonormal directions, (d, at most `most`), of what rows have outside a basis."""
    room = min(most, rows.shape[1] - basis.shape[1], len(rows))
    if room <= 0:
        return np.zeros((rows.shape[1], 0), np.float32)
    probes = random.normal(size=(rows.shape[1], room)).astype(np.float32)
    for _ in range(2):  # the second takes what rounding left
        probes -= basis @ (basis.T @ probes)
    found = rows.T @ (rows @ probes)
    scale = np.linalg.norm(found, axis=0).max()
    for _ in range(2):
        found -= basis @ (basis.T @ found)
    directions, triangle, _ = linalg.qr(found, mode="economic", pivoting=True)
    real = np.abs(np.diag(triangle)) > _ROUNDING * scale
    directions = directions[:, real]
    directions -= basis @ (basis.T @ directions)
    return linalg.qr(directions, mode="economic")[0] if real.any() else directions
