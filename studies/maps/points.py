"""Which molecules, structures or environments of a set a map shows, and their features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from ...diversity import ConformerSet
from ...diversity.descriptors import feature_chunks, structure_features
from ...diversity.protocols import Featurizer
from ...diversity.randomness import ordering

Level = Literal["molecules", "structures", "environments"]


class Chosen(NamedTuple):
    """Points of one set.

    Attributes
    ----------
    rows : array of int64, shape (k,)
        Conformer of each point; of a molecule, its lowest in energy.
    atoms : array of int64, shape (k,)
        Index within the conformer; −1 where the point is no environment.
    """

    rows: np.ndarray
    atoms: np.ndarray


def count(conformers: ConformerSet, level: Level) -> int:
    """Return how many points a set has."""
    return {
        "molecules": conformers.n_molecules,
        "structures": conformers.n_conformers,
        "environments": conformers.n_atoms,
    }[level]


def shares(candidates: Mapping[str, int], limit: int) -> dict[str, int]:
    """Divide a number of points evenly over sets; what a small one leaves goes to the others.

    >>> shares({"a": 5, "b": 100, "c": 100}, limit=45)
    {'a': 5, 'b': 20, 'c': 20}
    """
    given: dict[str, int] = {}
    left = limit
    for i, name in enumerate(sorted(candidates, key=lambda name: candidates[name])):
        given[name] = min(candidates[name], left // (len(candidates) - i))
        left -= given[name]
    return {name: given[name] for name in candidates}


def choose(
    conformers: ConformerSet, level: Level, *, share: int, energy: np.ndarray, seed: int
) -> Chosen:
    """Choose points of a set: all, or a random sample that depends on contents alone.

    Parameters
    ----------
    conformers : ConformerSet
    level : {'molecules', 'structures', 'environments'}
    share : int
        Most points.
    energy : array of float64, shape (n,)
        eV per atom, NaN unknown; of a molecule the conformer lowest in it is shown.
    seed : int
    """
    s = conformers
    everything = count(s, level) <= share
    if level == "molecules":
        keys = s.molecules.key
        molecules = np.arange(len(keys)) if everything else ordering(seed, keys)[:share]
        lowest = np.lexsort((s.id, np.nan_to_num(energy, nan=np.inf), s.molecule))
        rows = lowest[np.searchsorted(s.molecule[lowest], molecules)]
        return Chosen(rows, np.full(len(rows), -1))
    # No more structures than points: environments of the others would be hashed for nothing.
    rows = np.arange(len(s)) if everything else ordering(seed, s.id)[:share]
    if level == "structures":
        return Chosen(rows, np.full(len(rows), -1))
    atoms = np.concatenate([np.arange(n) for n in s.counts[rows]])
    rows = np.repeat(rows, s.counts[rows])
    if len(rows) > share:
        names = [b"%s %d" % (s.id[row], atom) for row, atom in zip(rows, atoms, strict=True)]
        kept = ordering(seed, names)[:share]
        rows, atoms = rows[kept], atoms[kept]
    return Chosen(rows, atoms)


def point_features(
    conformers: ConformerSet, chosen: Chosen, level: Level, featurizer: Featurizer
) -> np.ndarray:
    """Return the features of each point, float32 of shape (k, d).

    Of a structure they are the mean over its environments, of a molecule the mean over all its
    conformers. A chunk of conformers is in memory at a time. There is at least one point.
    """
    s = conformers
    wanted = np.unique(chosen.rows)
    if level == "molecules":
        wanted = np.flatnonzero(np.isin(s.molecule, s.molecule[chosen.rows]))
    # In the order of contents, so that chunks and sums are the same for any order of records.
    wanted = wanted[np.argsort(s.id[wanted], kind="stable")]
    place = np.full(len(s), -1)
    place[wanted] = np.arange(len(wanted))
    if level == "environments":
        return _picked(s.select(wanted), place[chosen.rows], chosen.atoms, featurizer)
    found = structure_features(s.select(wanted), featurizer)
    if level == "structures":
        return found[place[chosen.rows]]
    sums = np.zeros((s.n_molecules, found.shape[1]))
    np.add.at(sums, s.molecule[wanted], found)
    counts = np.bincount(s.molecule[wanted], minlength=s.n_molecules)
    molecules = s.molecule[chosen.rows]
    return (sums[molecules] / counts[molecules][:, None]).astype(np.float32)


def _picked(
    conformers: ConformerSet, rows: np.ndarray, atoms: np.ndarray, featurizer: Featurizer
) -> np.ndarray:
    """Return the features of some atoms."""
    order = np.argsort(rows, kind="stable")
    rows, atoms = rows[order], atoms[order]
    parts, start = [], 0
    for x, offsets in feature_chunks(conformers, featurizer):
        stop = start + len(offsets) - 1
        here = slice(*np.searchsorted(rows, [start, stop]))
        parts.append(x[offsets[rows[here] - start] + atoms[here]])
        start = stop
    found = np.concatenate(parts)
    result = np.empty_like(found)
    result[order] = found
    return result
