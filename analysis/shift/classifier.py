"""How well a classifier tells two samples apart: 2·AUC − 1, cross-validated."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ...diversity.randomness import generator
from .halves import Estimate, Units, bounded, cuts, half_rows, numbered_units
from .quantiles import hold_out_quantile


class ClassifierTwoSample(BaseEstimator):
    """Classifier two-sample test (Lopez-Paz and Oquab, arXiv:1610.06545) by rank.

    Logistic regression on the standardised columns and their squares, so that a change of mean
    and one of spread are both seen; rows are weighted so that both samples count alike. Each unit
    is scored by a model that was fitted without it, whichever sample it is in.

    Parameters
    ----------
    n_folds : int
        Parts that units are divided into; fewer where a sample has fewer units.
    C : float
        Inverse strength of the regularisation.
    random_state : int
        Of the division.
    """

    def __init__(self, *, n_folds: int = 5, C: float = 0.1, random_state: int = 0) -> None:
        self.n_folds = n_folds
        self.C = C
        self.random_state = random_state

    def estimate(
        self, a: np.ndarray, b: np.ndarray, *, units: Units
    ) -> tuple[Estimate, np.ndarray, np.ndarray]:
        """Return 2·AUC − 1 with its interval, and the held-out score of each row.

        Parameters
        ----------
        a, b : array, shape (n, d) and (m, d)
        units : Units
            Two of each sample at least.

        Returns
        -------
        Estimate
            0 for samples that are told apart no better than by chance. The interval is that of the
            fitted models, wider by what they share (Nadeau and Bengio, Machine Learning 52, 239
            (2003)).
        scores_a, scores_b : array, shape (n,) and (m,)
            Log-odds of being of b.
        """
        fold = self._folds(units)
        scores = self._scores(a, b, fold[units.a], fold[units.b])
        folds = fold[units.a], fold[units.b]
        spread = []
        for half in cuts(units, random_state=self.random_state):
            (a1, a2), (b1, b2) = half_rows(units.a, half), half_rows(units.b, half)
            spread += [self._separation(scores, folds, *rows) for rows in ((a1, b2), (a2, b1))]
        whole = self._separation(scores, folds, *(np.ones(len(x), dtype=bool) for x in (a, b)))
        n_folds = len(np.unique(fold))
        wider = (1 + n_folds / (n_folds - 1)) ** 0.5
        found = bounded(whole, wider * np.array(spread), units, most=1.0)
        if whole == 1.0:
            # Halves in perfect order have no spread; of m units in order Clopper and Pearson's has.
            fewest = min(len(np.unique(x)) for x in (units.a, units.b))
            found = Estimate(1.0, (max(0.0, 2 * 0.025 ** (1 / fewest) - 1), 1.0))
        return found, *scores

    def separation(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return 2·AUC − 1 of samples whose rows are all units of their own; it may be negative."""
        units = numbered_units(np.arange(len(a)), len(a) + np.arange(len(b)))
        fold = self._folds(units)
        folds = fold[units.a], fold[units.b]
        scores = self._scores(a, b, *folds)
        return self._separation(scores, folds, *(np.ones(len(x), dtype=bool) for x in (a, b)))

    def distance(self, a: np.ndarray, b: np.ndarray, *, units: Any = None) -> float:
        """Return 2·AUC − 1, at least 0; rows are units unless ``units`` tells otherwise."""
        if units is None:
            return max(0.0, self.separation(np.asarray(a), np.asarray(b)))
        found = units if isinstance(units, Units) else numbered_units(*units)
        return self.estimate(np.asarray(a), np.asarray(b), units=found)[0].distance

    def _folds(self, units: Units) -> np.ndarray:
        """Deal units to folds, those of one sample and those of both apart."""
        fewest = min(len(np.unique(x)) for x in (units.a, units.b))
        if fewest < 2:
            raise ValueError("a classifier needs two units of each sample, to fit and to test")
        drawn = generator(self.random_state, "folds").random(len(units.stratum))
        fold = np.empty(len(drawn), dtype=np.int64)
        for member in range(4):
            these = np.flatnonzero(units.stratum % 4 == member)
            order = these[np.argsort(drawn[these])]
            fold[order] = np.arange(len(order)) % min(self.n_folds, fewest)
        return fold

    def _scores(
        self, a: np.ndarray, b: np.ndarray, fold_a: np.ndarray, fold_b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        X, of_b = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
        fold, scores = np.concatenate([fold_a, fold_b]), np.empty(len(X))
        for k in np.unique(fold):
            train = fold != k
            model = make_pipeline(
                StandardScaler(),
                FunctionTransformer(_with_squares),
                LogisticRegression(C=self.C, class_weight="balanced", max_iter=300),
            )
            scores[~train] = model.fit(X[train], of_b[train]).decision_function(X[~train])
        return scores[: len(a)], scores[len(a) :]

    @staticmethod
    def _separation(
        scores: tuple[np.ndarray, np.ndarray],
        folds: tuple[np.ndarray, np.ndarray],
        rows_a: np.ndarray,
        rows_b: np.ndarray,
    ) -> float:
        """Return the mean over folds of 2·AUC − 1: scores of two models do not compare."""
        found = []
        for k in np.unique(folds[0]):
            parts = [
                s[rows & (fold == k)]
                for s, fold, rows in zip(scores, folds, (rows_a, rows_b), strict=True)
            ]
            if min(map(len, parts)):
                # The mean quantile is the area under the curve.
                found.append(2 * hold_out_quantile(parts[1], parts[0]).mean() - 1)
        return float(np.mean(found)) if found else 0.0


def _with_squares(X: np.ndarray) -> np.ndarray:
    return np.hstack([X, X**2])
