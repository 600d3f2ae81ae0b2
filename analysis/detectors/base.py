"""What every detector is: an estimator that says how typical a row is of those it was fitted to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data


class Detector(OutlierMixin, BaseEstimator, ABC):
    """Scores rows; higher is more typical, and −1 is outside.

    Parameters
    ----------
    contamination : float
        Share of rows like the fitted ones that `predict` may call outside, in (0, 0.5].

    Attributes
    ----------
    offset_ : float
        Score below which a row is outside.
    elements_ : array of int, or None
        Elements of the fitted rows, where they were told.
    unknown_score_ : float
        Most that a row of another element scores: as far below the least typical fitted row as
        that is below the most typical. Finite, so that means over a structure stay defined.
    """

    def __init__(self, *, contamination: float = 0.05) -> None:
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None, *, elements: Any = None, groups: Any = None) -> Self:
        """Learn what is typical.

        Parameters
        ----------
        X : array, shape (n, d)
        y : None
            Not read; scikit-learn's convention.
        elements : array of int, shape (n,), optional
            Atomic number of each row's atom. Rows of other elements are then far out.
        groups : array, shape (n,), optional
            Molecule of each row. With two or more, the threshold is the quantile of held-out
            scores: each half of the groups is scored by a detector fitted to the other. Without,
            it is that of the fitted rows themselves, which look more typical than new ones.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        ValueError
            As scikit-learn's estimators: for NaN, infinities and shapes that do not fit.
        """
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination = {self.contamination}: it must lie in (0, 0.5]")
        X = validate_data(self, X, dtype=np.float64)
        kinds = self._kinds(elements, len(X))
        self.elements_ = None if kinds is None else np.unique(kinds)
        self._learn(X, kinds)
        own = self._score(X, kinds)
        # Rows that are all equally typical have no scale of their own.
        self.unknown_score_ = float(own.min() - (np.ptp(own) or 1.0))
        if groups is not None and len(np.unique(groups)) > 1:
            own = self._held_out(X, kinds, np.asarray(groups))
        self.offset_ = float(np.quantile(own, self.contamination))
        return self

    def score_samples(self, X: Any, *, elements: Any = None) -> np.ndarray:
        """Return how typical rows are, shape (n,); a distance or spread enters negated.

        Parameters
        ----------
        X : array, shape (n, d)
        elements : array of int, shape (n,), optional
            Needed where the detector was fitted by element.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        kinds = self._kinds(elements, len(X))
        scores = self._score(X, kinds)
        if kinds is not None and self.elements_ is not None:
            known = np.isin(kinds, self.elements_)
            scores = np.where(known, scores, np.minimum(scores, self.unknown_score_))
        return scores

    def decision_function(self, X: Any, *, elements: Any = None) -> np.ndarray:
        """Return scores relative to the threshold: below 0 is outside."""
        return self.score_samples(X, elements=elements) - self.offset_

    def predict(self, X: Any, *, elements: Any = None) -> np.ndarray:
        """Return 1 for rows inside and −1 for rows outside."""
        return np.where(self.decision_function(X, elements=elements) < 0, -1, 1)

    @abstractmethod
    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        """Fit to checked rows."""

    @abstractmethod
    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        """Return scores of checked rows; higher is more typical."""

    def _kinds(self, elements: Any, n: int) -> np.ndarray | None:
        if elements is None:
            return None
        kinds = np.asarray(elements)
        if kinds.shape != (n,):
            raise ValueError(f"elements of shape {kinds.shape} for {n} rows")
        return kinds

    def _held_out(
        self, X: np.ndarray, elements: np.ndarray | None, groups: np.ndarray
    ) -> np.ndarray:
        if groups.shape != (len(X),):
            raise ValueError(f"groups of shape {groups.shape} for {len(X)} rows")
        half = np.unique(groups, return_inverse=True)[1] % 2 == 0
        scores = np.empty(len(X))
        for rows in (half, ~half):
            kinds = None if elements is None else elements[rows]
            other = clone(self).fit(X[rows], elements=kinds)
            rest = None if elements is None else elements[~rows]
            scores[~rows] = other.score_samples(X[~rows], elements=rest)
        return scores


def evenly_taken(n: int, most: int) -> np.ndarray:
    """Return at most so many of n indices, evenly spread, the first and the last among them.

    >>> evenly_taken(7, 3)
    array([0, 3, 6])
    """
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
