"""What principal components leave of a row, and how far along them it lies: Q and T²."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy

import numpy as np
from sklearn.decomposition import PCA

from .base import Detector
from .mahalanobis import FEWEST_ROWS


class _Components(Detector):
    """Principal components of the fitted rows, pooled or of each element.

    Parameters
    ----------
    n_components : int
        K; fewer where rows have no more columns or there are no more rows.
    per_element : bool
        Take components of the rows of each row's own element. An element with fewer than 10 rows,
        or not more than K, has the pooled ones about its own mean.
    contamination : float
        See `Detector`.
    """

    def __init__(
        self, *, n_components: int = 5, per_element: bool = False, contamination: float = 0.05
    ) -> None:
        super().__init__(contamination=contamination)
        self.n_components = n_components
        self.per_element = per_element

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if self.n_components < 1:
            raise ValueError(f"n_components = {self.n_components}: it must be at least 1")
        self.pooled_ = self._fit(X)
        #: Atomic number to its components.
        self.populations_: dict[int, PCA] = {}
        if not self.per_element or elements is None:
            return
        for z in np.unique(elements).tolist():
            rows = X[elements == z]
            if len(rows) >= max(FEWEST_ROWS, self.n_components + 1):
                own = self._fit(rows)
            else:
                own = copy(self.pooled_)
                own.mean_ = rows.mean(axis=0)
            self.populations_[z] = own

    def _fit(self, X: np.ndarray) -> PCA:
        # One column always stays for the residual, unless there is no other.
        most = max(1, min(len(X) - 1, X.shape[1] - 1))
        return PCA(min(self.n_components, most), random_state=0).fit(X)

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        if not self.populations_ or elements is None:
            return -self._distance(X, self.pooled_)
        scores = np.empty(len(X))
        for z in np.unique(elements).tolist():
            rows = elements == z
            scores[rows] = -self._distance(X[rows], self.populations_.get(z, self.pooled_))
        return scores

    @abstractmethod
    def _distance(self, X: np.ndarray, components: PCA) -> np.ndarray:
        """Return how far out rows are, (n,)."""


class QResidual(_Components):
    """Squared distance from the space of the principal components, negated.

    Jackson and Mudholkar (doi 10.1080/00401706.1979.10489779). For rows that do not fit in memory
    see :class:`breadth.analysis.extrapolation.ExtrapolationModel`.
    """

    def _distance(self, X: np.ndarray, components: PCA) -> np.ndarray:
        centred = X - components.mean_
        along = centred @ components.components_.T
        return ((centred - along @ components.components_) ** 2).sum(axis=1)


class HotellingT2(_Components):
    """Sum over principal components of squared score over variance, negated.

    Hotelling (doi 10.1214/aoms/1177732979): Mahalanobis' distance within the components' space,
    squared.
    """

    def _distance(self, X: np.ndarray, components: PCA) -> np.ndarray:
        along = (X - components.mean_) @ components.components_.T
        variance = components.explained_variance_
        # A component without variance, of rows that are all the same, counts as it lies.
        return (along**2 / np.where(variance > 0, variance, 1.0)).sum(axis=1)
