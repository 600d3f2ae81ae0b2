"""Distance to the nearest fitted rows."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .base import Detector


class KNearestNeighbours(Detector):
    """Mean Euclidean distance to the nearest fitted rows, negated.

    Parameters
    ----------
    n_neighbors : int
        Neighbours whose distances are averaged; all fitted rows where there are fewer.
    contamination : float
        See `Detector`.
    """

    def __init__(self, *, n_neighbors: int = 5, contamination: float = 0.05) -> None:
        super().__init__(contamination=contamination)
        self.n_neighbors = n_neighbors

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if self.n_neighbors < 1:
            raise ValueError(f"n_neighbors = {self.n_neighbors}: it must be at least 1")
        k = min(self.n_neighbors, len(X))
        # Descriptors have tens of columns, where trees are slower than all distances.
        self.neighbours_ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X)

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        return -self.neighbours_.kneighbors(X)[0].mean(axis=1)
