"""The Laplacian spectra of a training set, and how far those of other structures are from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...diversity.conformers import ConformerSet
from ...diversity.errors import DataError
from ...diversity.graphs import fraction_near_one
from ...diversity.spectra import spectra_at

Form = Literal["padded", "fraction", "wasserstein"]
FORMS = ("padded", "fraction", "wasserstein")
#: Eigenvalues in memory at once.
_CHUNK = 2**23


@dataclass(frozen=True, eq=False, kw_only=True)
class SpectrumReference:
    """Laplacian spectra of a training set at the cutoff that a potential was trained with.

    Parameters
    ----------
    cutoff : float
        In Å.
    max_neighbours : int or None
        Most neighbours of an atom, nearest first; see :func:`~breadth.diversity.spectra`.
    padded : array, shape (N,)
        Mean over structures of ascending eigenvalues, zero-padded at the end.
    fraction : float
        Mean over structures of the fraction of eigenvalues in [0.9, 1.1].
    values, weights : array, shape (K,)
        The distribution of eigenvalues, ascending; every structure weighs alike.
    """

    cutoff: float
    max_neighbours: int | None
    padded: np.ndarray
    fraction: float
    values: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(
        cls, conformers: ConformerSet, cutoff: float, *, max_neighbours: int | None = 50
    ) -> SpectrumReference:
        """Return the spectra of a set at a cutoff (Å).

        Raises
        ------
        DataError
            If the set is empty.
        """
        n = len(conformers)
        if n == 0:
            raise DataError("Radius refinement compares with a training set; this one is empty.")
        padded = np.zeros(int(conformers.counts.max()))
        fraction, found = 0.0, []
        for rows in chunks(conformers, 1):
            part = conformers.select(rows)
            spectra = spectra_at(part, np.array([cutoff]), max_neighbours=max_neighbours)[:, 0]
            padded[: spectra.shape[1]] += spectra.sum(0)
            fraction += float(fraction_near_one(spectra, part.counts).sum())
            there = np.arange(spectra.shape[1]) < part.counts[:, None]
            weights = np.repeat(1.0 / part.counts, part.counts)
            found.append(_pooled(spectra[there].round(9), weights))
        values, sums = _pooled(*(np.concatenate(x) for x in zip(*found, strict=True)))
        return cls(
            cutoff=float(cutoff),
            max_neighbours=max_neighbours,
            padded=padded / n,
            fraction=fraction / n,
            values=values,
            weights=sums / sums.sum(),
        )

    def distances(self, spectra: np.ndarray, counts: np.ndarray, form: Form) -> np.ndarray:
        """Return how far spectra are from these.

        Parameters
        ----------
        spectra : array, shape (n, R, N)
            Ascending, zero-padded at the end.
        counts : array of int, shape (n,)
            Atoms of each structure.
        form : {'padded', 'fraction', 'wasserstein'}

        Returns
        -------
        array, shape (n, R)
        """
        if form == "fraction":
            return np.abs(fraction_near_one(spectra, counts) - self.fraction)
        if form == "padded":
            n = min(spectra.shape[-1], len(self.padded))
            rest = np.square(self.padded[n:]).sum() + np.square(spectra[..., n:]).sum(-1)
            return np.square(spectra[..., :n] - self.padded[:n]).sum(-1) + rest
        found = np.empty(spectra.shape[:2])
        for size in np.unique(counts):
            rows = counts == size
            found[rows] = self._wasserstein(spectra[rows][..., :size])
        return found

    def _wasserstein(self, spectra: np.ndarray) -> np.ndarray:
        # ∫ |λ_k − Q(u)| du over u in ((k − 1)/N, k/N], Q the quantiles of the reference: below
        # the level at which Q passes λ_k the integrand is λ_k − Q, above it Q − λ_k.
        edges = np.linspace(0.0, 1.0, spectra.shape[-1] + 1)
        low, high = edges[:-1], edges[1:]
        levels = np.concatenate([[0.0], np.cumsum(self.weights)])
        levels[-1] = 1.0
        integral = np.concatenate([[0.0], np.cumsum(self.weights * self.values)])
        passed = levels[np.searchsorted(self.values, spectra, side="right")]
        middle = np.clip(passed, low, high)
        below = spectra * (2 * middle - low - high)
        at_low, at_high = np.interp(low, levels, integral), np.interp(high, levels, integral)
        return (below + at_low + at_high - 2 * np.interp(middle, levels, integral)).sum(-1)


def _pooled(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each value once, ascending, with the sum of its weights."""
    once, place = np.unique(values, return_inverse=True)
    return once, np.bincount(place.ravel(), weights)


def chunks(conformers: ConformerSet, n_radii: int) -> Iterator[np.ndarray]:
    """Yield rows, so many at a time that their spectra fit in memory."""
    step = max(1, _CHUNK // (n_radii * int(conformers.counts.max(initial=1))))
    for start in range(0, len(conformers), step):
        yield np.arange(start, min(start + step, len(conformers)))
