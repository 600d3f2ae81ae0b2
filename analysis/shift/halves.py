"""Halves of sets: what takes the bias out of a distance, holds out, and gives intervals.

Two samples of one population are apart by chance. Cut both sets in halves of independently drawn
units: the distance of a half of one from a half of the other holds the bias of such halves, and
the distance of the two halves of one set is that bias alone. A squared distance D² whose bias is
a sum of a part of each sample (mean discrepancies and energy distances exactly, Fréchet and
Wasserstein to first order) is estimated without it by

    D²(a′, b″) − ½ D²(a′, a″) − ½ D²(b′, b″),

a mean over random cuts. That holds for Fréchet and Wasserstein where both sets are of a size. Else
the first term has a bias of its own, that of a large half and a small one; with a* a part of the
larger set's half, of as many units and rows as the smaller's, it is estimated by

    D²(a′, b″) − D²(a′, a″*) − ½ [D²(b′, b″) − D²(a′*, a″*)],

which is the same for sets of a size, and without bias for any distance between samples of one
population. A unit that is in both sets goes to the same half of both, and opposite
halves are compared, so that sets which share molecules are not taken for alike because of that,
and a set has the distance 0 from itself exactly. The same cuts give the interval: they are a
delete-half jackknife (Shao and Wu, doi 10.1214/aos/1176347263), whose spread over cuts is that of
the whole over samples. How often it holds the truth is checked in
``tests/analysis/test_halves.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from ...diversity.randomness import generator

#: Random cuts. More change the interval by less than its own uncertainty.
N_CUTS = 24
#: Molecules that both sets need, so that molecules are the units.
FEWEST_MOLECULES = 8
#: Blocks of consecutive structures, where molecules are not the units: of a set, and of a molecule,
#: at least.
N_BLOCKS, BLOCKS_OF_A_MOLECULE = 20, 10
CONFIDENCE = 0.95

Statistic = Callable[[np.ndarray, np.ndarray], float]


class Estimate(NamedTuple):
    """A distance and its interval, both ≥ 0; no interval where a set cannot be halved."""

    distance: float
    interval: tuple[float, float] | None


class Units(NamedTuple):
    """What was drawn independently of each other.

    Attributes
    ----------
    a, b : array of int, shape (n,) and (m,)
        Unit of each structure; the same number is the same unit of both sets.
    stratum : array of int, shape (units,)
        Units are halved within strata.
    kind : {'molecule', 'block'}
        Molecules, or blocks of consecutive structures of a molecule.
    """

    a: np.ndarray
    b: np.ndarray
    stratum: np.ndarray
    kind: str


def independent_units(a: np.ndarray, b: np.ndarray, *, same: bool = False) -> Units:
    """Choose what was drawn independently in two sets, given the molecule of each structure.

    Molecules, where both sets have 8 and most structures of the second are of molecules that the
    first lacks: the distance is then between the populations that the molecules stand for. Else
    blocks of consecutive structures within a molecule: the distance is between these molecules'
    conformers as they are, and frames of a trajectory that resemble each other stay together. A
    molecule has 10 blocks at least, single structures where it has fewer: with few blocks, a
    held-out one would see much less of its own molecule than new structures do.

    Parameters
    ----------
    a, b : array, shape (n,) and (m,)
    same : bool, optional
        The sets are one, record by record, so that their blocks are the same units.
    """
    a, b = np.asarray(a).astype(str), np.asarray(b).astype(str)
    distinct = [np.unique(x) for x in (a, b)]
    if min(map(len, distinct)) >= FEWEST_MOLECULES and np.isin(b, distinct[0]).mean() < 0.5:
        return numbered_units(a, b)._replace(kind="molecule")
    (names_a, many_a), (names_b, many_b) = _blocks(a, "a"), _blocks(b, "a" if same else "b")
    units = numbered_units(names_a, names_b)
    # Molecules of many blocks are halved each; of few, where that would place all others of a
    # held-out molecule's blocks among the fitted ones, all together.
    molecule = np.zeros(len(units.stratum), dtype=np.int64)
    known = np.unique(np.concatenate([a, b]))
    for of, names, many in ((units.a, a, many_a), (units.b, b, many_b)):
        molecule[of] = np.where(many, 1 + np.searchsorted(known, names), 0)
    return units._replace(stratum=4 * molecule + units.stratum, kind="block")


def cuts(units: Units, *, n_cuts: int = N_CUTS, random_state: int = 0) -> list[np.ndarray]:
    """Cut units in halves at random: for each cut, which units are in the first half.

    A set of one unit only cannot be halved: it is then in neither half of its own, and
    `half_rows` gives it whole.
    """
    generated = generator(random_state, "halves")
    made = []
    for _ in range(n_cuts):
        order = np.lexsort((generated.random(len(units.stratum)), units.stratum))
        strata, first = np.unique(units.stratum[order], return_index=True)
        place = np.searchsorted(strata, units.stratum[order])
        # Of an odd stratum one half has one more. Dealt to units of the second set alone, then of
        # both, then of the first, either half of either set has it as often.
        odd = np.flatnonzero(np.diff(np.append(first, len(order))) % 2)
        dealt = odd[
            np.lexsort((generated.random(len(odd)), np.array([0, 0, 2, 1])[strata[odd] % 4]))
        ]
        turn = np.zeros(len(strata), dtype=np.int64)
        turn[dealt] = (np.arange(len(dealt)) + generated.integers(2)) % 2
        half = np.empty(len(order), dtype=bool)
        half[order] = (np.arange(len(order)) - first[place] + turn[place]) % 2 == 0
        made.append(half)
    return made


def half_rows(units: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the rows in either half; both hold all rows of a set not to be halved."""
    first = half[units]
    if first.all() or not first.any():
        return np.ones(len(units), dtype=bool), np.ones(len(units), dtype=bool)
    return first, ~first


def debiased(
    squared: Statistic,
    a: np.ndarray,
    b: np.ndarray,
    *,
    units: Any,
    n_cuts: int = N_CUTS,
    random_state: int = 0,
) -> Estimate:
    """Estimate a distance without the bias of finite samples, and its interval.

    Parameters
    ----------
    squared : callable
        Gives the squared distance of two samples of rows.
    a, b : array, shape (n, …) and (m, …)
    units : Units or pair of arrays
        Of each row of either. Rows of a plain pair are units of different sets: nothing is shared
        unless numbers are equal.
    n_cuts, random_state : int, optional

    Returns
    -------
    Estimate
        Roots of the squared distance, 0 where it is negative.
    """
    found = units if isinstance(units, Units) else numbered_units(*units)
    a_units, b_units = (len(np.unique(of)) for of in (found.a, found.b))
    large, of, small, of_small = a, found.a, b, found.b
    if (a_units, len(a)) < (b_units, len(b)):
        large, of, small, of_small = b, found.b, a, found.a
    alike = a_units == b_units and len(a) == len(b)
    stream = generator(random_state, "thinned halves")
    crossed, bias = [], []
    for half in cuts(found, n_cuts=n_cuts, random_state=random_state):
        (l1, l2), (s1, s2) = half_rows(of, half), half_rows(of_small, half)
        crossed += [squared(large[l1], small[s2]), squared(large[l2], small[s1])]
        if alike or max(a_units, b_units) < 2:
            bias.append((squared(large[l1], large[l2]) + squared(small[s1], small[s2])) / 2)
            continue
        t1, t2 = (_thinned(of, x, of_small[y], stream) for x, y in ((l1, s1), (l2, s2)))
        bias.append((squared(large[l1], large[t2]) + squared(large[l2], large[t1])) / 2)
        if min(a_units, b_units) > 1:
            bias[-1] += (squared(small[s1], small[s2]) - squared(large[t1], large[t2])) / 2
    spread = np.array(crossed) - np.mean(bias)
    centre = float(spread.mean())
    # Of equal sets both means are over the same numbers, in another order.
    return _rooted(0.0 if abs(centre) <= 1e-9 * np.mean(bias) else centre, spread, found)


def difference(
    a: np.ndarray,
    b: np.ndarray,
    *,
    units: Units,
    most: float = np.inf,
    n_cuts: int = N_CUTS,
    random_state: int = 0,
) -> Estimate:
    """Estimate how much greater the mean of b is than that of a, 0 where it is less.

    The scores of single structures need no debiasing where those of a are held-out. No difference
    of shares is more than ``most`` = 1.
    """
    spread = []
    for half in cuts(units, n_cuts=n_cuts, random_state=random_state):
        (a1, a2), (b1, b2) = half_rows(units.a, half), half_rows(units.b, half)
        spread += [b[b2].mean() - a[a1].mean(), b[b1].mean() - a[a2].mean()]
    return bounded(float(b.mean() - a.mean()), np.array(spread), units, most=most)


def _thinned(
    units: np.ndarray, half: np.ndarray, other: np.ndarray, stream: np.random.Generator
) -> np.ndarray:
    """Return rows of a half that are of no more units than another's, and no more rows.

    Parameters
    ----------
    units : array of int, shape (n,)
    half : array of bool, shape (n,)
    other : array of int, shape (k,)
        Unit of each row of the other half.
    """
    rows = np.flatnonzero(half)
    rows = rows[stream.permutation(len(rows))]
    _, of = np.unique(units[rows], return_inverse=True)
    kept = stream.permutation(of.max() + 1) < len(np.unique(other))
    rows, of = rows[kept[of]], of[kept[of]]
    # One row of each unit, then a second, and so on: those of other halves are spread as well.
    order = np.argsort(of, kind="stable")
    place = np.empty(len(of), dtype=np.int64)
    place[order] = np.arange(len(of)) - np.searchsorted(of[order], of[order])
    return rows[np.argsort(place, kind="stable")[: len(other)]]


def _rooted(centre: float, spread: np.ndarray, units: Units) -> Estimate:
    found = bounded(centre, spread, units)
    if found.interval is None:
        return Estimate(found.distance**0.5, None)
    return Estimate(found.distance**0.5, (found.interval[0] ** 0.5, found.interval[1] ** 0.5))


def bounded(centre: float, spread: np.ndarray, units: Units, *, most: float = np.inf) -> Estimate:
    """Return an estimate from 0 to most with Student's interval, from its values over halves."""
    n_units = min(len(np.unique(x)) for x in (units.a, units.b))
    if n_units < 2:
        return Estimate(max(0.0, centre), None)
    # The spread is uncertain for there being few units, and few cuts (two values of each).
    freedom = 1 / (1 / (n_units - 1) + 2 / len(spread))
    reach = float(stats.t.isf((1 - CONFIDENCE) / 2, freedom)) * float(spread.std(ddof=1))
    low, high = (min(max(0.0, end), most) for end in (centre - reach, centre + reach))
    return Estimate(max(0.0, centre), (low, high))


def _blocks(molecule: np.ndarray, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Name the block of each structure, and tell whether its molecule has many."""
    names, of, counts = np.unique(molecule, return_inverse=True, return_counts=True)
    n_blocks = np.minimum(counts, max(BLOCKS_OF_A_MOLECULE, -(-N_BLOCKS // len(names))))
    order = np.argsort(of, kind="stable")
    place = np.empty(len(of), dtype=np.int64)
    place[order] = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    block = place * n_blocks[of] // counts[of]
    named = [f"{prefix}\x1f{name}\x1f{k}" for name, k in zip(molecule, block, strict=True)]
    return np.array(named), n_blocks[of] >= BLOCKS_OF_A_MOLECULE


def numbered_units(a: Any, b: Any) -> Units:
    """Return units as they are numbered; equal numbers are the same unit of both sets."""
    found, place = np.unique(np.concatenate([a, b]), return_inverse=True)
    member = np.isin(found, a) * 2 + np.isin(found, b)
    return Units(place[: len(a)], place[len(a) :], member, "unit")
