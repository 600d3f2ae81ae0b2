"""How much of a set's diversity lies between molecules and how much between conformations.

    H(x) = H(x | molecule, site) + I(x; site | molecule) + I(x; molecule)
    total = conformational + intramolecular + structural

for descriptors x of atomic environments, a site being an atom of the molecule's graph; descriptors
of whole structures have no sites, and the middle term drops out. All are in nats; every number
belongs to its bandwidth.

H(x) is the entropy of arXiv:2404.12367. The partition is the similarity-sensitive one of
arXiv:1404.6520 at order 1: H(x), H(x | molecule) and I(x; molecule) are the logarithms of its
gamma, alpha and beta diversities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from ..conformers import ConformerSet
from ..descriptors import (
    CompactDescriptor,
    bandwidth_for,
    bound,
    feature_chunks,
    some_features,
    structure_chunks,
    structure_features,
)
from ..errors import ConfigurationError, DataError
from ..html import table
from ..protocols import Featurizer
from ..randomness import generator, ordering
from ..topology import sites
from .chain_rule import TERMS, Points, Term, divide
from .environments import CURVE, EXACT_LIMIT

#: Groups of molecules that the jackknife leaves out in turn, at most; blocks of a lone molecule.
JACKKNIFE_GROUPS = 40
JACKKNIFE_BLOCKS = 20

Level = Literal["environments", "structures"]


@dataclass(frozen=True)
class Partition:
    """The partition of a set's diversity.

    Parameters
    ----------
    level : {'environments', 'structures'}
    descriptor : str
    bandwidth : float
        In the descriptor's units.
    conformational, intramolecular, structural, total : Term
    identity_error : float
        |total − sum of the terms|, each term being computed on its own.
    n_molecules, n_conformers, n_points : int
        Points are environments or structures.
    n_queries : int
        Points whose density was computed (against all); fewer than `n_points` where the partition
        was sampled. The intervals hold what that costs in precision.
    jackknife : {'molecules', 'blocks', 'none'}
        What was left out in turn: groups of molecules, or of a lone molecule blocks of
        consecutive conformers; of two molecules nothing, so that there are no intervals.
    """

    level: str
    descriptor: str
    bandwidth: float
    conformational: Term
    intramolecular: Term
    structural: Term
    total: Term
    identity_error: float
    n_molecules: int
    n_conformers: int
    n_points: int
    n_queries: int
    jackknife: str

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    def _repr_html_(self) -> str:
        terms: list[Term] = [getattr(self, name) for name in TERMS]
        columns = ["diversity", "nats", "interval", "at most"]
        rows = [
            [
                name,
                f"{term.value:.3f}",
                "–" if term.interval is None else "{:.3f} … {:.3f}".format(*term.interval),
                f"{term.ceiling:.3f}",
                *(["more samples would raise it"] if term.at_ceiling else []),
            ]
            for name, term in zip(TERMS, terms, strict=True)
        ]
        if any(term.at_ceiling for term in terms):
            columns.append("at its ceiling")
        caption = (
            f"Entropy of {self.n_points:,} {self.level}, {self.descriptor}, "
            f"bandwidth {self.bandwidth:.3g}"
        )
        return table(columns, rows, caption=caption)


def partition(
    conformers: ConformerSet,
    *,
    featurizer: Featurizer | None = None,
    level: Level = "environments",
    bandwidth: float | None = None,
    exact: bool | None = None,
    n_queries: int = 4096,
    confidence: float = 0.95,
    chunk: int | None = None,
    seed: int = 0,
) -> Partition:
    """Divide a set's diversity into conformational, intramolecular and structural.

    Environments of different elements share nothing. The cost grows with queries × points: with
    the square of the set when exact, linearly when sampled. Memory grows with queries and chunk.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer, optional
        `CompactDescriptor` by default.
    level : {'environments', 'structures'}, optional
        Structures are compared by the mean of their atoms' descriptors.
    bandwidth : float, optional
        The descriptor's own by default.
    exact : bool, optional
        Compute the density of every point; by default where there are at most 20,000, otherwise
        of `n_queries` of them, drawn evenly over molecules.
    n_queries : int, optional
    confidence : float, optional
        Of the intervals.
    chunk : int, optional
        Conformers whose descriptors are in memory at a time; so many as have some 4,000 atoms by
        default.
    seed : int, optional
        Of the draw of queries and of the jackknife's groups.

    Returns
    -------
    Partition

    Raises
    ------
    DataError
        If the set is empty, a descriptor is not finite, or atoms cannot be matched to sites.
    """
    found = _partitions(
        conformers,
        featurizer or CompactDescriptor(),
        level,
        None if bandwidth is None else [bandwidth],
        exact=exact,
        n_queries=n_queries,
        confidence=confidence,
        chunk=chunk,
        seed=seed,
    )
    return found[0]


def _partitions(
    conformers: ConformerSet,
    featurizer: Featurizer,
    level: Level,
    bandwidths: Sequence[float] | None,
    *,
    exact: bool | None,
    n_queries: int,
    confidence: float,
    chunk: int | None,
    seed: int,
) -> list[Partition]:
    """Return the partition at each bandwidth; the descriptors are computed once for all."""
    if level not in ("environments", "structures"):
        raise ConfigurationError(f"There is no level {level!r}; choose environments or structures.")
    if not len(conformers):
        raise DataError("An empty set has no diversity to divide.")
    whole = level == "structures"
    featurizer = bound(featurizer, conformers)
    if bandwidths is None:
        bandwidths = [bandwidth_for(featurizer, conformers, whole=whole)]
    conformers = _by_molecule(conformers)
    conformer = np.arange(len(conformers)) if whole else conformers.atom_conformer
    molecule = conformers.molecule[conformer]
    jackknife, group = _groups(conformers, seed)
    points = Points(
        molecule=molecule,
        site=molecule if whole else sites(conformers),
        kind=np.zeros(len(molecule), dtype=np.int64) if whole else conformers.numbers,
        group=group[conformer],
        across=jackknife == "molecules",
    )
    n = len(molecule)
    every = n <= EXACT_LIMIT if exact is None else exact
    queries = np.arange(n) if every else _drawn(conformers, conformer, min(n, n_queries), seed)
    blocks: Iterator[np.ndarray]
    if whole:
        blocks = structure_chunks(conformers, featurizer, chunk=chunk)
        features = structure_features(conformers.select(queries), featurizer, chunk=chunk)
    else:
        blocks = (rows for rows, _ in feature_chunks(conformers, featurizer, chunk=chunk))
        features = some_features(conformers, featurizer, queries, chunk=chunk)
    divided = divide(
        blocks, points, queries, features, bandwidths=bandwidths, confidence=confidence
    )
    return [
        Partition(
            level=level,
            descriptor=getattr(featurizer, "name", type(featurizer).__name__),
            bandwidth=float(h),
            **terms,
            identity_error=error,
            n_molecules=conformers.n_molecules,
            n_conformers=len(conformers),
            n_points=n,
            n_queries=len(queries),
            jackknife=jackknife,
        )
        for h, (terms, error) in zip(bandwidths, divided, strict=True)
    ]


def bandwidth_curve(
    conformers: ConformerSet,
    *,
    featurizer: Featurizer | None = None,
    level: Level = "environments",
    bandwidths: Sequence[float] | None = None,
    n_queries: int = 1024,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Return the terms at several bandwidths, a quarter to four times the default unless given.

    Parameters
    ----------
    conformers, featurizer, level, n_queries, seed
        As in `partition`, which is sampled here.
    bandwidths : sequence of float, optional

    Returns
    -------
    dict of str to list of float
        ``bandwidth`` and each term in nats.
    """
    featurizer = featurizer or CompactDescriptor()
    if bandwidths is None:
        h = bandwidth_for(featurizer, conformers, whole=level == "structures")
        bandwidths = [m * h for m in CURVE]
    rows = _partitions(
        conformers,
        featurizer,
        level,
        bandwidths,
        exact=False,
        n_queries=n_queries,
        confidence=0.95,
        chunk=None,
        seed=seed,
    )
    curve = {name: [float(getattr(row, name).value) for row in rows] for name in TERMS}
    return {"bandwidth": [float(h) for h in bandwidths], **curve}


def _by_molecule(conformers: ConformerSet) -> ConformerSet:
    """Return what descriptors and sites need of a set, one molecule's conformers together.

    The kernel is computed for each molecule in a chunk: with few in each, that are few products of
    large matrices.
    """
    if (np.diff(conformers.molecule) >= 0).all():
        return conformers
    bare = replace(conformers, levels={}, frame_extras={}, atom_extras={})
    return bare.select(np.argsort(conformers.molecule, kind="stable"))


def _groups(conformers: ConformerSet, seed: int) -> tuple[str, np.ndarray]:
    """Return what the jackknife leaves out and the group of each conformer."""
    m = conformers.n_molecules
    if m == 2:
        # Either one alone has no structural diversity: the jackknife would see no spread at all.
        return "none", np.zeros(len(conformers), dtype=np.int64)
    if m > 2:
        group = np.empty(m, dtype=np.int64)
        order = ordering(f"{seed} jackknife", conformers.molecules.key.tolist())
        group[order] = np.arange(m) % JACKKNIFE_GROUPS
        return "molecules", group[conformers.molecule]
    n = len(conformers)
    blocks = min(n, JACKKNIFE_BLOCKS)
    # Neighbours in time resemble each other, so they are left out together.
    time = np.where(np.isnan(conformers.time), -1.0, conformers.time)
    order = np.lexsort((conformers.record, time, conformers.trajectory))
    group = np.empty(n, dtype=np.int64)
    group[order] = np.arange(n) * blocks // n
    return ("blocks" if blocks > 1 else "none"), group


def _drawn(conformers: ConformerSet, conformer: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw one point from each of `count` equal stretches of the points, molecule by molecule.

    The points stand in an order of contents, so that the order of records changes nothing.
    """
    by_key = np.argsort(np.argsort(conformers.molecules.key))[conformers.molecule]
    order = ordering(f"{seed} queries", conformers.id.tolist())
    place = np.empty(len(conformers), dtype=np.int64)
    place[order[np.argsort(by_key[order], kind="stable")]] = np.arange(len(conformers))
    points = np.argsort(place[conformer], kind="stable")
    edges = np.linspace(0, len(points), count + 1)
    picked = edges[:-1] + generator(seed, "queries").random(count) * np.diff(edges)
    return np.sort(points[np.minimum(picked.astype(np.int64), len(points) - 1)])
