"""Ranks under weights, rank correlations and partial ones, and what chance makes of them.

Weights count how often a system was drawn in a resample, so that a bootstrap of ranks needs no
sorting: ties are shared at the middle, as everywhere.
"""

import numpy as np
from scipy import stats

from ...diversity.errors import ConfigurationError

#: Variance, as a share of what it was, below which covariates have explained all of a column.
_EXPLAINED = 1e-9


def weighted_ranks(column: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the middle ranks of values, (S,), under weights, (B, S): the mass below each value.

    Half of the mass at a value counts as below it, so that ranks under unit weights are the usual
    ones less one half.

    Examples
    --------
    >>> weighted_ranks(np.array([5.0, 1.0, 5.0]), np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]]))
    array([[2. , 0.5, 2. ],
           [2.5, 1. , 2.5]])
    """
    _, place, count = np.unique(column, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    mass = np.add.reduceat(weights[:, order], np.cumsum(count) - count, axis=1)
    return (np.cumsum(mass, axis=1) - mass / 2.0)[:, place]


def rank_correlation(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, given: np.ndarray | None = None
) -> np.ndarray:
    """Return Spearman's ρ of every column of x with every column of y, under weights.

    With covariates the partial one: the correlation of what is left of the ranks of x and y after
    a linear regression on the ranks of the covariates.

    Parameters
    ----------
    x : ndarray, shape (S, M)
    y : ndarray, shape (S, T)
    weights : ndarray, shape (B, S)
    given : ndarray, shape (S, C), optional
        Covariates.

    Returns
    -------
    ndarray, shape (B, M, T)
        NaN where a column is constant, or is one that the covariates explain wholly.
    """
    columns = np.hstack([x, y] if given is None else [x, y, given])
    ranks = np.stack([weighted_ranks(column, weights) for column in columns.T], axis=1)
    ranks -= weights.sum(axis=1)[:, None, None] / 2.0
    moments = (ranks * weights[:, None, :]) @ ranks.swapaxes(1, 2)
    n_x, n_free = x.shape[1], x.shape[1] + y.shape[1]
    free, first = moments[:, :n_free, :n_free], moments[:, range(n_free), range(n_free)]
    if given is not None:
        cross = moments[:, :n_free, n_free:]
        inverse = np.linalg.pinv(moments[:, n_free:, n_free:], rcond=1e-10, hermitian=True)
        free = free - cross @ inverse @ cross.swapaxes(1, 2)
    left = free[:, range(n_free), range(n_free)]
    left = np.sqrt(np.where(left > _EXPLAINED * first, left, np.nan))
    rho = free[:, :n_x, n_x:] / (left[:, :n_x, None] * left[:, None, n_x:])
    return np.clip(rho, -1.0, 1.0)


def permutation_p_values(
    x: np.ndarray,
    y: np.ndarray,
    stream: np.random.Generator,
    *,
    given: np.ndarray | None = None,
    n_permutations: int = 1000,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often ranks that have nothing to do with each other correlate so strongly.

    The systems of y are shuffled, alike in all replicates, and |ρ|, the mean over replicates, is
    compared with its value. With covariates, what these leave of the ranks of y is shuffled, and
    whatever they explain of the shuffled ranks is removed again (Freedman and Lane, J. Bus. Econ.
    Stat. 1, 292 (1983)).

    Parameters
    ----------
    x : ndarray, shape (R, S, M)
    y : ndarray, shape (R, S, T)
    stream : Generator
    given : ndarray, shape (R, S, C), optional
    n_permutations : int

    Returns
    -------
    p_value : ndarray, shape (M, T)
        Two-sided; NaN for a constant column. Never below 1/(n_permutations + 1).
    best : ndarray, shape (T,)
        Of the greatest |ρ| among all columns of x: the best of many looks good by chance.
    """
    n_replicates, n, n_x = x.shape
    n_y = y.shape[2]
    order = stream.permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)
    observed, shuffled = np.zeros((n_x, n_y)), np.zeros((n_permutations, n_x, n_y))
    for r in range(n_replicates):
        covariates = np.ones((n, 1))
        if given is not None:
            covariates = np.hstack([covariates, stats.rankdata(given[r], axis=0)])
        u, size, _ = np.linalg.svd(covariates, full_matrices=False)
        basis = u[:, size > 1e-10 * size[0]]
        a, b = (_left(stats.rankdata(z[r], axis=0), basis) for z in (x, y))
        observed += a.T @ b / n_replicates
        for t in range(n_y):
            drawn = b[order, t]
            norm = 1.0 - ((drawn @ basis) ** 2).sum(axis=1)
            shuffled[:, :, t] += drawn @ a / (np.sqrt(norm)[:, None] * n_replicates)
    strength = np.abs(observed) - 1e-9
    p_value = (1 + (np.abs(shuffled) > strength).sum(axis=0)) / (n_permutations + 1)
    p_value = np.where(np.isfinite(observed), p_value, np.nan)
    known = np.isfinite(strength)
    greatest = np.where(known, np.abs(shuffled), -1.0).max(axis=1)
    best = (1 + (greatest > np.where(known, strength, -1.0).max(axis=0)).sum(axis=0)) / (
        n_permutations + 1
    )
    return p_value, np.where(known.any(axis=0), best, np.nan)


def correct(p_value: np.ndarray, method: str = "holm") -> np.ndarray:
    """Return p-values corrected for their number.

    Parameters
    ----------
    p_value : ndarray, any shape
        NaN: no test was made, and none is counted.
    method : {"holm", "benjamini_hochberg"}
        Holm's bounds the chance of one false discovery or more, Benjamini and Hochberg's the share
        of false ones among the discoveries (under independence or positive dependence).

    Examples
    --------
    >>> correct(np.array([0.01, 0.04, np.nan, 0.03]))
    array([0.03, 0.06,  nan, 0.06])
    >>> correct(np.array([0.01, 0.04, np.nan, 0.03]), "benjamini_hochberg")
    array([0.03, 0.04,  nan, 0.04])
    """
    corrected = np.full(p_value.shape, np.nan)
    known = np.isfinite(p_value)
    values = p_value[known]
    if method == "benjamini_hochberg":
        corrected[known] = stats.false_discovery_control(values) if values.size else values
        return corrected
    if method != "holm":
        raise ConfigurationError(f"Correction {method!r}: it is 'holm' or 'benjamini_hochberg'.")
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    corrected[known] = adjusted
    return corrected


def _left(ranks: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return unit columns of ranks (S, K) with a basis removed; NaN where nothing is left."""
    centred = ranks - ranks.mean(axis=0)
    left = centred - basis @ (basis.T @ centred)
    norm, whole = (left**2).sum(axis=0), (centred**2).sum(axis=0)
    return left / np.sqrt(np.where(norm > _EXPLAINED * whole, norm, np.nan))
