"""How many labelled structures a method without labels is worth."""

import re

import numpy as np
import xarray as xr

_FINE_TUNED = re.compile(r"fine_tune_(\d+)$")


def labels_used(method: str) -> int | None:
    """Return how many labels a method of the name ``fine_tune_N`` learned from, else None.

    >>> labels_used("fine_tune_20"), labels_used("test_time")
    (20, None)
    """
    found = _FINE_TUNED.match(method)
    return int(found.group(1)) if found else None


def fine_tuned(results: xr.Dataset) -> tuple[np.ndarray, list[str]]:
    """Return the numbers of labels, ascending, and the methods that learned from as many."""
    methods = results["method"].values.astype(str).tolist()
    pairs = sorted((n, m) for m in methods if (n := labels_used(m)) is not None)
    return np.array([n for n, _ in pairs], dtype=int), [m for _, m in pairs]


def labels_needed(n_labels: np.ndarray, errors: np.ndarray, target: float) -> float:
    """Return how many labels bring the error down to a target, between the numbers tried.

    Linear in the logarithm of both. The first crossing counts: more labels may do worse again.

    Parameters
    ----------
    n_labels : ndarray of int, shape (n,)
        Ascending, ≥ 1.
    errors : ndarray, shape (n,)
        Error at each; NaN is left out.
    target : float
        The error to reach.

    Returns
    -------
    float
        The first number tried where it already does; infinite if none reaches it; NaN without a
        target or an error.

    Examples
    --------
    >>> labels_needed(np.array([1, 100]), np.array([100.0, 1.0]), 10.0)
    10.0
    """
    known = np.isfinite(errors)
    if not np.isfinite(target) or not known.any():
        return float("nan")
    x, y = np.log(n_labels[known]), np.log(errors[known])
    reached = np.flatnonzero(y <= np.log(target))
    if not reached.size:
        return float("inf")
    first = int(reached[0])
    if first == 0:
        return float(np.exp(x[0]))
    share = (y[first - 1] - np.log(target)) / (y[first - 1] - y[first])
    return float(np.round(np.exp(x[first - 1] + share * (x[first] - x[first - 1])), 10))
