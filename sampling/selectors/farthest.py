"""Greedy farthest points, exact and lazy: one kernel for descriptors and for fingerprints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, overload

#: Called with picks made and picks wanted.
Progress = Callable[[int, int], None]


def _count(typing_context: Any, word: Any) -> Any:
    """Count the bits that are set, by the processor's own instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_ones: Any = intrinsic(_count)


def gap(a: np.ndarray, b: np.ndarray) -> Any:
    """Return the squared Euclidean distance of two rows; of rows of bits (uint64), Tanimoto's.

    Two rows without any bit are at distance 0.
    """
    raise NotImplementedError("compiled code only")


@overload(gap, jit_options={"fastmath": {"reassoc", "contract", "nsz"}}, inline="never")
def _gap(a: Any, b: Any) -> Any:
    if a.dtype is types.uint64:

        def distance(a: Any, b: Any) -> Any:
            both, either = np.uint64(0), np.uint64(0)
            for k in range(a.shape[0]):
                both += _ones(a[k] & b[k])
                either += _ones(a[k] | b[k])
            if either == 0:
                return 0.0
            return 1.0 - both / either

        return distance

    def square(a: Any, b: Any) -> Any:
        total = a[0] * 0
        for k in range(a.shape[0]):
            difference = a[k] - b[k]
            total += difference * difference
        return total

    return square


@numba.njit(cache=True, nogil=True)
def _extend(X, weights, centres, known, bound, seen, picks, begin, end):  # type: ignore[no-untyped-def]
    """Make picks begin … end − 1. State: bound (n,) on weighted gaps, centres seen (n,), picks.

    A row's distance to the nearest centre can only fall, so what was found in an earlier round
    bounds it now, and a row whose bound is not above the best of this round need not be looked at
    (the idea of RDKit's lazy MaxMin picker; Ashton et al., doi 10.1002/qsar.200290002). The row of
    the largest bound comes first: it is often the answer and rules out most others.
    """
    n = X.shape[0]
    taken = bound.dtype.type(-1)  # below every candidate
    for m in range(begin, end):
        first = 0
        for i in range(1, n):
            if bound[i] > bound[first]:
                first = i
        best, row = taken, -1
        for turn in range(-1, n):
            i = first if turn < 0 else turn
            b = bound[i]
            if b < best or (b == best and i >= row):
                continue
            j = seen[i]
            while j < known:
                d = weights[i if len(weights) > 1 else 0] * gap(X[i], centres[j])
                j += 1
                if d < b:
                    b = d
                    if b < best:
                        break
            bound[i], seen[i] = b, j
            if b > best or (b == best and i < row):
                best, row = b, i
        picks[m] = row
        centres[known] = X[row]
        known += 1
        bound[row] = taken
    return known


def farthest(
    X: np.ndarray,
    n_to_select: int,
    *,
    start: int,
    given: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Take rows one by one, each the farthest from all taken or given.

    Parameters
    ----------
    X : array of float32, float64 or uint64, shape (n, d)
        Points at Euclidean distances, or rows of bits at Tanimoto's.
    n_to_select : int
        From 1 to n.
    start : int
        The first row, unless something is given.
    given : array, shape (m, d), optional
        Rows that count as taken.
    weights : array, shape (n,), optional
        Positive; a row's distance is multiplied by its weight.
    progress : callable, optional
        Called with picks made and wanted every now and then.

    Returns
    -------
    array of int64, shape (n_to_select,)
        Of rows at equal distance the lowest is taken first.

    Notes
    -----
    The result is that of the plain greedy algorithm. Cost at most n · n_to_select distances, in
    practice a tenth of it; memory n + n_to_select · d beside the rows.
    """
    n, d = X.shape
    kind = np.dtype(np.float64) if X.dtype == np.uint64 else X.dtype
    bound, seen = np.full(n, np.inf, kind), np.zeros(n, np.int64)
    picks = np.empty(n_to_select, np.int64)
    m = 0 if given is None else len(given)
    centres = np.empty((m + n_to_select, d), X.dtype)
    done = 0
    if given is not None and m:
        centres[:m] = given
    else:
        picks[0], centres[0], bound[start], done = start, X[start], -1, 1
    # Gaps of points are squares, and so must weights be.
    scale = np.ones(1, kind) if weights is None else np.asarray(weights, kind) ** 2
    known = m + done
    while done < n_to_select:
        end = min(n_to_select, done + 50)
        known = _extend(X, scale, centres, known, bound, seen, picks, done, end)
        done = end
        if progress is not None:
            progress(done, n_to_select)
    return picks


def as_words(packed: np.ndarray) -> np.ndarray:
    """Return packed bits (n, bytes) of uint8 as rows of uint64, filled up with zeros."""
    spare = -packed.shape[1] % 8
    if spare:
        packed = np.pad(packed, ((0, 0), (0, spare)))
    return np.ascontiguousarray(packed).view(np.uint64)


@numba.njit(cache=True, nogil=True)
def bits_within(row, words, cutoff):  # type: ignore[no-untyped-def]
    """Tell which rows of bits (n, w) are within a Tanimoto distance of one row, bool (n,)."""
    near = np.empty(words.shape[0], dtype=np.bool_)
    for i in range(words.shape[0]):
        near[i] = gap(row, words[i]) <= cutoff
    return near


@numba.njit(cache=True, nogil=True)
def neighbour_counts(words, cutoff):  # type: ignore[no-untyped-def]
    """Count for each row of bits (n, w) the others within a Tanimoto distance, int64 (n,)."""
    n = words.shape[0]
    counts = np.zeros(n, dtype=np.int64)
    for i in range(n):
        for j in range(i):
            if gap(words[i], words[j]) <= cutoff:
                counts[i] += 1
                counts[j] += 1
    return counts
