"""How diverse the molecules of a set are, whatever their conformations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..errors import ConfigurationError, ShortageError
from ..fingerprints import (
    FINGERPRINT_BITS,
    distinct,
    fingerprints,
    tanimoto,
    tanimoto_blocks,
    tanimoto_pairs,
)
from ..randomness import generator
from ..topology import molecular_graphs
from .richness import richness_of_graphs
from .vendi import vendi_score

#: Tanimoto distance beyond which two molecules are in different circles (arXiv:2112.12542).
CIRCLE_DISTANCE = 0.75
#: Up to so many distinct fingerprints the mean distance is over all pairs (3 s on one core).
ALL_PAIRS_LIMIT = 10_000
#: Pairs that are drawn above it.
SAMPLED_PAIRS = 1_000_000
#: Above so many molecules circles are counted in a random sample of this size.
CIRCLES_LIMIT = 100_000
#: Random parts over which measures by fingerprint are averaged when rarefied.
RAREFACTIONS = 5

_AT_ONCE = 64


def internal_diversity(
    packed: np.ndarray,
    *,
    all_pairs_limit: int = ALL_PAIRS_LIMIT,
    n_pairs: int = SAMPLED_PAIRS,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the mean Tanimoto distance 1 − T over all pairs of two different molecules.

    Time grows with the square of the number of distinct fingerprints up to `all_pairs_limit`, and
    not at all above, where pairs are drawn at random.

    Parameters
    ----------
    packed : array of uint8, shape (n, n_bytes)
    all_pairs_limit, n_pairs : int
    seed : int
        Of the pairs drawn; the order of molecules does not matter.

    Returns
    -------
    dict
        ``value``, ``standard_error`` (0 over all pairs) and ``n_pairs``; ``value`` is None with a
        ``reason`` where there are fewer than two molecules.

    Examples
    --------
    >>> round(internal_diversity(np.array([[1], [1], [2]], np.uint8))["value"], 6)
    0.666667
    """
    n = len(packed)
    if n < 2:
        none = {"value": None, "standard_error": None, "n_pairs": 0}
        return none | {"reason": "fewer than two molecules"}
    rows, counts = distinct(packed)
    if len(rows) <= all_pairs_limit:
        total = sum(
            float(counts[block] @ (similarity.astype(np.float64) @ counts))
            for block, similarity in tanimoto_blocks(rows, rows)
        )
        value = 1.0 - (total - n) / (n * (n - 1.0))
        return {"value": value, "standard_error": 0.0, "n_pairs": n * (n - 1) // 2}
    random = generator(seed, "internal diversity")
    every = np.repeat(np.arange(len(rows)), counts)
    first = random.integers(0, n, n_pairs)
    second = (first + random.integers(1, n, n_pairs)) % n
    distance = np.concatenate(
        [
            1.0 - tanimoto_pairs(rows[every[first[part]]], rows[every[second[part]]])
            for part in np.array_split(np.arange(n_pairs), math.ceil(n_pairs / 50_000))
        ]
    )
    error = float(distance.std(ddof=1)) / math.sqrt(n_pairs)
    return {"value": float(distance.mean()), "standard_error": error, "n_pairs": n_pairs}


def circles(
    packed: np.ndarray,
    *,
    distance: float = CIRCLE_DISTANCE,
    limit: int = CIRCLES_LIMIT,
    seed: int = 0,
) -> np.ndarray:
    """Return molecules that are all farther apart than a distance, and as many as greed finds.

    Their number is #Circles (Xie et al., arXiv:2112.12542), the most circles of half that radius
    that the set has room for; a greedy choice in an order drawn from the contents is a lower bound
    and leaves no molecule that could be added. Time grows with the number of molecules times that
    of circles (0.2 s for 10,000 molecules with 1,500); above `limit` molecules a random sample of
    so many is searched, which is still a lower bound.

    Parameters
    ----------
    packed : array of uint8, shape (n, n_bytes)
    distance : float
        Tanimoto distance 1 − T, from 0 to below 1.
    limit : int
    seed : int
        Of the order; that of the molecules does not matter.

    Returns
    -------
    array of uint8, shape (circles, n_bytes)
        Fingerprints of the molecules at the centres.

    Examples
    --------
    >>> len(circles(np.array([[0b1111], [0b0111], [0b1000]], np.uint8), distance=0.5))
    2
    """
    if not 0.0 <= distance < 1.0:
        raise ConfigurationError(f"The distance of circles must be in [0, 1), not {distance}.")
    rows, _ = distinct(packed)
    left = rows[generator(seed, "circles").permutation(len(rows))[:limit]]
    centres = []
    while len(left):
        # The next few at once: in a random order few of them fall into each other's circles.
        # A similarity is a ratio of small whole numbers in single precision.
        apart = 1.0 - tanimoto(left[:_AT_ONCE], left) > distance + 1e-6
        free = np.ones(len(left), dtype=bool)
        for row, others in enumerate(apart):
            if free[row]:
                centres.append(left[row])
                free &= others
        left = left[free]
    return np.array(centres, dtype=np.uint8).reshape(len(centres), np.shape(packed)[1])


def structural_measures(
    conformers: ConformerSet, *, rarefy_to: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """Return all measures of diversity between the molecules of a set.

    Each molecule counts once, however many conformers it has. Time by number of molecules m:
    structures, fingerprints and richness grow with m (about 1 ms each); Vendi scores with m³ to
    2,000 distinct fingerprints, with m² to 10,000, and no further; internal diversity with m² to
    10,000 and no further; circles with m times their number. On one core 1,000 molecules of 8
    heavy atoms take 1.3 s, and 10,000 of 15 take 39 s, half of that for Vendi scores. Memory is at
    most 0.9 GB beside the set and its structures.

    Parameters
    ----------
    conformers : ConformerSet
    rarefy_to : int, optional
        A number of molecules, at which sets of different sizes compare: richness is the one to
        expect, by formula; circles and Vendi scores are means over 5 random parts.
    seed : int, optional
        Of all samples.

    Returns
    -------
    dict
        ``n_molecules`` and ``n_without_structure`` (left out below where a structure is needed);
        ``fingerprints`` by kind: ``internal_diversity``, ``circles`` (``value``, a lower bound,
        ``distance`` and ``n_molecules`` searched), ``vendi``, and ``rarefied``; ``richness``, see
        :func:`~breadth.diversity.richness.richness_of_graphs`. ``fingerprints`` is None with a
        ``reason`` where no molecule has a structure, as in periodic sets.

    Raises
    ------
    ShortageError
        If there are fewer molecules than `rarefy_to`.
    """
    graphs = molecular_graphs(conformers)
    if rarefy_to is not None and not 1 <= rarefy_to <= len(graphs):
        raise ShortageError(
            f"Cannot rarefy {len(graphs)} molecules to {rarefy_to}: choose from 1 to {len(graphs)}."
        )
    known = [graph for graph in graphs if graph.mol is not None]
    found: dict[str, Any] = {
        "n_molecules": len(graphs),
        "n_without_structure": len(graphs) - len(known),
        "fingerprints": None,
        "richness": richness_of_graphs(graphs, rarefy_to=rarefy_to),
    }
    if not known:
        periodic = bool(conformers.pbc.any())
        found["reason"] = "periodic" if periodic else "no molecule's structure is known"
        return found
    found["fingerprints"] = {}
    for kind in FINGERPRINT_BITS:
        packed = fingerprints(known, kind)
        found["fingerprints"][kind] = {
            "internal_diversity": internal_diversity(packed, seed=seed),
            "circles": {
                "value": len(circles(packed, seed=seed)),
                "distance": CIRCLE_DISTANCE,
                "n_molecules": min(len(packed), CIRCLES_LIMIT),
            },
            "vendi": vendi_score(packed, seed=seed),
            "rarefied": None if rarefy_to is None else _rarefied(packed, rarefy_to, seed),
        }
    return found


def _rarefied(packed: np.ndarray, size: int, seed: int) -> dict[str, Any]:
    """Average what grows with the number of molecules over random parts of one size."""
    if size > len(packed):
        reason = f"structure is known of {len(packed)} molecules, fewer than {size}"
        return {"size": size, "circles": None, "vendi": None, "reason": reason}
    rows, counts = distinct(packed)
    every = np.repeat(np.arange(len(rows)), counts)
    scores = []
    for repeat in range(RAREFACTIONS):
        part = rows[generator(seed, "rarefied", repeat).choice(every, size, replace=False)]
        vendi = vendi_score(part, seed=seed)
        scores.append((len(circles(part, seed=seed)), vendi["q1"]["value"], vendi["q2"]["value"]))
    n_circles, q1, q2 = np.mean(scores, axis=0).tolist()
    return {"size": size, "circles": n_circles, "vendi": {"q1": q1, "q2": q2}}
