"""Limits that Q and T² of rows like the fitted ones stay below, with a given probability."""

from __future__ import annotations

import numpy as np
from scipy import stats


def held_out_quantile(values: np.ndarray, level: float) -> float:
    """Return the least of the values that a share `level` of them does not exceed.

    With one added for the row to come: of n values the ⌈(n + 1) level⌉-th, the greatest at most.

    >>> held_out_quantile(np.arange(1.0, 100.0), 0.95), held_out_quantile(np.arange(3.0), 0.95)
    (95.0, 2.0)
    """
    ordered = np.sort(values)
    place = int(np.ceil((len(ordered) + 1) * level - 1e-9))
    return float(ordered[min(place, len(ordered)) - 1])


def moment_matched(mean: float, variance: float, level: float) -> float:
    """Return the quantile of g χ²_h with this mean and variance.

    g = variance/(2 mean), h = 2 mean²/variance (Box, doi 10.1214/aoms/1177728786; Nomikos and
    MacGregor, doi 10.1080/00401706.1995.10485888).

    >>> round(moment_matched(3.0, 6.0, 0.95), 3)  # χ² of 3 degrees of freedom
    7.815
    """
    if not (variance > 0 and mean > 0):
        return mean
    return float(variance / (2 * mean) * stats.chi2.ppf(level, 2 * mean**2 / variance))


def quadratic_form_traces(
    covariance: np.ndarray, mean: np.ndarray, outside: float = 0.0
) -> tuple[float, float, float]:
    """Return θ_s = tr Σˢ + s mᵀ Σˢ⁻¹ m for s = 1, 2, 3, of ‖r‖² with r normal of mean m.

    Parameters
    ----------
    covariance : array, shape (r, r)
        Σ.
    mean : array, shape (r,)
        m.
    outside : float
        Variance along directions that Σ does not hold; many and of little each, so that it counts
        in θ₁ only.
    """
    squared = covariance @ covariance
    return (
        float(np.trace(covariance) + mean @ mean + outside),
        float(np.trace(squared) + 2 * mean @ covariance @ mean),
        float(np.einsum("ij,ji->", squared, covariance) + 3 * mean @ squared @ mean),
    )


def jackson_mudholkar(theta: tuple[float, float, float], level: float) -> float:
    """Return the quantile of a quadratic form in normal variables.

    (Q/θ₁)^h, h = 1 − 2θ₁θ₃/(3θ₂²), is taken as normal: Jackson and Mudholkar
    (doi 10.1080/00401706.1979.10489779) for rows of mean 0, Jensen and Solomon
    (doi 10.1080/01621459.1972.10481304) for any.

    Parameters
    ----------
    theta : tuple of float
        See `quadratic_form_traces`.
    level : float

    >>> round(jackson_mudholkar((10.0, 10.0, 10.0), 0.95), 2)  # χ² of 10: 18.31
    18.29
    """
    first, second, third = theta
    if not (first > 0 and second > 0):
        return max(first, 0.0)
    h = 1.0 - 2.0 * first * third / (3.0 * second**2)
    if abs(h) < 1e-6:
        h = 1e-6  # the limit of the formula is a logarithm; this is as near as doubles come
    centre = 1.0 + second * h * (h - 1.0) / first**2
    inside = centre + float(stats.norm.ppf(level)) * np.sqrt(2.0 * second) * h / first
    return float(first * max(inside, 1e-12) ** (1.0 / h))


def hotelling_f(n: int, n_components: int, level: float) -> float:
    """Return the quantile of T² of a new row where n normal rows were fitted.

    K (n² − 1)/(n (n − K)) F(K, n − K) (Tracy, Young, Mason, J. Qual. Technol. 24, 88 (1992)).
    """
    k = n_components
    return float(k * (n**2 - 1) / (n * (n - k)) * stats.f.ppf(level, k, n - k))
