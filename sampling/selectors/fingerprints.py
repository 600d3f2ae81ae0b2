"""Selectors of molecules by fingerprints: MaxMin and Butina's clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...diversity.errors import ConfigurationError
from .base import Selector, round_robin
from .farthest import Progress, as_words, bits_within, farthest, neighbour_counts


class _Fingerprints(Selector):
    """Takes packed fingerprints: uint8, shape (n, bits / 8)."""

    reads = frozenset({"structure"})
    takes = "fingerprints"
    levels = ("molecules", "structures")

    def _table(self, X: Any, *, reset: bool) -> np.ndarray:
        packed = np.asarray(X)
        if packed.dtype != np.uint8 or packed.ndim != 2 or not packed.size:
            raise ValueError(
                "fingerprints must be packed bits: uint8 of shape (n, bits / 8), not "
                f"{packed.dtype} of shape {packed.shape}"
            )
        if reset:
            self.n_features_in_ = packed.shape[1]
        elif packed.shape[1] != self.n_features_in_:
            raise ValueError(
                f"fingerprints of {packed.shape[1]} bytes are given for those of "
                f"{self.n_features_in_}"
            )
        return packed


class MaxMin(_Fingerprints):
    """Each molecule the farthest, by Tanimoto distance, from all taken before.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    progress : callable, optional
        Called with molecules taken and wanted every now and then.

    Notes
    -----
    The same picks as RDKit's `MaxMinPicker.LazyBitVectorPick`, in half the time and memory, with
    one exception: two fingerprints without any bit are at distance 0, there 1. Ashton et al.,
    QSAR 21, 598 (2002).
    """

    def __init__(
        self,
        *,
        n_to_select: int | None = None,
        random_state: int = 0,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.progress = progress

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        return farthest(
            as_words(X),
            wanted,
            start=int(shuffled[0]),
            given=None if given is None else as_words(given),
            progress=self.progress,
        )


class Butina(_Fingerprints):
    """Molecules from Butina's clusters, the centres of the largest first, then one more of each.

    A cluster is a molecule and all molecules within a cutoff of it that are in no earlier cluster;
    the molecule with most neighbours comes first. Clusters that hold some of what is given come
    later. Replicates are equal.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    cutoff : float
        Tanimoto distance, 0 … 1.

    Notes
    -----
    Butina, J. Chem. Inf. Comput. Sci. 39, 747 (1999). The time is quadratic in molecules (10⁵ of
    2048 bits: minutes), the memory linear.
    """

    quadratic = True

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, cutoff: float = 0.35
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.cutoff = cutoff

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        if not 0 <= self.cutoff <= 1:
            raise ConfigurationError(f"cutoff = {self.cutoff}: it must lie within 0 and 1.")
        words = as_words(X)
        labels, centres = butina_clusters(words, self.cutoff)
        taken = np.zeros(len(centres), dtype=np.int64)
        if given is not None:
            there = as_words(given)
            for c, centre in enumerate(centres):
                taken[c] = np.count_nonzero(bits_within(words[centre], there, self.cutoff))
        # Clusters are numbered by size; a centre comes first in its own.
        later = np.ones(len(words), dtype=bool)
        later[centres] = False
        return round_robin(labels, np.lexsort((later, labels)), taken)[:wanted]


def butina_clusters(words: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Cluster rows of bits by Butina's algorithm.

    Parameters
    ----------
    words : array of uint64, shape (n, w)
    cutoff : float
        Tanimoto distance within which two rows are neighbours.

    Returns
    -------
    labels : array of int64, shape (n,)
        Cluster of each row: 0 is that of the row with most neighbours, the lowest of equals.
    centres : array of int64, shape (n_clusters,)
    """
    labels = np.full(len(words), -1)
    centres: list[int] = []
    for row in np.argsort(-neighbour_counts(words, cutoff), kind="stable"):
        if labels[row] < 0:
            near = bits_within(words[row], words, cutoff) & (labels < 0)
            labels[near] = len(centres)
            labels[row] = len(centres)
            centres.append(int(row))
    return labels, np.array(centres, dtype=np.int64)
