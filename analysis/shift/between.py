"""Shift between two sets of structures, by many measures through one interface.

Measures of two kinds. Some *score* a structure by what a reference is like: composition, unknown
elements, detectors on the features of its atoms; the shift is how much greater the mean score of
the second set is than that of held-out structures of the first. Others are *distances between
samples*, of a number per structure (size, force norm, connectivity) or of its mean features. Both
give a score to every structure, so that every measure tells where structures of the second set
stand among held-out ones of the first. Higher is farther throughout.

After Kreiman and Krishnapriyan, arXiv:2503.08674, whose three shifts are features, force norms and
connectivity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import clone

from ...diversity.errors import ConfigurationError, DataError
from ..detectors import Density, Detector, KNearestNeighbours, Mahalanobis, ZScore
from ..detectors.base import evenly_taken
from .classifier import ClassifierTwoSample
from .composition import composition_score, unknown_elements
from .halves import Units, cuts, debiased, difference, half_rows, independent_units
from .quantiles import hold_out_quantile
from .report import ShiftReport
from .set_distances import DISTANCES, SlicedWasserstein
from .structure_rows import MOST_ATOMS, StructureRows, leading_components

__all__ = [
    "MEASURES",
    "available",
    "hold_out_quantile",
    "shift",
    "structure_shift",
    "system_scores",
]

Progress = Callable[[str], None]

#: Numbers of a structure, each with its unit and the least standard deviation that counts: one
#: atom, 10 meV/Å, one eigenvalue in a hundred.
SCALARS: dict[str, tuple[str, float]] = {
    "size": ("atoms", 1.0),
    "force_norm": ("eV/Å", 0.01),
    "predicted_force_norm": ("eV/Å", 0.01),
    "connectivity": ("1", 0.01),
}
#: Detectors on the features of atoms; the score of a structure is its atoms' mean.
DETECTORS: dict[str, Detector] = {
    "knn": KNearestNeighbours(),
    "mahalanobis": Mahalanobis(),
    "mahalanobis_per_element": Mahalanobis(per_element=True),
    "density": Density(),
}
#: Every measure, in the order in which it is told.
MEASURES: tuple[str, ...] = (
    "composition",
    "elements",
    *SCALARS,
    *DETECTORS,
    *DISTANCES,
    "classifier",
    "committee_variance",
)
#: Shares of the second set at which its place among held-out structures is told.
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Structures of a set that are compared, at most; more are thinned out evenly.
MOST_STRUCTURES = 1_000


def structure_shift(
    reference: StructureRows, rows: StructureRows, *, measures: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Score structures by their distance from a reference.

    Parameters
    ----------
    reference, rows : StructureRows
        Structures that are in the reference look too near: hold them out.
    measures : sequence of str, optional
        Of `MEASURES` without ``classifier``, which tells sets apart; all that the arrays allow by
        default.

    Returns
    -------
    dict of str to array, shape (n,)
        Higher is farther. Of a number per structure: its distance from the reference's mean in
        standard deviations. Of a distance between sets: that of the structure alone.
    """
    if "classifier" in (measures or ()):
        raise ConfigurationError("A classifier tells sets apart, and scores no structure alone.")
    measures = [m for m in available(reference, rows, measures) if m != "classifier"]
    reference, rows = leading_components(reference, rows)
    scores: dict[str, np.ndarray] = {}
    ours, theirs = reference.evenly(MOST_STRUCTURES), rows
    for name in measures:
        if name == "composition":
            scores[name] = composition_score(reference, rows)
        elif name == "elements":
            scores[name] = unknown_elements(reference, rows)
        elif name in SCALARS:
            known, new = (_column(one, name) for one in (reference, rows))
            fitted = ZScore(least_scale=SCALARS[name][1]).fit(known)
            scores[name] = -fitted.score_samples(new)
        elif name == "committee_variance":
            scores[name] = rows.scalars[name]
        elif name in DETECTORS:
            scores[name] = _detected(DETECTORS[name], reference, rows)
        else:
            known, new = _means(ours), _means(theirs)
            squared = DISTANCES[name]().prepared(known, known).score(known, new)
            scores[name] = np.sqrt(np.maximum(squared, 0.0))
    return scores


def system_scores(
    reference: StructureRows,
    systems: StructureRows,
    system: Any,
    *,
    measures: Sequence[str] | None = None,
    max_structures: int = 50,
) -> dict[str, np.ndarray]:
    """Score systems, such as molecules with some structures each, by their distance from a set.

    Parameters
    ----------
    reference : StructureRows
        Such as a training set.
    systems : StructureRows
        Structures of all systems; hold-out systems of the reference's own kind are scored alike.
    system : array of int, shape (n,)
        System of each structure, from 0; each has at least one.
    measures : sequence of str, optional
        Of `MEASURES`; all that the arrays allow by default.
    max_structures : int, optional
        Structures of a system that count, evenly taken. Distances between samples shrink with
        their number: systems of equal numbers, no fewer than this, compare best.

    Returns
    -------
    dict of str to array, shape (n_systems,)
        Higher is farther. A mean of `structure_shift` over the system's structures; for distances
        between sets, that of the system's structures from the reference, not debiased, so that it
        ranks; for ``classifier`` 2·AUC − 1, which may be negative.
    """
    of = np.asarray(system)
    if of.shape != (len(systems),) or of.min() < 0 or len(np.unique(of)) != of.max() + 1:
        raise DataError("Systems must be numbered from 0, a number for each structure.")
    members = [np.flatnonzero(of == k) for k in range(int(of.max()) + 1)]
    members = [rows[evenly_taken(len(rows), max_structures)] for rows in members]
    taken = np.concatenate(members)
    starts = np.cumsum([0, *map(len, members)])
    reference, chosen = leading_components(reference, systems.select(taken))
    wanted = available(reference, chosen, measures)
    if measures is None and min(map(len, members)) < 2:
        wanted = [m for m in wanted if m != "classifier"]
    single = [m for m in wanted if m not in DISTANCES and m != "classifier"]
    scores = {
        name: np.add.reduceat(values, starts[:-1]) / np.diff(starts)
        for name, values in structure_shift(reference, chosen, measures=single).items()
    }
    if len(single) < len(wanted):
        known, new = _means(reference.evenly(MOST_STRUCTURES)), _means(chosen)
        parts = [new[a:b] for a, b in pairwise(starts)]
        for name in (m for m in wanted if m in DISTANCES):
            settled = DISTANCES[name]().prepared(known, known)
            scores[name] = np.array([settled.squared(known, part) ** 0.5 for part in parts])
        if "classifier" in wanted:
            told = ClassifierTwoSample()
            scores["classifier"] = np.array([told.separation(known, part) for part in parts])
    return {name: scores[name] for name in wanted}


def shift(
    a: StructureRows,
    b: StructureRows,
    *,
    measures: Sequence[str] | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> ShiftReport:
    """Measure the shift from one set to another.

    Parameters
    ----------
    a : StructureRows
        The reference, such as a training set; two structures at least.
    b : StructureRows
    measures : sequence of str, optional
        Of `MEASURES`; all that the arrays allow by default.
    random_state : int, optional
        Of the halves that debias and give intervals; see `breadth.analysis.shift.halves`.
    progress : callable, optional
        Called with each measure before it is computed.

    Returns
    -------
    ShiftReport
        A dictionary that notebooks show as a table. ``measures``: by name ``distance`` (≥ 0; 0
        between a set and itself), ``interval`` (95 %; None where a set is one unit, with the
        ``reason``), ``quantiles`` (by probability p, where the p-quantile of b's structures stands
        among held-out structures of a, from 0 to 1), ``outside`` (share of b's structures beyond
        95 % of those) and ``unit``. ``units`` and ``n_units``: what the intervals take as drawn
        independently, molecules or blocks of consecutive structures.

    Raises
    ------
    DataError
        If the reference has fewer than two structures.
    ConfigurationError
        If a measure is not known, or the arrays for it are not there.
    """
    wanted = available(a, b, measures)
    if len(a) < 2:
        raise DataError("The reference of a shift needs two structures at least, and has one.")
    tell = progress or (lambda name: None)
    # Thinned evenly before units are made, so that blocks stay consecutive.
    a, b = leading_components(*(one.evenly(MOST_STRUCTURES) for one in (a, b)))
    units = independent_units(a.molecule, b.molecule, same=_equal(a, b))
    half = cuts(units, n_cuts=1, random_state=random_state)[0]
    halves = half_rows(units.a, half), half_rows(units.b, half)
    options: dict[str, Any] = {"random_state": random_state}
    found = {}
    for name in wanted:
        tell(name)
        if name == "classifier":
            told = ClassifierTwoSample(random_state=random_state)
            estimate, held, new = told.estimate(_means(a), _means(b), units=units)
            place = hold_out_quantile(new, held)
        else:
            held, new, place = _held_out(name, a, b, *halves)
            if name in DISTANCES or name in SCALARS:
                tables = _table(a, name), _table(b, name)
                kind = DISTANCES.get(name, SlicedWasserstein)().prepared(*tables)
                estimate = debiased(kind.squared, *tables, units=units, **options)
            else:
                most = 1.0 if name in ("composition", "elements") else np.inf
                estimate = difference(held, new, units=units, most=most, **options)
        found[name] = {
            "distance": estimate.distance,
            "interval": None if estimate.interval is None else list(estimate.interval),
            "quantiles": {
                f"{p:g}": float(np.quantile(place, p, method="inverted_cdf")) for p in PROBABILITIES
            },
            "outside": float((place > 0.95).mean()),
            "unit": _unit(name),
            **({"reason": _one_unit(units)} if estimate.interval is None else {}),
        }
    n_units = [len(np.unique(one)) for one in (units.a, units.b)]
    return ShiftReport(measures=found, units=units.kind, n_units=n_units)


def available(
    a: StructureRows, b: StructureRows, measures: Sequence[str] | None = None
) -> list[str]:
    """Return the measures that two sets' arrays allow, or those asked for where they do.

    Raises
    ------
    ConfigurationError
        If one that is asked for is not known, or arrays for it are not there.
    """
    features = a.features is not None and b.features is not None
    needs: Mapping[str, bool] = {
        **dict.fromkeys(MEASURES, features),
        "classifier": features and min(len(a), len(b)) > 1,
        **{name: name in a.scalars and name in b.scalars for name in SCALARS},
        "committee_variance": "committee_variance" in a.scalars
        and "committee_variance" in b.scalars,
        **dict.fromkeys(("composition", "elements", "size"), True),
    }
    for name in measures or ():
        if name not in needs:
            raise ConfigurationError(
                f"There is no measure of shift {name!r}. Measures: {', '.join(MEASURES)}."
            )
        if not needs[name]:
            raise ConfigurationError(f"The sets lack what the measure {name} reads; leave it out.")
    return [m for m in MEASURES if needs[m] and (measures is None or m in measures)]


def _equal(a: StructureRows, b: StructureRows) -> bool:
    """Tell whether two sets are one, record by record."""
    pairs = [(getattr(a, k), getattr(b, k)) for k in ("numbers", "offsets", "molecule")]
    pairs += [(a.scalars[k], b.scalars.get(k)) for k in a.scalars]
    pairs += [(a.features, b.features)]
    return all(np.array_equal(x, y) for x, y in pairs)  # None equals None


def _held_out(
    name: str,
    a: StructureRows,
    b: StructureRows,
    halves_a: tuple[np.ndarray, np.ndarray],
    halves_b: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score both sets by references that lack each structure's unit.

    Returns
    -------
    scores_a, scores_b : array, shape (n,) and (m,)
    place : array, shape (m,)
        Quantile of each structure of b among those of a that were scored by the same reference.
    """
    scores_a, scores_b, place = np.zeros(len(a)), np.zeros(len(b)), np.zeros(len(b))
    times = np.zeros(len(b))
    for fitted, held, new in zip(halves_a, halves_a[::-1], halves_b[::-1], strict=True):
        reference = a.select(fitted)
        ours, theirs = (
            structure_shift(reference, one, measures=[name])[name]
            for one in (a.select(held), b.select(new))
        )
        scores_a[held] = ours
        scores_b[new] += theirs
        place[new] += hold_out_quantile(theirs, ours)
        times[new] += 1  # a set of one unit is scored by both references
    return scores_a, scores_b / times, place / times


def _detected(detector: Detector, reference: StructureRows, rows: StructureRows) -> np.ndarray:
    assert reference.features is not None
    assert rows.features is not None
    n = max(1, int(MOST_ATOMS / reference.counts.mean()))
    taken = reference.evenly(n)
    fitted = clone(detector).fit(taken.features, elements=taken.numbers)
    return rows.mean_of_atoms(-fitted.score_samples(rows.features, elements=rows.numbers))


def _column(rows: StructureRows, name: str) -> np.ndarray:
    return np.asarray(rows.counts if name == "size" else rows.scalars[name], float)[:, None]


def _table(rows: StructureRows, name: str) -> np.ndarray:
    return _column(rows, name) if name in SCALARS else _means(rows)


def _means(rows: StructureRows) -> np.ndarray:
    assert rows.features is not None
    return rows.mean_of_atoms(rows.features)


def _unit(name: str) -> str:
    if name in SCALARS:
        return SCALARS[name][0]
    units = {
        **dict.fromkeys(("knn", "frechet", "sliced_wasserstein"), "features"),
        **dict.fromkeys(("mahalanobis", "mahalanobis_per_element"), "standard deviations"),
        "energy_distance": "√features",
        "density": "nats",
        "committee_variance": "eV/Å",
    }
    return units.get(name, "1")


def _one_unit(units: Units) -> str:
    which = "first" if len(np.unique(units.a)) < 2 else "second"
    return f"the {which} set holds one {units.kind} only: nothing tells how it varies"
