"""Q and T² of fitted and of held-out rows by element, from one sketch of them all.

The mean and the covariance of any rows are sums over them, so that one table of moments by block
and element gives the components of every fold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..diversity.errors import ShortageError
from .detectors.principal import RowSketch, principal_directions
from .limits import (
    held_out_quantile,
    hotelling_f,
    jackson_mudholkar,
    moment_matched,
    quadratic_form_traces,
)

#: Rows of a block whose coordinates are held in double precision at a time.
_ROWS = 65_536

Statistics = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class ElementLimits:
    """Statistics and limits of the environments of one element.

    Mappings with ``q`` and ``t2`` hold one number of each. Limits are by method: ``quantile`` of
    held-out environments, ``chi2`` matched to the mean and variance of fitted ones, for Q
    ``jackson_mudholkar`` and for T² ``f``, which take rows as normal.
    """

    n: int
    """Environments."""
    mean: dict[str, float]
    """Of fitted environments."""
    sd: dict[str, float]
    fitted_limit: dict[str, float]
    """Quantile of fitted environments, which look more typical than new ones."""
    held_out_mean: dict[str, float]
    held_out_sd: dict[str, float]
    q_limits: dict[str, float]
    t2_limits: dict[str, float]
    q_false_alarms: dict[str, float | None]
    """Share of held-out environments beyond the limit of the same method from other blocks; None
    where the element is in one block only."""
    t2_false_alarms: dict[str, float | None]


class _Moments:
    """Counts, sums and products of coordinates by element, of some blocks or all."""

    def __init__(self, n: np.ndarray, total: np.ndarray, gram: np.ndarray, outside: np.ndarray):
        self.n, self.total, self.gram, self.outside = n, total, gram, outside

    @classmethod
    def of(cls, sketch: RowSketch, group: np.ndarray, n_groups: int) -> _Moments:
        r = sketch.coordinates.shape[1]
        total, gram = np.zeros((n_groups, r)), np.zeros((n_groups, r, r))
        for begin in range(0, len(group), _ROWS):
            rows = slice(begin, begin + _ROWS)
            wide, of = sketch.coordinates[rows].astype(np.float64), group[rows]
            for k in np.unique(of).tolist():
                part = wide[of == k]
                total[k] += part.sum(axis=0)
                gram[k] += part.T @ part
        n = np.bincount(group, minlength=n_groups).astype(float)
        return cls(n, total, gram, np.bincount(group, sketch.outside, n_groups))

    def without(self, other: _Moments) -> _Moments:
        return _Moments(
            self.n - other.n,
            self.total - other.total,
            self.gram - other.gram,
            self.outside - other.outside,
        )

    def principal(self, n_components: int) -> _Fold:
        n = float(self.n.sum())
        if n < 2:
            raise ShortageError("A block of frames holds all environments: add frames.")
        mean = self.total.sum(axis=0) / n
        covariance = (self.gram.sum(axis=0) - n * np.outer(mean, mean)) / (n - 1)
        variance, directions = principal_directions(covariance, n_components)
        return _Fold(mean, directions, variance)

    def traces(self, k: int, fold: _Fold) -> tuple[float, float, float]:
        """Return the traces of the residuals of the k-th element."""
        mean = self.total[k] / self.n[k]
        covariance = self.gram[k] / self.n[k] - np.outer(mean, mean)
        free = np.eye(len(mean)) - fold.directions @ fold.directions.T
        return quadratic_form_traces(
            free @ covariance @ free, free @ (mean - fold.mean), self.outside[k] / self.n[k]
        )


@dataclass(frozen=True)
class _Fold:
    """Components in the coordinates of a sketch."""

    mean: np.ndarray
    directions: np.ndarray
    variance: np.ndarray

    def statistics(self, sketch: RowSketch, rows: np.ndarray) -> Statistics:
        scores, q = np.empty((len(rows), len(self.variance))), np.empty(len(rows))
        for begin in range(0, len(rows), _ROWS):
            place = rows[begin : begin + _ROWS]
            centred = sketch.coordinates[place].astype(np.float64) - self.mean
            along = centred @ self.directions
            inside = np.einsum("ij,ij->i", centred, centred) - (along**2).sum(axis=1)
            part = slice(begin, begin + len(place))
            scores[part], q[part] = along, np.maximum(inside, 0.0) + sketch.outside[place]
        return q, (scores**2 / self.variance).sum(axis=1), scores


def held_out_limits(
    sketch: RowSketch,
    elements: np.ndarray,
    block: np.ndarray,
    *,
    n_components: int,
    level: float,
) -> tuple[dict[int, ElementLimits], Statistics, Statistics]:
    """Return the limits of each element, and (q, t2, scores) of all rows fitted and held out.

    Parameters
    ----------
    sketch : RowSketch
        Of n rows.
    elements, block : array of int, shape (n,)
        Atomic number of each row, and the block with which it is held out, from 0.
    n_components : int
    level : float

    Raises
    ------
    ShortageError
        If the rows without a block vary along too few directions.
    """
    kinds, kind = np.unique(elements, return_inverse=True)
    n_blocks = int(block.max()) + 1
    parts = []
    for b in range(n_blocks):
        rows = np.flatnonzero(block == b)
        of_block = replace(
            sketch, coordinates=sketch.coordinates[rows], outside=sketch.outside[rows]
        )
        parts.append(_Moments.of(of_block, kind[rows], len(kinds)))
    whole = _Moments(
        *(np.sum([getattr(p, name) for p in parts], axis=0) for name in vars(parts[0]))
    )
    everything = whole.principal(n_components)
    own = everything.statistics(sketch, np.arange(len(kind)))
    held = np.empty_like(own[0]), np.empty_like(own[1]), np.empty_like(own[2])
    #: By block and element: limits from the other blocks.
    elsewhere: list[list[dict[str, dict[str, float]] | None]] = []
    for b, part in enumerate(parts):
        rest = whole.without(part)
        fold = rest.principal(n_components)
        rows = np.flatnonzero(block == b)
        for into, values in zip(held, fold.statistics(sketch, rows), strict=True):
            into[rows] = values
        others = np.flatnonzero(block != b)
        fitted = fold.statistics(sketch, others)
        elsewhere.append(
            [
                _parametric(rest, k, fold, [v[kind[others] == k] for v in fitted[:2]], level)
                if rest.n[k]
                else None
                for k in range(len(kinds))
            ]
        )
    limits = {}
    for k, z in enumerate(kinds.tolist()):
        of = kind == k
        found = _parametric(whole, k, everything, [v[of] for v in own[:2]], level)
        alarms: dict[str, dict[str, float | None]] = {}
        for name, values in (("q", held[0]), ("t2", held[1])):
            found[name] = {"quantile": held_out_quantile(values[of], level), **found[name]}
            alarms[name] = {
                method: _alarms(
                    values, of, block, [row[k] for row in elsewhere], name, method, level
                )
                for method in found[name]
            }
        q, t2 = (v[of] for v in own[:2])
        q_held, t2_held = (v[of] for v in held[:2])
        limits[z] = ElementLimits(
            n=int(of.sum()),
            mean={"q": float(q.mean()), "t2": float(t2.mean())},
            sd={"q": float(q.std()), "t2": float(t2.std())},
            fitted_limit={"q": held_out_quantile(q, level), "t2": held_out_quantile(t2, level)},
            held_out_mean={"q": float(q_held.mean()), "t2": float(t2_held.mean())},
            held_out_sd={"q": float(q_held.std()), "t2": float(t2_held.std())},
            q_limits=found["q"],
            t2_limits=found["t2"],
            q_false_alarms=alarms["q"],
            t2_false_alarms=alarms["t2"],
        )
    return limits, own, held


def _parametric(
    moments: _Moments, k: int, fold: _Fold, fitted: list[np.ndarray], level: float
) -> dict[str, dict[str, float]]:
    """Return the limits of the k-th element that rest on fitted rows."""
    q, t2 = fitted
    n, n_components = int(moments.n.sum()), len(fold.variance)
    return {
        "q": {
            "chi2": moment_matched(float(q.mean()), float(q.var()), level),
            "jackson_mudholkar": jackson_mudholkar(moments.traces(k, fold), level),
        },
        "t2": {
            "chi2": moment_matched(float(t2.mean()), float(t2.var()), level),
            "f": hotelling_f(n, n_components, level),
        },
    }


def _alarms(
    values: np.ndarray,
    of: np.ndarray,
    block: np.ndarray,
    elsewhere: list[dict[str, dict[str, float]] | None],
    name: str,
    method: str,
    level: float,
) -> float | None:
    """Return the share of held-out rows of an element beyond a limit that other blocks gave."""
    beyond = total = 0
    for b, known in enumerate(elsewhere):
        here, others = of & (block == b), of & (block != b)
        if known is None or not here.any():
            continue
        limit = (
            held_out_quantile(values[others], level)
            if method == "quantile"
            else known[name][method]
        )
        beyond += int((values[here] > limit).sum())
        total += int(here.sum())
    return beyond / total if total else None
