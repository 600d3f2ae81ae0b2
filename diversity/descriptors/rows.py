"""Rows of features: all of a set, a chunk at a time, by atom or by structure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from ..conformers import ConformerSet
from ..errors import DataError
from ..protocols import Featurizer

#: Atoms whose features are in memory at a time where a chunk is all that is needed; a featurizer
#: with an attribute `chunk_atoms` knows better.
CHUNK_ATOMS = 4096

AnyFeaturizer = TypeVar("AnyFeaturizer", bound=Featurizer)


def bound(featurizer: AnyFeaturizer, *sets: ConformerSet) -> AnyFeaturizer:
    """Return the featurizer with what it takes from its sets settled, so that columns agree.

    A descriptor whose columns depend on the elements (SOAP) has a method ``bound_to``; any other
    is returned as it is.
    """
    bind = getattr(featurizer, "bound_to", None)
    return featurizer if bind is None else bind(*sets)


def feature_chunks(
    conformers: ConformerSet, featurizer: Featurizer, *, chunk: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a featurizer's rows and offsets, checked to be finite and of the right number.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer
    chunk : int, optional
        Conformers at a time; so many as have some 4,000 atoms by default, or the featurizer's
        own number.

    Raises
    ------
    DataError
        If a feature is NaN or infinite, or rows are missing.
    """
    if chunk is None:
        atoms = getattr(featurizer, "chunk_atoms", CHUNK_ATOMS)
        chunk = max(1, atoms * len(conformers) // max(1, conformers.n_atoms))
    begin = 0
    for rows, offsets in featurizer.iter_features(conformers, chunk):
        finite = np.isfinite(np.einsum("ij->i", rows))  # a sum is, if all its terms are
        if not finite.all():
            place = int(np.searchsorted(offsets, np.flatnonzero(~finite)[0], side="right")) - 1
            raise DataError(
                f"The features of conformer {begin + place} (id "
                f"{conformers.id[begin + place].decode()}) are NaN or infinite "
                f"({getattr(featurizer, 'name', type(featurizer).__name__)}). Leave it out, or use "
                "another descriptor."
            )
        begin += len(offsets) - 1
        yield rows, offsets
    if begin != len(conformers):
        raise DataError(f"The featurizer gave features of {begin} of {len(conformers)} conformers.")


def atomic_features(
    conformers: ConformerSet, featurizer: Featurizer, *, chunk: int | None = None
) -> np.ndarray:
    """Return the features of all atoms of a set, in their order.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer
    chunk : int, optional
        Conformers at a time; see `feature_chunks`.

    Returns
    -------
    array of float32, shape (A, d)

    Raises
    ------
    DataError
        If the set is empty, or a feature is NaN or infinite.
    """
    result, begin = None, 0
    for rows, _ in feature_chunks(conformers, featurizer, chunk=chunk):
        if result is None:
            result = np.empty((conformers.n_atoms, rows.shape[1]), dtype=np.float32)
        result[begin : begin + len(rows)] = rows
        begin += len(rows)
    if result is None:
        raise DataError("An empty set has no features.")
    return result


def some_features(
    conformers: ConformerSet,
    featurizer: Featurizer,
    atoms: np.ndarray,
    *,
    chunk: int | None = None,
) -> np.ndarray:
    """Return the features of some atoms; memory holds theirs and a chunk.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer
    atoms : array of int, shape (q,)
        Ascending.
    chunk : int, optional
        Conformers at a time; see `feature_chunks`.

    Returns
    -------
    array of float32, shape (q, d)

    Raises
    ------
    DataError
        If a feature is NaN or infinite.
    """
    owner = conformers.atom_conformer[atoms]
    needed, place = np.unique(owner, return_inverse=True)
    part = conformers.select(needed) if len(needed) < len(conformers) else conformers
    rows = part.offsets[place] + atoms - conformers.offsets[owner]
    taken, begin = [], 0
    for features, _ in feature_chunks(part, featurizer, chunk=chunk):
        end = begin + len(features)
        taken.append(features[rows[(rows >= begin) & (rows < end)] - begin])
        begin = end
    return np.concatenate(taken)


def structure_chunks(
    conformers: ConformerSet, featurizer: Featurizer, *, chunk: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the means of the features of each structure's atoms, as `feature_chunks` does."""
    for rows, offsets in feature_chunks(conformers, featurizer, chunk=chunk):
        means = np.add.reduceat(rows, offsets[:-1], dtype=np.float64)
        yield (means / np.diff(offsets)[:, None]).astype(np.float32)


def structure_features(
    conformers: ConformerSet, featurizer: Featurizer, *, chunk: int | None = None
) -> np.ndarray:
    """Return the mean of the features of each structure's atoms.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer
    chunk : int, optional
        Conformers at a time; see `feature_chunks`.

    Returns
    -------
    array of float32, shape (n, d)

    Raises
    ------
    DataError
        If the set is empty, or a feature is NaN or infinite.
    """
    means = list(structure_chunks(conformers, featurizer, chunk=chunk))
    if not means:
        raise DataError("An empty set has no features.")
    return np.concatenate(means)
