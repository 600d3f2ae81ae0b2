"""Intervals for means over replicates × test molecules: a crossed bootstrap.

Two things were drawn at random: the replicate (its molecules, conformers, initialisation and order
of data) and the test molecules. Both are resampled, independently and as whole rows and columns
(Owen, *The pigeonhole bootstrap*, Ann. Appl. Stat. 1, 386 (2007)). A bootstrap over three
replicates is far too narrow on its own, and one over cells counts their interaction three times;
so the interval is rescaled about the mean to the width of Student's t with the variance of the
two-way layout and Satterthwaite's degrees of freedom; its asymmetry stays the bootstrap's. How
often such intervals hold the truth is checked in ``tests/analysis/test_bootstrap.py``.
"""

import numpy as np
from scipy import stats

from ..diversity.randomness import seed_sequence


def mean_over_replicates(table: np.ndarray) -> float:
    """Average a (replicate, molecule) table over molecules, then over replicates.

    NaN marks a molecule outside the test set of a replicate. NaN if nothing is left.

    >>> mean_over_replicates(np.array([[1.0, 3.0, np.nan], [5.0, np.nan, np.nan]]))
    3.5
    """
    present = np.isfinite(table)
    rows = present.any(axis=1)
    if not rows.any():
        return float("nan")
    sums = np.where(present, table, 0.0)[rows].sum(axis=1)
    return float(np.mean(sums / present[rows].sum(axis=1)))


class CrossedBootstrap:
    """Resample replicates and molecules, and give intervals for means over both.

    Parameters
    ----------
    n_resamples : int
        Resampled means per interval.
    confidence : float
        Probability that an interval is meant to hold the truth.
    random_state : int
        Root of the random stream. Tables of equal shape are resampled alike.
    """

    def __init__(
        self, *, n_resamples: int = 1000, confidence: float = 0.95, random_state: int = 0
    ) -> None:
        self.n_resamples = n_resamples
        self.confidence = confidence
        self.random_state = random_state
        self._drawn: dict[tuple[str, int], np.ndarray] = {}

    def interval(self, table: np.ndarray, *, positive: bool) -> tuple[float, float]:
        """Return the lower and upper bound for the mean of a (replicate, molecule) table.

        Parameters
        ----------
        table : ndarray, shape (R, M)
            NaN where the molecule is not in the test set of the replicate.
        positive : bool
            The mean can only be positive (an error, not a difference): its logarithm is
            bootstrapped, so that no bound falls below zero.

        Returns
        -------
        lower, upper : float
            NaN with fewer than two replicates or two molecules: one draw has no spread.
        """
        present = np.isfinite(table)
        table = table[np.ix_(present.any(axis=1), present.any(axis=0))]
        present = np.isfinite(table)
        n_replicates, n_molecules = table.shape
        if n_replicates < 2 or n_molecules < 2:
            return float("nan"), float("nan")
        filled = np.where(present, table, 0.0)
        means = filled.sum(axis=1) / present.sum(axis=1)
        point = float(means.mean())
        if positive and point == 0.0:
            return 0.0, 0.0
        of_molecules, crossed = self._resample(filled, present)
        if positive:  # deviations of the logarithm
            # A resample can only be exactly zero where nearly all errors are; the floor keeps logs.
            floor = 1e-12 * point
            of_molecules, crossed = (
                np.log(np.maximum(x, floor) / point) for x in (of_molecules, crossed)
            )
            means = means / point
        else:
            crossed = crossed - point

        by_replicate = means.var(ddof=1) / n_replicates
        by_molecule = of_molecules.var() * n_molecules / (n_molecules - 1)
        tail = (1.0 - self.confidence) / 2.0
        lower, upper = np.quantile(crossed, [tail, 1.0 - tail])
        total = by_replicate + by_molecule
        if total == 0.0 or lower == upper:
            return point, point
        freedom = total**2 / (
            by_replicate**2 / (n_replicates - 1) + by_molecule**2 / (n_molecules - 1)
        )
        scale = 2.0 * float(stats.t.isf(tail, freedom)) * total**0.5 / (upper - lower)
        lower, upper = scale * lower, scale * upper
        if positive:
            return float(point * np.exp(lower)), float(point * np.exp(upper))
        return float(point + lower), float(point + upper)

    def _resample(self, filled: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means (B,) under resampled molecules alone and under both resampled."""
        n_replicates, n_molecules = filled.shape
        molecules = self._weights("molecule", n_molecules)
        replicates = self._weights("replicate", n_replicates)
        weight = molecules @ present.T.astype(float)
        drawn = weight > 0  # a small test set of one replicate can be missed by a resample
        means = (molecules @ filled.T) / np.where(drawn, weight, 1.0)
        both = np.where(drawn, replicates, 0.0)
        usable = both.any(axis=1)
        of_molecules = (means * drawn).sum(axis=1)[usable] / drawn.sum(axis=1)[usable]
        return of_molecules, ((means * both).sum(axis=1)[usable] / both.sum(axis=1)[usable])

    def _weights(self, what: str, n: int) -> np.ndarray:
        """Return how often each of n is drawn in each resample, (B, n)."""
        if (what, n) not in self._drawn:
            stream = seed_sequence(self.random_state, "crossed bootstrap", what, str(n))
            generator = np.random.default_rng(stream)
            drawn = generator.multinomial(n, np.full(n, 1.0 / n), size=self.n_resamples)
            self._drawn[what, n] = drawn.astype(float)
        return self._drawn[what, n]
