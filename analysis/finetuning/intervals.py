"""Intervals over replicates of the dynamics, and over frames where all replicates share them.

On a set that all replicates are tested on, replicates and blocks of contiguous frames are resampled
together (:class:`breadth.analysis.bootstrap.CrossedBootstrap`). A run belongs to its replicate
alone: what its frames make of chance is part of the spread between replicates, and the interval is
Student's over these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from ..bootstrap import IDENTITY, CrossedBootstrap, Link, logarithm

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """A quantity of one replicate: Σ over frames of a numerator ÷ Σ of a denominator, or its root.

    Attributes
    ----------
    numerator, denominator : ndarray, shape (n,)
        Of every frame.
    block : ndarray of int, shape (n,)
        The part of the test set that a frame belongs to.
    root : bool
        The quantity is the square root of the ratio.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    block: np.ndarray
    root: bool = False

    def value(self) -> float:
        """Return the quantity."""
        return float(self._of(self.numerator.sum(), self.denominator.sum()))

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """Return the quantity under weights of blocks, (B, n_blocks) → (B,)."""
        sums = [
            np.bincount(self.block, weights=x, minlength=weights.shape[1])
            for x in (self.numerator, self.denominator)
        ]
        return self._of(weights @ sums[0], weights @ sums[1])

    def _of(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        missing = np.full(np.shape(numerator), np.nan)
        ratio = np.divide(numerator, denominator, out=missing, where=denominator > 0)
        return np.sqrt(ratio) if self.root else ratio


def interval(
    replicates: Sequence[Ratio],
    *,
    shared: bool,
    positive: bool,
    bootstrap: CrossedBootstrap,
    against: Sequence[Ratio] = (),
) -> tuple[float, float]:
    """Return the bounds of a 95 % interval for the mean over replicates.

    Parameters
    ----------
    replicates : sequence of Ratio
        One for each.
    shared : bool
        All were tested on the same frames.
    positive : bool
        The quantity cannot be negative: the interval is of its logarithm.
    bootstrap : CrossedBootstrap
    against : sequence of Ratio, optional
        Of the same replicates and frames or runs, in the same order: the interval is that of the
        paired difference.

    Returns
    -------
    lower, upper : float
        NaN where one cannot be had: fewer than two replicates with runs of their own, or a shared
        set of one block.
    """
    values = np.array([r.value() for r in replicates])
    if against:
        values = values - [r.value() for r in against]
    if not len(values) or not np.isfinite(values).all():
        return float("nan"), float("nan")
    if not values.any():
        return 0.0, 0.0
    link = logarithm(1e-12 * float(values.mean())) if positive and not against else IDENTITY
    if not shared:
        return _student(values, link)
    # Blocks without a frame are none: they would pass for more independent parts than there are.
    blocks = np.unique(np.concatenate([r.block for r in (*replicates, *against)]))
    ours, theirs = (
        [replace(r, block=np.searchsorted(blocks, r.block)) for r in of]
        for of in (replicates, against)
    )

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = np.stack([r.resampled(weights) for r in ours], axis=1)
        if theirs:
            found -= np.stack([r.resampled(weights) for r in theirs], axis=1)
        return found[..., None]

    lower, upper = bootstrap.bounds(statistic, len(blocks), link=link)[0]
    return float(lower), float(upper)


def _student(values: np.ndarray, link: Link) -> tuple[float, float]:
    n = len(values)
    if n < 2:
        return float("nan"), float("nan")
    centre = values.mean(keepdims=True)
    quantile = special.stdtrit(n - 1, (1.0 + CONFIDENCE) / 2.0)
    half = quantile * values.std(ddof=1) / n**0.5
    half = half * link.slope(centre)
    lower, upper = link.inverse(link.forward(centre) + np.array([-half[0], half[0]]))
    return float(lower), float(upper)
