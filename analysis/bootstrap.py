"""Intervals for means over replicates × test molecules: a crossed bootstrap.

Two things were drawn at random: the replicate (its molecules, conformers, initialisation and order
of data) and the test molecules. Both are resampled, independently and as whole rows and columns
(Owen, *The pigeonhole bootstrap*, Ann. Appl. Stat. 1, 386 (2007)). A bootstrap over three
replicates is far too narrow on its own, and one over cells counts their interaction three times;
so the interval is rescaled about the mean to the width of Student's t with the variance of the
two-way layout and Satterthwaite's degrees of freedom; its asymmetry stays the bootstrap's. How
often such intervals hold the truth is checked in ``tests/analysis/test_bootstrap.py``.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

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


@dataclass(frozen=True)
class Link:
    """A scale for a statistic: a function, its inverse, and its slope at a value."""

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


IDENTITY = Link(lambda x: x, lambda x: x, np.ones_like)


def logarithm(floor: float) -> Link:
    """Return the scale of logarithms, for what can only be positive; lesser values are `floor`."""
    return Link(lambda x: np.log(np.maximum(x, floor)), np.exp, lambda x: 1.0 / x)


def fisher(most: float) -> Link:
    """Return Fisher's scale for correlations; none is taken as stronger than `most`."""
    return Link(
        lambda x: np.arctanh(np.clip(x, -most, most)),
        np.tanh,
        lambda x: 1.0 / (1.0 - np.clip(x, -most, most) ** 2),
    )


def log_odds(least: float) -> Link:
    """Return the scale of log odds, for shares; none is taken nearer to 0 or 1 than `least`."""

    def inside(x: np.ndarray) -> np.ndarray:
        return np.clip(x, least, 1.0 - least)

    return Link(
        lambda x: special.logit(inside(x)),
        special.expit,
        lambda x: 1.0 / (inside(x) * (1.0 - inside(x))),
    )


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
        if min(table.shape) < 2:
            return float("nan"), float("nan")
        present = np.isfinite(table)
        filled, share = np.where(present, table, 0.0), present.astype(float)

        def means(weights: np.ndarray) -> np.ndarray:
            weight = weights @ share.T
            # A small test set of one replicate can be missed by a resample.
            mean = np.full(weight.shape, np.nan)
            return np.divide(weights @ filled.T, weight, out=mean, where=weight > 0)[..., None]

        link = IDENTITY
        if positive:
            point = mean_over_replicates(table)
            if point == 0.0:
                return 0.0, 0.0
            # A resample can only be exactly zero where nearly all errors are; the floor keeps logs.
            link = logarithm(1e-12 * point)
        lower, upper = self.bounds(means, table.shape[1], link=link)[0]
        return float(lower), float(upper)

    def bounds(
        self,
        statistic: Callable[[np.ndarray], np.ndarray],
        n_molecules: int,
        *,
        link: Link,
        least_variance: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        """Return bounds for the mean over replicates of any statistic over molecules.

        Parameters
        ----------
        statistic : callable
            From weights of molecules, (B, M), to values (B, R, K): of K statistics in each of R
            replicates; NaN where one cannot be had.
        n_molecules : int
            M.
        link : Link
            The scale on which deviations are about as wide above as below.
        least_variance : ndarray, shape (K,), or float
            On that scale: what chance in the molecules adds at the least. A bootstrap knows
            nothing of molecules that a perfect statistic has not met.

        Returns
        -------
        ndarray, shape (K, 2)
            With one replicate only the molecules count: the interval is that replicate's. NaN for
            fewer than two molecules, or where the statistic is unknown.
        """
        values = statistic(np.ones((1, n_molecules)))[0]
        n_replicates = np.isfinite(values).sum(axis=0)
        point = _present_mean(values, 0)
        bounds = np.full((values.shape[1], 2), np.nan)
        if n_molecules < 2:
            return bounds
        drawn = statistic(self._weights("molecule", n_molecules))
        replicates = self._weights("replicate", len(values))[..., None]
        centre = link.forward(point)
        of_molecules = link.forward(_present_mean(drawn, 1)) - centre
        crossed = link.forward(_present_mean(drawn, 1, replicates)) - centre
        spread = np.where(np.isfinite(values), values - point, 0.0)
        by_replicate = (spread**2).sum(axis=0) / np.maximum(n_replicates - 1, 1)
        by_replicate = by_replicate / np.maximum(n_replicates, 1) * link.slope(point) ** 2
        tail = (1.0 - self.confidence) / 2.0
        for k in np.flatnonzero(np.isfinite(centre)):
            usable = np.isfinite(of_molecules[:, k]), np.isfinite(crossed[:, k])
            if not (usable[0].any() and usable[1].any()):
                continue
            by_molecule = of_molecules[usable[0], k].var() * n_molecules / (n_molecules - 1)
            by_molecule = max(by_molecule, np.broadcast_to(least_variance, bounds.shape[:1])[k])
            total = by_replicate[k] + by_molecule
            ends = np.quantile(crossed[usable[1], k], [tail, 1.0 - tail])
            if total == 0.0:
                bounds[k] = point[k]
                continue
            freedom = total**2 / (
                by_replicate[k] ** 2 / max(n_replicates[k] - 1, 1)
                + by_molecule**2 / (n_molecules - 1)
            )
            half = float(stats.t.isf(tail, freedom)) * total**0.5
            # Without a spread to keep the asymmetry of, the interval is symmetric.
            ends = ends * 2.0 * half / (ends[1] - ends[0]) if np.ptp(ends) else half * np.r_[-1, 1]
            bounds[k] = link.inverse(centre[k] + ends)
        return bounds

    def _weights(self, what: str, n: int) -> np.ndarray:
        """Return how often each of n is drawn in each resample, (B, n)."""
        return _drawn(self.random_state, self.n_resamples, what, n)


@functools.lru_cache(maxsize=64)
def _drawn(random_state: int, n_resamples: int, what: str, n: int) -> np.ndarray:
    stream = seed_sequence(random_state, "crossed bootstrap", what, str(n))
    drawn = np.random.default_rng(stream).multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    weights = drawn.astype(float)
    weights.flags.writeable = False  # all intervals share it
    return weights


def _present_mean(values: np.ndarray, axis: int, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Average what is not NaN under weights that broadcast; NaN where nothing is left."""
    weight = np.isfinite(values) * weights
    total = (np.where(np.isfinite(values), values, 0.0) * weights).sum(axis=axis)
    count = weight.sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
