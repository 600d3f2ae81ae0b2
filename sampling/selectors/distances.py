"""Selectors that spread rows over a space of features by their distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import (
    pairwise_distances_argmin,
    pairwise_distances_argmin_min,
    pairwise_distances_chunked,
)

from ...diversity.randomness import generator
from .base import Selector
from .farthest import Progress, farthest


class FarthestPoint(Selector):
    """Each row the farthest, by Euclidean distance, from all taken before.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    progress : callable, optional
        Called with rows taken and rows wanted every now and then.

    Notes
    -----
    Gonzalez, Theor. Comput. Sci. 38, 293 (1985). At most n · n_to_select distances, in practice
    a tenth of it.
    """

    def __init__(
        self,
        *,
        n_to_select: int | None = None,
        random_state: int = 0,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.progress = progress

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        start = int(shuffled[0])
        return farthest(X, wanted, start=start, given=given, progress=self.progress)


class ForceFarthestPoint(Selector):
    """Farthest points whose distances are weighted by forces: far away, and far from equilibrium.

    The weight of a row is (f / mean f)^exponent, with f its mean force norm; `y` is f. A row
    without force weighs a thousandth of the mean.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    exponent : float
        0 is the plain farthest point.
    """

    reads = frozenset({"geometry", "prior_labels", "reference_labels"})
    target = "force_norm"
    levels = ("conformers", "structures")

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, exponent: float = 1.0
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.exponent = exponent

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        norms = np.abs(y)
        logs = self.exponent * np.log(np.maximum(norms / (norms.mean() or 1.0), 1e-3))
        # Only ratios of weights matter; the heaviest is 1, so that none overflows.
        weights = np.exp(logs - logs.max())
        # The order of weights is part of the choice from its first row on.
        heavy = shuffled[np.argmax(weights[shuffled])]
        return farthest(X, wanted, start=int(heavy), given=given, weights=weights)


class KennardStone(Selector):
    """The two rows farthest apart, then each the farthest from all taken before.

    It depends on the rows alone: replicates are equal.

    Notes
    -----
    Kennard and Stone, Technometrics 11, 137 (1969). The search for the first two is quadratic in
    rows at worst; rows too near the mean to be one of them are left out of it.
    """

    quadratic = True

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        if given is not None:
            return farthest(X, wanted, start=0, given=given)
        first, second = farthest_pair(X)
        if wanted == 1 or first == second:
            return farthest(X, wanted, start=first)
        rest = np.delete(np.arange(len(X)), [first, second])
        both = np.array([first, second])
        if wanted == 2:
            return both
        more = farthest(X[rest], wanted - 2, start=0, given=X[both])
        return np.concatenate([both, rest[more]])


def farthest_pair(X: np.ndarray) -> tuple[int, int]:
    """Return the two rows of (n, d) at the greatest Euclidean distance, lower row first.

    Rows that coincide: the first row twice.
    """
    points = np.asarray(X, dtype=np.float64) - np.mean(X, axis=0, dtype=np.float64)
    radius = np.linalg.norm(points, axis=1)
    # Outermost first: a pair cannot be farther apart than its radii together.
    order = np.argsort(-radius, kind="stable")
    best, pair, block = 0.0, (0, 0), 256
    for begin in range(0, len(order), block):
        rows = order[begin : begin + block]
        reach = best - radius[rows[0]]
        others = order[: np.searchsorted(-radius[order], -reach, side="right")]
        others = others[begin:]
        if not len(others):
            break
        squares = (
            radius[rows, None] ** 2
            + radius[None, others] ** 2
            - 2.0 * points[rows] @ points[others].T
        )
        i, j = np.unravel_index(int(squares.argmax()), squares.shape)
        distance = float(np.linalg.norm(points[rows[i]] - points[others[j]]))
        if distance > best:
            best, pair = distance, (int(rows[i]), int(others[j]))
    return min(pair), max(pair)


class KMedoids(Selector):
    """The medoids of as many clusters: rows that stand for the rows around them.

    Medoids are placed by k-means++ and moved until none moves: each row goes to its nearest
    medoid, and the row with the least sum of distances to its cluster becomes its medoid. What is
    given are medoids that stay. The largest cluster comes first.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    max_iter : int
        Most rounds.

    Notes
    -----
    Park and Jun, Expert Syst. Appl. 36, 3336 (2009). A round costs n · n_to_select distances and
    the squares of the sizes of clusters, about n² / n_to_select, in blocks of bounded memory.
    """

    quadratic = True
    prefix = False

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, max_iter: int = 30
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.max_iter = max_iter

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        medoids = self._begin(X, given, wanted, shuffled)
        fixed = np.empty((0, X.shape[1]), X.dtype) if given is None else given
        for _ in range(self.max_iter):
            label = pairwise_distances_argmin(X, np.concatenate([X[medoids], fixed]))
            # A medoid is its own, though another may coincide with it.
            label[medoids] = np.arange(wanted)
            moved = np.array([_medoid(X, np.flatnonzero(label == c)) for c in range(wanted)])
            if (moved == medoids).all():
                break
            medoids = moved
        label = pairwise_distances_argmin(X, np.concatenate([X[medoids], fixed]))
        sizes = np.bincount(label, minlength=wanted + len(fixed))[:wanted]
        return medoids[np.lexsort((medoids, -sizes))]

    def _begin(
        self, X: np.ndarray, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        stream = generator(self.random_state, "k-medoids")
        seed = np.random.RandomState(int(stream.integers(2**31)))
        weight = None
        if given is not None:
            # What is far from the given needs a medoid most.
            weight = pairwise_distances_argmin_min(X, given)[1] ** 2
            weight = weight if weight.any() else None
        _, first = kmeans_plusplus(X, wanted, sample_weight=weight, random_state=seed)
        # Coinciding rows can be drawn twice: others take the place of repeats.
        distinct = np.unique(first)
        fill = shuffled[~np.isin(shuffled, distinct)][: wanted - len(distinct)]
        return np.sort(np.concatenate([distinct, fill]))


def _medoid(X: np.ndarray, members: np.ndarray) -> int:
    sums = np.concatenate(
        list(
            pairwise_distances_chunked(
                X[members], reduce_func=lambda block, _: block.sum(1, dtype=np.float64)
            )
        )
    )
    # Sums that differ by rounding alone are equal: the lowest row.
    return int(members[np.flatnonzero(sums <= sums.min() * (1 + 1e-9))[0]])
