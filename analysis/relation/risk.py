"""Does a shift score tell which predictions to leave alone? Failures found, and risk by coverage.

A *failure* is a system whose error is above the 95th percentile of the errors on the model's own
in-distribution hold-out. AUROC is the probability that a failure has the greater score than a
system that is none (ties count half).

The *risk–coverage curve* keeps the systems with the lowest scores first: the mean error among the
share kept. Systems of equal score are kept in random order, in expectation. Its area (AURC) lies
between that of an oracle, which orders by the error itself, and the mean error, where a random
order stands (Geifman, Uziel, El-Yaniv, arXiv:1805.08206). Areas are those of the continuous curve,
∫₀¹ risk(c) dc with a part of a system kept where c·n is no whole number.

All are within one model, then averaged over replicates; intervals are of the crossed bootstrap over
replicates and systems, see :mod:`.bootstrap`. Of 95 % intervals 91–99 % held the truth for made-up
systems with heavy-tailed errors; fewest where a score says nothing and there is one replicate
(slow tests in ``tests/analysis/test_risk.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..bootstrap import IDENTITY, CrossedBootstrap, Link, log_odds
from .ranks import weighted_ranks

#: Fewest failures, and fewest systems that are none, for an AUROC.
FEWEST_OF_EACH = 5
#: Weights of systems in memory at a time where units of many are resampled.
_WEIGHTS = 500_000
FAILURE_QUANTILE = 0.95
"""Errors above this quantile of the in-distribution hold-out's are failures."""


@dataclass(frozen=True)
class Detection:
    """How well M scores tell failures from the rest; NaN with fewer than five of either."""

    auroc: np.ndarray
    """(M,)"""
    interval: np.ndarray
    """(M, 2), 95 %."""
    n_failures: np.ndarray
    """(R,), of the systems in each replicate."""


@dataclass(frozen=True)
class RiskCoverage:
    """Mean error among the systems kept, by M scores."""

    kept: np.ndarray
    """(K,), shares of systems kept."""
    risk: np.ndarray
    """(M, K)"""
    oracle: np.ndarray
    """(K,), risk if systems were ordered by their error."""
    area: np.ndarray
    """(M,), AURC."""
    oracle_area: float
    random_area: float
    """The mean error."""
    won: np.ndarray
    """(M,), (random − area)/(random − oracle): 1 for the oracle, 0 for a random order."""
    won_interval: np.ndarray
    """(M, 2), 95 %."""


def failure_threshold(hold_out_error: np.ndarray) -> np.ndarray:
    """Return the error above which a system is a failure, (R,), from the hold-out's (R, H).

    NaN where a replicate knows fewer than 20 systems: no 95th percentile stands on fewer.
    """
    fewest = round(1.0 / (1.0 - FAILURE_QUANTILE))
    threshold = np.full(len(hold_out_error), np.nan)
    for r, row in enumerate(hold_out_error):
        known = row[np.isfinite(row)]
        if len(known) >= fewest:
            threshold[r] = np.quantile(known, FAILURE_QUANTILE)
    return threshold


def detect_failures(
    score: np.ndarray,
    failed: np.ndarray,
    *,
    unit: np.ndarray | None = None,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> Detection:
    """Measure by AUROC whether higher scores go with failures.

    Parameters
    ----------
    score : ndarray, shape (R, S, M)
        Finite.
    failed : ndarray of bool, shape (R, S)
        Replicates with fewer than five failures, or five systems that are none, are left out.
    unit : ndarray of int, shape (S,), optional
        What is resampled whole, from 0: atoms of one block of frames are not independent. Each
        system by itself without.

    Examples
    --------
    >>> score = np.arange(40.0).reshape(1, 40, 1)
    >>> float(detect_failures(score, score[..., 0] > 29, n_resamples=50).auroc[0])
    1.0
    """
    n_failures = failed.sum(axis=1)
    n = failed.shape[1]
    usable = np.minimum(n_failures, n - n_failures) >= FEWEST_OF_EACH
    n_scores = score.shape[2]
    if not usable.any():
        unknown = np.full(n_scores, np.nan)
        return Detection(unknown, np.full((n_scores, 2), np.nan), n_failures)
    rows = np.flatnonzero(usable)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.stack([_auroc(score[r], failed[r], weights) for r in rows], axis=1)

    auroc = statistic(np.ones((1, n)))[0].mean(axis=0)
    positive = n_failures[rows].mean()
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    least = 0.5 / (positive * (n - positive))  # half of the least step from one
    interval = bounds_by_unit(bootstrap, statistic, n, unit, link=log_odds(least))
    # Resamples of perfect order have no spread; of m failures in order Clopper and Pearson's has.
    if unit is None:
        fewest = min(positive, n - positive)
    else:
        held = [len(np.unique(unit[np.any(f, axis=0)])) for f in (failed[rows], ~failed[rows])]
        fewest = min(held)
    edge = 0.025 ** (1.0 / fewest)
    interval[auroc == 1.0] = edge, 1.0
    interval[auroc == 0.0] = 0.0, 1.0 - edge
    return Detection(auroc, interval, n_failures)


def risk_by_coverage(
    score: np.ndarray,
    error: np.ndarray,
    *,
    kept: np.ndarray | None = None,
    unit: np.ndarray | None = None,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> RiskCoverage:
    """Measure the error that is left if systems of high score are left out.

    Parameters
    ----------
    score : ndarray, shape (R, S, M)
        Finite; the lowest are kept first.
    error : ndarray, shape (R, S)
        Finite.
    kept : ndarray, shape (K,), optional
        Shares of systems kept, in (0, 1]; twenty even ones without.
    unit : ndarray of int, shape (S,), optional
        As of `detect_failures`.

    Examples
    --------
    >>> error = np.array([[1.0, 2.0, 3.0, 6.0]])
    >>> curve = risk_by_coverage(-error[..., None], error, kept=np.array([0.25, 0.5, 1.0]))
    >>> curve.risk, curve.oracle, curve.random_area
    (array([[6. , 4.5, 3. ]]), array([1. , 1.5, 3. ]), 3.0)
    """
    kept = np.arange(1, 21) / 20 if kept is None else kept
    n_replicates, n, n_scores = score.shape
    ordered = np.concatenate([score, error[..., None]], axis=2)  # the oracle's score comes last

    def areas(weights: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                np.stack([_area(s, e, weights) for s in scores.T], axis=1)
                for scores, e in zip(ordered, error, strict=True)
            ],
            axis=1,
        )

    def won(weights: np.ndarray) -> np.ndarray:
        by_score = areas(weights)
        random = (weights @ error.T / weights.sum(axis=1)[:, None])[..., None]
        possible = random - by_score[..., -1:]
        possible = np.where(possible > 1e-12 * np.abs(random), possible, np.nan)
        return (random - by_score[..., :-1]) / possible

    area = areas(np.ones((1, n)))[0].mean(axis=0)
    risk = np.array(
        [
            np.mean([_curve(ordered[r, :, m], error[r], kept) for r in range(n_replicates)], axis=0)
            for m in range(n_scores + 1)
        ]
    )
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    interval = bounds_by_unit(bootstrap, won, n, unit, link=IDENTITY)
    return RiskCoverage(
        kept=kept,
        risk=risk[:-1],
        oracle=risk[-1],
        area=area[:-1],
        oracle_area=float(area[-1]),
        random_area=float(error.mean()),
        won=won(np.ones((1, n)))[0].mean(axis=0),
        won_interval=np.minimum(interval, 1.0),
    )


def bounds_by_unit(
    bootstrap: CrossedBootstrap,
    statistic: Callable[[np.ndarray], np.ndarray],
    n_systems: int,
    unit: np.ndarray | None,
    *,
    link: Link,
    least_variance: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return :meth:`CrossedBootstrap.bounds` with systems resampled in whole units.

    Parameters
    ----------
    statistic : callable
        From weights of systems, (B, S), to values (B, R, K).
    unit : ndarray of int, shape (S,), or None
        See `detect_failures`.
    """
    if unit is None:
        return bootstrap.bounds(statistic, n_systems, link=link, least_variance=least_variance)
    of, at_once = np.asarray(unit), max(1, _WEIGHTS // n_systems)

    def by_unit(weights: np.ndarray) -> np.ndarray:
        parts = range(0, len(weights), at_once)
        return np.concatenate([statistic(weights[b : b + at_once][:, of]) for b in parts])

    return bootstrap.bounds(by_unit, int(of.max()) + 1, link=link, least_variance=least_variance)


def _auroc(score: np.ndarray, failed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return AUROC (B, M) of scores (S, M) under weights (B, S); NaN without both classes."""
    positive, negative = weights * failed, weights * ~failed
    below = np.stack([weighted_ranks(column, negative) for column in score.T], axis=-1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    wins = (below * positive[..., None]).sum(axis=1)
    missing = np.full(wins.shape, np.nan)
    return np.divide(wins, pairs[:, None], out=missing, where=pairs[:, None] > 0)


def _steps(
    score: np.ndarray, error: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return cumulated weight and weighted error, (B, G + 1) from 0, after each tie of scores."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    order, first = np.argsort(place, kind="stable"), np.cumsum(count) - count
    mass, loss = (
        np.pad(np.cumsum(np.add.reduceat(w[:, order], first, axis=1), axis=1), ((0, 0), (1, 0)))
        for w in (weights, weights * error)
    )
    return mass, loss


def _area(score: np.ndarray, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return AURC (B,) of one score (S,) under weights (B, S), in closed form.

    Between two ties of scores loss grows evenly with mass at the tie's mean ē, so that
    ∫ (l + (t − m) ē)/t dt = Δm ē + (l − m ē) ln((m + Δm)/m).
    """
    mass, loss = _steps(score, error, weights)
    step = np.diff(mass, axis=1)
    start = mass[:, :-1]
    mean = np.divide(np.diff(loss, axis=1), step, out=np.zeros_like(step), where=step > 0)
    ratio = np.divide(mass[:, 1:], start, out=np.ones_like(step), where=start > 0)
    return (step * mean + (loss[:, :-1] - start * mean) * np.log(ratio)).sum(axis=1) / mass[:, -1]


def _curve(score: np.ndarray, error: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the mean error, (K,), among the shares kept."""
    mass, loss = _steps(score, error, np.ones((1, len(error))))
    count = kept * len(error)
    return np.interp(count, mass[0], loss[0]) / count
