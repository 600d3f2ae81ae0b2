"""Distance from the mean in units of the covariance, pooled or by element."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import ledoit_wolf

from .base import Detector

#: Rows of an element that a covariance of its own takes; with fewer it takes the pooled one.
FEWEST_ROWS = 10
#: Least variance along any direction, relative to the greatest.
_FLOOR = 1e-10


class Mahalanobis(Detector):
    """Mahalanobis distance from the mean of the fitted rows, negated.

    Parameters
    ----------
    per_element : bool
        Take the mean and the covariance of the rows of each row's own element: environments of
        different elements are different populations. An element with fewer than 10 rows has its
        own mean and the pooled covariance within elements.
    shrinkage : float, optional
        Share of the covariance, in [0, 1], replaced by its mean variance times the identity; by
        default that of Ledoit and Wolf (doi 10.1016/S0047-259X(03)00096-4).
    contamination : float
        See `Detector`.
    """

    def __init__(
        self,
        *,
        per_element: bool = False,
        shrinkage: float | None = None,
        contamination: float = 0.05,
    ) -> None:
        super().__init__(contamination=contamination)
        self.per_element = per_element
        self.shrinkage = shrinkage

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage = {self.shrinkage}: it must lie in [0, 1]")
        kinds = self._partition(elements, len(X))
        #: Key of a population (0 where pooled) to its mean and whitening matrix.
        self.populations_: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        keys, of_row = np.unique(kinds, return_inverse=True)
        means = np.stack([X[of_row == k].mean(axis=0) for k in range(len(keys))])
        centred = X - means[of_row]
        pooled = self._whitening(centred)
        for k, key in enumerate(keys.tolist()):
            rows = of_row == k
            own = len(keys) > 1 and rows.sum() >= FEWEST_ROWS
            self.populations_[key] = means[k], self._whitening(centred[rows]) if own else pooled
        # For an element that was not there.
        self.mean_, self.whitening_ = X.mean(axis=0), self._whitening(X - X.mean(axis=0))

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        kinds = self._partition(elements, len(X))
        scores = np.empty(len(X))
        for key in np.unique(kinds).tolist():
            mean, whitening = self.populations_.get(key, (self.mean_, self.whitening_))
            rows = kinds == key
            scores[rows] = -np.linalg.norm((X[rows] - mean) @ whitening, axis=1)
        return scores

    def _partition(self, elements: np.ndarray | None, n: int) -> np.ndarray:
        """Return the key of each row's population."""
        if not self.per_element:
            return np.zeros(n, dtype=np.int64)
        # Without elements all rows are of one population, as scikit-learn's own checks fit it.
        return np.zeros(n, dtype=np.int64) if elements is None else elements.astype(np.int64)

    def _whitening(self, centred: np.ndarray) -> np.ndarray:
        """Return W with W Wᵀ the inverse of the shrunk covariance."""
        if self.shrinkage is None:
            covariance = ledoit_wolf(centred, assume_centered=True)[0]
        else:
            sample = centred.T @ centred / len(centred)
            target = np.trace(sample) / len(sample) * np.eye(len(sample))
            covariance = (1 - self.shrinkage) * sample + self.shrinkage * target
        values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
        greatest = values.max()
        # Rows that are all the same have no scale; then the distance is the Euclidean one.
        safe = np.maximum(values, _FLOOR * greatest) if greatest > 0 else np.ones_like(values)
        return vectors / np.sqrt(safe)
