"""Sums of a Gaussian kernel over many points: what densities, entropies and partitions rest on.

A pair's exponent −‖q − x‖²/2h² comes from one matrix product over blocks: both sides are centred,
divided by h and given two more columns with half their squared norms. The memory taken does not
grow with the number of points beyond that of the queries.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .errors import ConfigurationError, DataError

#: Error of a kernel value, relative to 1, up to which float32 inputs are multiplied in float32.
SINGLE_PRECISION_ERROR = 1e-4

_ROWS, _COLUMNS = 512, 1024


def kernel_sums(
    queries: np.ndarray,
    points: np.ndarray,
    *,
    bandwidth: float,
    groups: np.ndarray | None = None,
    n_groups: int | None = None,
) -> np.ndarray:
    """Return Σ_j exp(−‖q_i − x_j‖² / 2h²) for each query, over all points or by group of points.

    Float64 inputs are computed in float64. With float32 inputs the kernel is evaluated in float32,
    and the exponents before it too where their rounding, estimated as
    2·√(d + 2)·2⁻²⁴·(R/h)² with R the largest distance from the points' mean, stays below
    `SINGLE_PRECISION_ERROR`; else these are computed in float64. The cost is q·n·d.

    Parameters
    ----------
    queries : array, shape (q, d)
    points : array, shape (n, d)
    bandwidth : float
        h in the units of the points, > 0.
    groups : array of int, shape (n,), optional
        Group of each point, from 0.
    n_groups : int, optional
        Number of groups G; the largest group's number plus one if not given.

    Returns
    -------
    array of float64, shape (q,), or (q, G) with groups

    Raises
    ------
    DataError
        If the shapes do not fit, or a value is NaN or infinite.
    ConfigurationError
        If the bandwidth is not a positive number, or so small that float64 does not suffice.

    Examples
    --------
    >>> kernel_sums(np.zeros((1, 1)), np.array([[0.0], [0.0], [99.0]]), bandwidth=1.0)
    array([2.])
    """
    queries, points = _checked(queries, bandwidth), _checked(points, bandwidth)
    if queries.shape[1] != points.shape[1]:
        raise DataError(
            f"Queries have {queries.shape[1]} features and points {points.shape[1]}: they must "
            "come from the same descriptor with the same options."
        )
    if groups is None:
        sums = np.zeros((len(queries), 1))
        starts, of_start = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    else:
        groups = np.asarray(groups)
        if groups.shape != (len(points),) or (len(groups) and groups.min() < 0):
            raise DataError("groups must hold one number ≥ 0 for each point.")
        n_groups = int(groups.max(initial=-1)) + 1 if n_groups is None else n_groups
        if groups.max(initial=-1) >= n_groups:
            raise DataError(f"A point is of group {groups.max()}, but there are {n_groups}.")
        order = np.argsort(groups, kind="stable")
        sums = np.zeros((len(queries), n_groups))
    if not (len(queries) and len(points)):
        return sums[:, 0] if groups is None else sums

    centre, reach = _extent(points, queries)
    double, single = _precisions(points, queries, reach, bandwidth)
    left = _expanded(queries, centre, bandwidth, double, swapped=False)
    for begin in range(0, len(points), _COLUMNS):
        columns = slice(begin, begin + _COLUMNS)
        if groups is not None:
            # Points in order of group: a block's sums by group are sums of consecutive columns.
            chosen = order[columns]
            of_start, starts = np.unique(groups[chosen], return_index=True)
            block = points[chosen]
        else:
            block = points[columns]
        right = _expanded(block, centre, bandwidth, double, swapped=True)
        for rows in _blocks(len(queries), _ROWS):
            values = _kernel(left[rows], right, single)
            if len(starts) == 1:
                sums[rows, of_start[0]] += values.sum(axis=1)
            else:
                sums[rows, of_start] += np.add.reduceat(values, starts, axis=1)
    return sums[:, 0] if groups is None else sums


def self_kernel_sums(points: np.ndarray, *, bandwidth: float) -> np.ndarray:
    """Return Σ_j exp(−‖x_i − x_j‖² / 2h²) for each point, itself included (exactly 1).

    Each pair is computed once, so that this takes half the time of ``kernel_sums(x, x, …)``;
    precision and errors are the same.

    Parameters
    ----------
    points : array, shape (n, d)
    bandwidth : float
        h in the units of the points, > 0.

    Returns
    -------
    array of float64, shape (n,)
    """
    points = _checked(points, bandwidth)
    sums = np.zeros(len(points))
    if not len(points):
        return sums
    centre, reach = _extent(points, points)
    double, single = _precisions(points, points, reach, bandwidth)
    left = _expanded(points, centre, bandwidth, double, swapped=False)
    for rows in _blocks(len(points), _ROWS):
        own = _expanded(points[rows], centre, bandwidth, double, swapped=True)
        values = _kernel(left[rows], own, single)
        np.fill_diagonal(values, 1.0)
        sums[rows] += values.sum(axis=1)
        for begin in range(rows.stop, len(points), _COLUMNS):
            columns = slice(begin, min(begin + _COLUMNS, len(points)))
            # The kernel is symmetric: rows of this block, columns of the other half.
            values = _kernel(left[columns], own, single)
            sums[columns] += values.sum(axis=1)
            sums[rows] += values.sum(axis=0)
    return sums


def _checked(points: np.ndarray, bandwidth: float) -> np.ndarray:
    if not (np.isfinite(bandwidth) and bandwidth > 0):
        raise ConfigurationError(f"A kernel's bandwidth must be positive, not {bandwidth}.")
    points = np.asarray(points)
    if points.ndim != 2:
        raise DataError(f"Points must be an array of rows, not of shape {points.shape}.")
    if points.dtype not in (np.float32, np.float64):
        points = points.astype(np.float64)
    # The sum of squares is NaN or infinite where any value is, and takes no copy.
    if not np.isfinite(np.einsum("ij,ij->i", points, points)).all():
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        raise DataError(
            f"Row {bad[0] if len(bad) else 0} of the features is NaN, infinite or too large for a "
            "distance: leave its structure out, or correct the descriptor."
        )
    return points


def _extent(points: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the points' mean, and the largest distance of any point or query from it."""
    centre = points.mean(axis=0, dtype=np.float64)
    square = 0.0
    for rows in (points, queries):
        for block in _blocks(len(rows), 8 * _COLUMNS):
            away = rows[block] - centre
            square = max(square, float(np.einsum("ij,ij->i", away, away).max(initial=0.0)))
    return centre, float(np.sqrt(square))


def _precisions(
    points: np.ndarray, queries: np.ndarray, reach: float, bandwidth: float
) -> tuple[type, type]:
    """Return the precision of the exponents, and that of the kernel."""
    # R/h times the square root of the machine's rounding, up to which exponents are exact enough.
    most = np.sqrt(SINGLE_PRECISION_ERROR / (2 * np.sqrt(points.shape[1] + 2)))
    if reach * 2.0**-26.5 > most * bandwidth:
        raise ConfigurationError(
            f"A bandwidth of {bandwidth:.3g} is too small: with features that reach {reach:.3g} "
            "from their mean, rounding would hide whether two points are the same. Give "
            f"{10 * reach * 2.0**-26.5 / most:.0e} or more."
        )
    if np.result_type(points, queries) == np.float64:
        return np.float64, np.float64
    return (np.float32 if reach * 2.0**-12 <= most * bandwidth else np.float64), np.float32


def _expanded(
    rows: np.ndarray, centre: np.ndarray, bandwidth: float, precision: type, *, swapped: bool
) -> np.ndarray:
    """Return rows whose product with the other side's is −‖q − x‖²/2, in units of h²."""
    scaled = (rows - centre) / bandwidth
    half = -0.5 * np.einsum("ij,ij->i", scaled, scaled)
    ones = np.ones(len(rows))
    last = (ones, half) if swapped else (half, ones)
    return np.column_stack([scaled, *last]).astype(precision)


def _kernel(left: np.ndarray, right: np.ndarray, precision: type) -> np.ndarray:
    exponents = left @ right.T
    values = exponents.astype(precision, copy=False)
    np.minimum(values, 0, out=values)  # rounding must not take a value above 1
    # Beyond this the kernel is below the smallest normal float32, and the sums do not feel it.
    if precision == np.float32:
        np.maximum(values, -87.0, out=values)
    return np.exp(values, out=values)


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, n)) for begin in range(0, n, size))
