"""The chain rule of entropy on kernel densities, term by term, with jackknife intervals.

    H(x) = H(x | molecule, site) + I(x; site | molecule) + I(x; molecule)

on plain arrays; `partition` applies it to sets of conformers. A density is the mean of
exp(−|x − x_j|² / 2h²) over the points that it is conditioned on, the query itself among them, so
that the entropy of one point is 0 and that of n points without overlap is ln n.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from ..kernel_density import kernel_sums

#: The terms, from the deepest to their sum.
TERMS = ("conformational", "intramolecular", "structural", "total")
#: A term above this share of its ceiling says little more than how many samples there are.
CEILING_SHARE = 0.9


@dataclass(frozen=True)
class Term:
    """One term of the partition.

    Parameters
    ----------
    value : float
        In nats.
    interval : (float, float) or None
        For the expected value of a set of this size from the same source; None where nothing can
        be left out, or nothing would remain of the queries.
    ceiling : float
        The most that the term could be with these numbers of molecules, sites and points.
    at_ceiling : bool
        Whether the value is above 90 % of that, so that more samples would raise it; never of the
        intramolecular term, whose ceiling is the number of sites.
    """

    value: float
    interval: tuple[float, float] | None
    ceiling: float
    at_ceiling: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """What is known of n points beside their features.

    Parameters
    ----------
    molecule : array of int, shape (n,)
    site : array of int, shape (n,)
        Unique over molecules; the molecule itself where points have no sites.
    kind : array of int, shape (n,)
        Points of different kinds (elements) share no density.
    group : array of int, shape (n,)
        From 0: what the jackknife leaves out together.
    across : bool
        Whether groups are made of whole molecules; else they cut through them.
    """

    molecule: np.ndarray
    site: np.ndarray
    kind: np.ndarray
    group: np.ndarray
    across: bool

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1


def divide(
    blocks: Iterable[np.ndarray],
    points: Points,
    queries: np.ndarray,
    features: np.ndarray,
    *,
    bandwidths: Sequence[float],
    confidence: float = 0.95,
) -> list[tuple[dict[str, Term], float]]:
    """Compute the terms, each as a mean of its own log-ratio of densities.

    Parameters
    ----------
    blocks : iterable of array, shape (b, d)
        The features of all n points in their order, in consecutive blocks.
    points : Points
    queries : array of int, shape (q,)
        The points whose densities are averaged.
    features : array, shape (q, d)
        Of the queries.
    bandwidths : sequence of float
        Values of h, in units of the features; the blocks are gone through once for all.
    confidence : float, optional
        Of the intervals: Student's t on the standard error of the delete-a-group jackknife.

    Returns
    -------
    list of (dict of str to Term, float)
        By bandwidth: one for each of `TERMS`, and |total − sum of the other three|.
    """
    sums = _Sums(points, queries, bandwidths)
    start = 0
    for block in blocks:
        sums.add(block, np.arange(start, start + len(block)), features)
        start += len(block)
    return [_judged(sums, place, confidence) for place in range(len(bandwidths))]


def _judged(sums: _Sums, place: int, confidence: float) -> tuple[dict[str, Term], float]:
    """Return the terms with their intervals and ceilings, and the error of their identity."""
    whole = sums.terms(place)
    interval: dict[str, tuple[float, float] | None] = dict.fromkeys(TERMS)
    g = sums.points.n_groups
    if len(np.unique(sums.points.group[sums.queries])) > 1:
        left = np.array([list(sums.terms(place, without=k).values()) for k in range(g)])
        error = np.sqrt((g - 1) / g * ((left - left.mean(0)) ** 2).sum(0))
        reach = student.ppf(0.5 + confidence / 2, g - 1) * error
        for name, half in zip(TERMS, reach.tolist(), strict=True):
            interval[name] = (whole[name] - half, whole[name] + half)
    ceilings = sums.ceilings()
    for name in TERMS:
        if ceilings[name] == 0.0:  # nothing it could be but 0, up to rounding
            whole[name], interval[name] = 0.0, None
        elif (span := interval[name]) is not None:
            # What no set could have is no part of an interval, however few were left out in turn.
            low, high = min(0.0, whole[name]), max(ceilings[name], whole[name])
            interval[name] = (max(span[0], low), min(span[1], high))
    terms = {
        name: Term(
            whole[name],
            interval[name],
            ceilings[name],
            # The intramolecular term is bounded by the number of sites, which no sample adds to.
            name != "intramolecular" and whole[name] > CEILING_SHARE * ceilings[name] > 0,
        )
        for name in TERMS
    }
    return terms, abs(whole["total"] - sum(whole[name] for name in TERMS[:3]))


class _Sums:
    """Sums of the kernel around each query: over all points, its molecule, its site; by group.

    Each has a row for each bandwidth; what there is to know of all points is held once for all.
    """

    def __init__(self, points: Points, queries: np.ndarray, bandwidths: Sequence[float]) -> None:
        self.points, self.queries, self.bandwidths = points, queries, bandwidths
        g, shape = points.n_groups, (len(bandwidths), len(queries))
        inner = 1 if points.across else g
        self.all = np.zeros((*shape, g))
        self.molecule = np.zeros((*shape, inner))
        self.site = np.zeros((*shape, inner))
        _, self.q_molecule = np.unique(points.molecule, return_inverse=True)
        _, self.q_site = np.unique(points.site, return_inverse=True)
        inside = np.zeros_like(points.group) if points.across else points.group
        self.n_all = np.bincount(points.group, minlength=g).astype(float)
        self.n_molecule = _counts(self.q_molecule, inside, inner)
        self.n_site = _counts(self.q_site, inside, inner)
        self.inside = inside
        # Molecule and kind: what a query can share its molecule's density with.
        self.key = self.q_molecule * (int(points.kind.max()) + 1) + points.kind

    def add(self, block: np.ndarray, rows: np.ndarray, features: np.ndarray) -> None:
        """Add the points of one block to the sums."""
        points, g = self.points, self.points.n_groups
        for mine, theirs in _same(points.kind[self.queries], points.kind[rows]):
            asked, found, group = features[mine], block[theirs], points.group[rows[theirs]]
            for place, h in enumerate(self.bandwidths):
                self.all[place, mine] += kernel_sums(
                    asked, found, bandwidth=h, groups=group, n_groups=g
                )
        inner = self.molecule.shape[2]
        for mine, theirs in _same(self.key[self.queries], self.key[rows]):
            local, site = np.unique(self.q_site[rows[theirs]], return_inverse=True)
            own = self.q_site[self.queries[mine]]
            column = np.minimum(np.searchsorted(local, own), len(local) - 1)
            there = np.flatnonzero(local[column] == own)
            asked, found = features[mine], block[theirs]
            group = site * inner + self.inside[rows[theirs]]
            for place, h in enumerate(self.bandwidths):
                around = kernel_sums(
                    asked, found, bandwidth=h, groups=group, n_groups=len(local) * inner
                ).reshape(len(mine), len(local), inner)
                self.molecule[place, mine] += around.sum(1)
                self.site[place, mine[there]] += around[there, column[there]]

    def terms(self, place: int, *, without: int | None = None) -> dict[str, float]:
        """Return each term at one bandwidth, of the set without one group if one is named."""
        kept = np.arange(len(self.queries))
        if without is not None:
            kept = np.flatnonzero(self.points.group[self.queries] != without)
        asked = self.queries[kept]
        everything = _without(self.all[place, kept], self.n_all[None], without)
        inner = None if self.points.across else without
        molecule = _without(
            self.molecule[place, kept], self.n_molecule[self.q_molecule[asked]], inner
        )
        site = _without(self.site[place, kept], self.n_site[self.q_site[asked]], inner)
        return {
            "conformational": _mean(-np.log(site)),
            "intramolecular": _mean(np.log(site / molecule)),
            "structural": _mean(np.log(molecule / everything)),
            "total": _mean(-np.log(everything)),
        }

    def ceilings(self) -> dict[str, float]:
        """Return each term of the same set if no two of its points overlapped."""
        n = self.n_all.sum()
        in_molecule = self.n_molecule.sum(1)[self.q_molecule]
        in_site = self.n_site.sum(1)[self.q_site]
        return {
            "conformational": _mean(np.log(in_site)),
            "intramolecular": _mean(np.log(in_molecule / in_site)),
            "structural": _mean(np.log(n / in_molecule)),
            "total": float(np.log(n)),
        }


def _counts(row: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    flat = np.bincount(row * n_groups + group, minlength=(int(row.max()) + 1) * n_groups)
    return flat.reshape(-1, n_groups).astype(float)


def _same(left: np.ndarray, right: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places of each value that occurs in both."""
    ordered = [np.argsort(side, kind="stable") for side in (left, right)]
    values = np.intersect1d(left, right)
    spans = [
        (np.searchsorted(side[order], values), np.searchsorted(side[order], values, "right"))
        for side, order in zip((left, right), ordered, strict=True)
    ]
    for i in range(len(values)):
        yield (
            ordered[0][spans[0][0][i] : spans[0][1][i]],
            ordered[1][spans[1][0][i] : spans[1][1][i]],
        )


def _without(sums: np.ndarray, counts: np.ndarray, group: int | None) -> np.ndarray:
    """Return the densities without a group; sums and counts have a column for each."""
    total, n = sums.sum(1), counts.sum(1)
    if group is None:
        return total / n
    # The query's own point remains, so rounding must not carry the density below it.
    return np.maximum(total - sums[:, group], 1.0) / (n - counts[:, group])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) + 0.0
