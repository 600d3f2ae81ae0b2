"""Density of the fitted rows under a Gaussian kernel."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import euclidean_distances

from .base import Detector, evenly_taken

_BLOCK = 512


class Density(Detector):
    """Logarithm of the mean Gaussian kernel to the fitted rows, not normalised: at most 0.

    Its logarithm is summed as such, so that a row at any distance has a finite score.

    Parameters
    ----------
    bandwidth : float, optional
        In units of the rows; by default the median distance of a fitted row to its fifth nearest
        other (of at most 500 rows, evenly taken); the median of all distances would span
        populations.
    contamination : float
        See `Detector`.

    Attributes
    ----------
    bandwidth_ : float
    """

    def __init__(self, *, bandwidth: float | None = None, contamination: float = 0.05) -> None:
        super().__init__(contamination=contamination)
        self.bandwidth = bandwidth

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if self.bandwidth is not None and not (np.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise ValueError(f"bandwidth = {self.bandwidth}: it must be a positive number")
        self.points_ = X
        own = self.bandwidth
        self.bandwidth_ = neighbour_distance(X) if own is None else float(own)

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        scores = np.empty(len(X))
        for begin in range(0, len(X), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            exponents = euclidean_distances(X[rows], self.points_, squared=True)
            exponents *= -0.5 / self.bandwidth_**2
            greatest = exponents.max(axis=1, keepdims=True)
            exponents -= greatest
            scores[rows] = greatest[:, 0] + np.log(np.exp(exponents, out=exponents).mean(axis=1))
        return scores


def neighbour_distance(X: np.ndarray, *, n_neighbors: int = 5, most: int = 500) -> float:
    """Return the median distance of rows to their fifth nearest other, of at most so many rows.

    1 where all rows are the same, since any scale then tells them apart from others.
    """
    rows = X[evenly_taken(len(X), most)]
    place = min(n_neighbors, len(X) - 1)  # the nearest is the row itself
    near = np.partition(euclidean_distances(rows, X), place, axis=1)[:, place]
    # Half of the rows may be copies of others: then it is the others that tell the scale.
    apart = near[near > 1e-6 * (1.0 + np.abs(rows).max())]
    return float(np.median(apart)) if len(apart) else 1.0
