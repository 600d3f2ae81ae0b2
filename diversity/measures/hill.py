"""Hill numbers: the effective number of kinds, in a sample and in a smaller one drawn from it."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln, logsumexp

from ..errors import ConfigurationError, DataError, ShortageError


def hill_number(counts: np.ndarray, q: float) -> float:
    """Return the effective number of kinds, D = (Σ pᵢ^q)^(1 / (1 − q)).

    It is the number of equally common kinds that are as diverse (Hill 1973,
    doi 10.2307/1934352): q = 0 counts the kinds, q = 1 is the exponential of Shannon's entropy,
    q = 2 the inverse of Simpson's index, q = ∞ the inverse of the commonest kind's share.

    Parameters
    ----------
    counts : array, shape (S,)
        Individuals, or any weight ≥ 0, of each kind. Kinds of weight 0 do not count.
    q : float
        Order, ≥ 0 or infinite: the larger, the less do rare kinds count.

    Returns
    -------
    float
        Between 1 and the number of kinds.

    Raises
    ------
    DataError
        If no weight is above 0, or one is negative, infinite or NaN.
    ConfigurationError
        If the order is negative or NaN.

    Examples
    --------
    >>> [round(hill_number([4, 4, 4, 4], q), 6) for q in (0, 1, 2)]
    [4.0, 4.0, 4.0]
    >>> hill_number([3, 1, 0], 0), hill_number([3, 1, 0], 2)
    (2.0, 1.6)
    """
    weights = np.asarray(counts, dtype=np.float64).ravel()
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise DataError(
            "A Hill number needs counts that are finite, not negative and not all zero; got "
            f"{weights.size} of them with sum {weights.sum()}."
        )
    _check_order(q)
    weights = weights[weights > 0]
    if q == 0:
        return float(len(weights))
    # Divided by the largest first: a sum of weights may overflow, and a weight of 1e-310 vanish.
    log_share = np.log(weights / weights.max())
    log_share -= logsumexp(log_share)
    return _effective_number(log_share, np.zeros(len(log_share)), q)


def rarefied_hill(counts: np.ndarray, size: int, q: float, *, units: int | None = None) -> float:
    """Return the Hill number to expect of `size` individuals drawn without replacement.

    Samples of different sizes compare at the size of the smallest. By Chao et al. 2014
    (doi 10.1890/13-0133.1, eqs. 4 and 5): the Hill number of the expected numbers f_k of kinds
    that k drawn individuals are of, where k follows the hypergeometric distribution. For q = 0
    that is the expected number of kinds. With `units` it is the same paper's form for incidence,
    where what is drawn may be of several kinds: molecules with their rings. Time and memory grow
    with the counts that differ, and never beyond the number of individuals.

    Parameters
    ----------
    counts : array of int, shape (S,)
        Individuals of each kind; with `units`, how many of these are of each kind.
    size : int
        Individuals or units drawn, from 1 to all.
    q : float
        Order, ≥ 0 and finite.
    units : int, optional
        Number of sampling units, each of any number of kinds.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If counts are no whole numbers ≥ 0, are all zero, or exceed `units`.
    ShortageError
        If there are fewer individuals or units than `size`.
    ConfigurationError
        If the order is negative or infinite, or the size below 1.

    Examples
    --------
    Of two individuals from two pairs, the second is of the other kind two times in three.

    >>> round(rarefied_hill([2, 2], 2, 0), 6)
    1.666667
    """
    given = np.asarray(counts).ravel()
    if not (np.isfinite(given).all() and (given >= 0).all() and (given == np.rint(given)).all()):
        raise DataError("Rarefaction counts individuals: give whole numbers ≥ 0.")
    individuals = given[given > 0].astype(np.int64)
    if not len(individuals):
        raise DataError("There is nothing to rarefy: all counts are zero.")
    total = int(individuals.sum())
    n = total if units is None else units
    if individuals.max() > n:
        raise DataError(f"A kind was counted in {individuals.max()} of {n} units.")
    _check_order(q)
    if math.isinf(q):
        # The formula would answer by the luckiest draw alone.
        raise ConfigurationError("Rarefaction takes orders below infinity; use q = 0, 1 or 2.")
    if size < 1:
        raise ConfigurationError(f"The size to rarefy to must be 1 or more, not {size}.")
    if size > n:
        raise ShortageError(f"Cannot rarefy a sample of {n} to {size}: lower the size to {n}.")
    # What `size` draws have on average: that many individuals, or their units' share of kinds.
    drawn = size * total / n
    log_shares, log_weights = [], []
    for count, kinds in zip(*np.unique(individuals, return_counts=True), strict=True):
        k = np.arange(max(1, size - (n - count)), min(count, size) + 1)
        log_shares.append(np.log(k / drawn))
        log_weights.append(
            np.log(kinds)
            + _log_choose(count, k)
            + _log_choose(n - count, size - k)
            - _log_choose(n, size)
        )
    return _effective_number(np.concatenate(log_shares), np.concatenate(log_weights), q)


def _check_order(q: float) -> None:
    if not q >= 0:
        raise ConfigurationError(f"The order q of a Hill number must be 0 or more, not {q}.")


def _effective_number(log_share: np.ndarray, log_weight: np.ndarray, q: float) -> float:
    """Return (Σ w p^q)^(1 / (1 − q)) of kinds with shares p, of each of which there are w."""
    if math.isinf(q):
        return math.exp(-log_share.max())
    if abs(q - 1.0) > 0.5:
        return math.exp(logsumexp(q * log_share + log_weight) / (1.0 - q))
    # Σ w p^q = 1 + Σ w p (p^(q−1) − 1), which keeps its digits as q nears 1.
    mass = np.exp(log_share + log_weight)
    if q == 1.0:
        return math.exp(-(mass * log_share).sum())
    return math.exp(np.log1p((mass * np.expm1((q - 1.0) * log_share)).sum()) / (1.0 - q))


def _log_choose(n: np.ndarray | int, k: np.ndarray | int) -> np.ndarray:
    return gammaln(np.add(n, 1.0)) - gammaln(np.add(k, 1.0)) - gammaln(np.subtract(n, k) + 1.0)
