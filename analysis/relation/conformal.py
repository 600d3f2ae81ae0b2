r"""Bounds on errors that hold for new molecules: hierarchical conformal prediction.

Conformers of one molecule are not exchangeable with another's; molecules drawn alike are. With
scores :math:`s_{ki}` (errors) of :math:`N_k` structures of each of K calibration molecules, the
bound is the quantile

.. math:: Q_{1-\alpha}\Big(\sum_k \sum_i \frac{\delta_{s_{ki}}}{(K+1) N_k}
          + \frac{\delta_\infty}{K+1}\Big)

and holds for a structure of a new molecule with probability ≥ 1 − α (Lee, Barber, Willett,
arXiv:2306.06342; Dunn, Wasserman, Ramdas, arXiv:1809.07441). It is infinite where fewer than
⌈1/α⌉ − 1 molecules calibrate it: so few cannot show that one in 1/α is worse.

The promise is for molecules drawn as the calibration's were, and on average over calibrations.
Under a shift there is none: there the coverage that was realised is reported beside it. A bound
scaled by a shift score, error ≤ q·(a + b·(score − c)₊), widens with it; a, b and c, the least
score, are taken from molecules that calibrate nothing, so that the promise stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ...diversity.errors import ConfigurationError, DataError
from ...diversity.randomness import generator
from ..bootstrap import CrossedBootstrap, mean_over_replicates

_ROUNDING = 1e-12


def hierarchical_bound(
    score: np.ndarray, molecule: np.ndarray | None = None, *, alpha: float = 0.1
) -> float:
    """Return what the score of a structure of a new molecule stays below with probability 1 − α.

    Parameters
    ----------
    score : ndarray, shape (n,)
        Of calibration structures, such as errors, eV/Å; finite.
    molecule : ndarray, shape (n,), optional
        Label of each structure's molecule; every structure is its own molecule without.
    alpha : float
        Share that may lie above, in (0, 1).

    Returns
    -------
    float
        Infinite with fewer than ⌈1/α⌉ − 1 molecules.

    Examples
    --------
    >>> hierarchical_bound(np.arange(9.0), alpha=0.1), hierarchical_bound(np.arange(8.0), alpha=0.1)
    (8.0, inf)
    >>> hierarchical_bound(np.array([1.0, 2.0, 4.0, 9.0]), np.array([0, 0, 0, 1]), alpha=0.4)
    9.0
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigurationError(f"alpha is {alpha}; it is a share between 0 and 1.")
    score = np.asarray(score, dtype=np.float64)
    if not np.isfinite(score).all():
        raise DataError("Calibration scores hold NaN or infinity; leave such structures out.")
    if molecule is None:
        molecule = np.arange(len(score))
    if len(molecule) != len(score):
        raise DataError(f"{len(score)} calibration scores with {len(molecule)} molecule labels.")
    _, of, count = np.unique(molecule, return_inverse=True, return_counts=True)
    order = np.argsort(score, kind="stable")
    mass = np.cumsum(1.0 / count[of[order]]) / (len(count) + 1)
    first = np.searchsorted(mass, 1.0 - alpha - _ROUNDING)
    return float(score[order[first]]) if first < len(score) else float("inf")


class ConformalBound(BaseEstimator):
    """Upper bounds on errors of new molecules, the same everywhere or growing with a shift score.

    Parameters
    ----------
    alpha : float
        Share of a new molecule's structures that may lie above, in expectation.
    share_for_scale : float
        With shift scores: share of the calibration molecules that fit the scale and calibrate
        nothing.
    random_state : int
        Draws those molecules.

    Attributes
    ----------
    bound_ : float
        Of the error, eV/Å, or of the error over its scale; may be infinite.
    scale_ : tuple of float
        a > 0, b ≥ 0 and c of the scale a + b·(score − c)₊; (1, 0, 0) without scores.
    n_molecules_ : int
        Molecules that calibrate.

    Examples
    --------
    >>> error = np.linspace(0.01, 0.2, 20)
    >>> float(ConformalBound(alpha=0.1).fit(error).predict(3)[0])
    0.19
    """

    def __init__(
        self, *, alpha: float = 0.1, share_for_scale: float = 0.5, random_state: int = 0
    ) -> None:
        self.alpha = alpha
        self.share_for_scale = share_for_scale
        self.random_state = random_state

    def fit(
        self,
        error: np.ndarray,
        molecule: np.ndarray | None = None,
        *,
        shift: np.ndarray | None = None,
    ) -> "ConformalBound":
        """Calibrate on errors, (n,), of held-out structures whose molecules were not trained on.

        Parameters
        ----------
        error : ndarray, shape (n,)
            Finite, ≥ 0.
        molecule : ndarray, shape (n,), optional
            Labels; every structure is its own molecule without.
        shift : ndarray, shape (n,), optional
            Finite scores, higher = farther out; what the bound is scaled by. Scores that grow
            beyond the hold-out's are of more use here than quantiles, which end at 1.
        """
        error = np.asarray(error, dtype=np.float64)
        molecule = np.arange(len(error)) if molecule is None else np.asarray(molecule)
        calibrates = np.ones(len(error), dtype=bool)
        self.scale_ = (1.0, 0.0, 0.0)
        if shift is not None:
            if not np.isfinite(shift).all():
                raise DataError("Shift scores that scale a bound hold NaN or infinity.")
            names = np.unique(molecule)
            stream = generator(self.random_state, "conformal scale", str(len(names)))
            fitting = stream.permutation(names)[: round(self.share_for_scale * len(names))]
            calibrates = ~np.isin(molecule, fitting)
            self.scale_ = _scale(error[~calibrates], shift[~calibrates], molecule[~calibrates])
        size = self._size(shift, len(error))[calibrates]
        self.bound_ = hierarchical_bound(
            error[calibrates] / size, molecule[calibrates], alpha=self.alpha
        )
        self.n_molecules_ = len(np.unique(molecule[calibrates]))
        return self

    def predict(self, shift: np.ndarray | int) -> np.ndarray:
        """Return bounds, (n,), for structures of these scores (of so many, without scores)."""
        check_is_fitted(self)
        if isinstance(shift, int | np.integer):
            return np.full(int(shift), self.bound_ * self.scale_[0])
        return self.bound_ * self._size(shift, len(shift))

    def _size(self, shift: np.ndarray | None, n: int) -> np.ndarray:
        level, slope, origin = self.scale_
        beyond = 0.0 if shift is None else np.maximum(np.asarray(shift, dtype=float) - origin, 0.0)
        return np.full(n, level) + slope * beyond


@dataclass(frozen=True)
class Coverage:
    """Share of structures whose error was within the bound: systems' shares, averaged."""

    kind: str
    coverage: float
    interval: tuple[float, float]
    """95 %: at each end the wider of a crossed bootstrap over replicates and systems and Clopper
    and Pearson's, which counts systems only."""
    n_systems: int


def realised_coverage(within: np.ndarray, kind: Sequence[str], **bootstrap: int) -> list[Coverage]:
    """Return how often bounds held, for each kind of shift.

    Parameters
    ----------
    within : ndarray, shape (R, S)
        Share of each system's structures within the bound, in each replicate; NaN where unknown.
    kind : sequence of str, length S
        Kind of shift of each system.
    **bootstrap
        ``n_resamples`` and ``random_state`` of :class:`.bootstrap.CrossedBootstrap`.

    Examples
    --------
    >>> found = realised_coverage(np.array([[1.0, 1.0, 0.0]]), ["near", "near", "far"])
    >>> [(c.kind, c.coverage, c.n_systems) for c in found]
    [('near', 1.0, 2), ('far', 0.0, 1)]
    """
    labels = np.asarray(kind, dtype=str)
    if len(labels) != within.shape[1]:
        raise DataError(f"{within.shape[1]} systems with {len(labels)} kinds of shift.")
    crossed = CrossedBootstrap(**bootstrap)
    found = []
    for name in dict.fromkeys(labels.tolist()):
        table = within[:, labels == name]
        table = table[:, np.isfinite(table).any(axis=0)]
        n, mean = table.shape[1], mean_over_replicates(table)
        if n == 0:
            found.append(Coverage(name, float("nan"), (float("nan"), float("nan")), 0))
            continue
        # A share between none and all varies less than a coin of the same mean.
        lower = stats.beta.ppf(0.025, mean * n, n - mean * n + 1) if mean > 0.0 else 0.0
        upper = stats.beta.ppf(0.975, mean * n + 1, n - mean * n) if mean < 1.0 else 1.0
        drawn = crossed.interval(table, positive=False)
        if np.isfinite(drawn).all():
            lower, upper = min(lower, max(drawn[0], 0.0)), max(upper, min(drawn[1], 1.0))
        found.append(Coverage(name, mean, (float(lower), float(upper)), n))
    return found


def _scale(
    error: np.ndarray, shift: np.ndarray, molecule: np.ndarray
) -> tuple[float, float, float]:
    """Return level, slope and origin that fit the error, each molecule counting once."""
    if not len(error):
        return 1.0, 0.0, 0.0
    _, of, count = np.unique(molecule, return_inverse=True, return_counts=True)
    root = np.sqrt(1.0 / count[of])
    origin = float(np.min(shift))
    columns = np.stack([np.ones(len(error)), np.asarray(shift, dtype=float) - origin], axis=1)
    level, slope = optimize.nnls(columns * root[:, None], error * root)[0]
    # No size may be zero: the least score has one too, and a bound of 0 holds nowhere.
    return max(float(level), 1e-3 * float(error.mean()), np.finfo(float).tiny), float(slope), origin
