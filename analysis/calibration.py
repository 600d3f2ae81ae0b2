"""From a score to an error in eV/Å: learned on held-out frames of the reference.

The expected error rises with the score, or stays (isotonic regression). What an error stays below
with a given probability is the expected one times a quantile of their ratio on frames that taught
no expectation; blocks of frames are what is exchangeable, see
:func:`breadth.analysis.relation.conformal.hierarchical_bound`. Beyond the greatest score that was
learnt from, the expectation stays where it was: nothing is promised there.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from ase.data import chemical_symbols
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from ..diversity.errors import DataError, ShortageError
from .relation.conformal import hierarchical_bound

#: Fewest atoms of an element on either side of the split.
FEWEST = 20
#: Least expected error, as a share of the element's mean: no bound of 0 holds anywhere.
_FLOOR = 1e-3


class Calibration(BaseEstimator):
    """Expected errors and their bounds, by element.

    Parameters
    ----------
    level : float
        Probability that an error stays below its bound, in (0, 1).

    Attributes
    ----------
    elements_ : array of int
    factor_ : dict of int to float
        What the expected error is multiplied by for the bound; infinite where fewer than
        level/(1 − level) blocks calibrate it.

    Examples
    --------
    >>> score = np.tile(np.linspace(0.0, 1.0, 40), 30)
    >>> block = np.repeat(np.arange(30), 40)
    >>> fitted = Calibration(level=0.9).fit(score, 1.0 + score, np.ones(1200, int), block)
    >>> fitted.predict(np.array([0.5]), np.array([1])).round(1)
    array([1.5])
    """

    def __init__(self, *, level: float = 0.9) -> None:
        self.level = level

    def fit(
        self, score: np.ndarray, error: np.ndarray, elements: np.ndarray, block: np.ndarray
    ) -> Self:
        """Learn from held-out frames: neither score nor potential was fitted to them.

        Parameters
        ----------
        score : array, shape (n,)
            Higher is farther outside.
        error : array, shape (n,)
            ≥ 0, such as |ΔF| in eV/Å.
        elements, block : array of int, shape (n,)
            Atomic number of each atom, and its block of frames (:mod:`.blocks`); every other block
            teaches the expectation, the rest the factor.

        Raises
        ------
        ShortageError
            If an element has fewer than 20 atoms in either part.
        DataError
            If scores or errors are NaN, infinite or not as many.
        """
        values = [np.asarray(one, dtype=np.float64) for one in (score, error)]
        if not len(values[0]) == len(values[1]) == len(elements) == len(block):
            raise DataError("Scores, errors, elements and blocks are not as many.")
        if not np.isfinite(values).all():
            raise DataError("Scores or errors that calibrate are NaN or infinite: leave them out.")
        teaches = np.unique(block, return_inverse=True)[1] % 2 == 0
        self.elements_ = np.unique(elements)
        self.expected_: dict[int, Any] = {}
        self.factor_: dict[int, float] = {}
        for z in self.elements_.tolist():
            of = elements == z
            fitting, checking = of & teaches, of & ~teaches
            if min(fitting.sum(), checking.sum()) < FEWEST:
                raise ShortageError(
                    f"{chemical_symbols[z]}: {fitting.sum()} atoms teach the expected error and "
                    f"{checking.sum()} check it, and there must be {FEWEST} of each: hold out more "
                    "frames, or leave this element uncalibrated."
                )
            floor = _FLOOR * max(float(values[1][fitting].mean()), np.finfo(float).tiny)
            curve = IsotonicRegression(y_min=floor, out_of_bounds="clip")
            self.expected_[z] = curve.fit(values[0][fitting], values[1][fitting])
            ratio = values[1][checking] / curve.predict(values[0][checking])
            self.factor_[z] = hierarchical_bound(ratio, block[checking], alpha=1.0 - self.level)
        return self

    def predict(self, score: np.ndarray, elements: np.ndarray) -> np.ndarray:
        """Return expected errors, (n,), in the unit of the errors that were learnt from."""
        check_is_fitted(self)
        unknown = np.setdiff1d(elements, self.elements_)
        if len(unknown):
            names = ", ".join(chemical_symbols[z] for z in unknown)
            raise DataError(f"No atom of {names} was among the frames that calibrated scores.")
        expected = np.empty(len(score))
        for z in np.unique(elements).tolist():
            of = elements == z
            expected[of] = self.expected_[z].predict(np.asarray(score, dtype=np.float64)[of])
        return expected

    def bound(self, score: np.ndarray, elements: np.ndarray) -> np.ndarray:
        """Return what errors of frames like the held-out ones stay below at the level, (n,)."""
        factor = np.array([self.factor_[z] for z in self.elements_.tolist()])
        expected = self.predict(score, elements)
        return expected * factor[np.searchsorted(self.elements_, elements)]
