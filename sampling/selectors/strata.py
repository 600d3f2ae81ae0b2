"""Selectors by groups and by values: scaffolds, strata of energy and force, minima, Boltzmann."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import units
from sklearn.utils.validation import check_array

from ...diversity.errors import ConfigurationError
from ...diversity.randomness import generator
from .base import Selector, round_robin
from .farthest import farthest

ANY_LABELS = frozenset({"prior_labels", "reference_labels"})


class Groups(Selector):
    """Rows from as many groups as evenly as possible, in random order; `y` are the groups.

    What is given are groups, as `y`: those that have more of it come later.
    """

    takes = "groups"

    def _target(self, y: np.ndarray, n: int) -> np.ndarray:
        groups = np.asarray(y)
        if groups.shape != (n,):
            raise ValueError(f"groups of shape {groups.shape} for {n} rows")
        return groups

    def _given(self, given: Any, X: np.ndarray) -> np.ndarray:
        return np.asarray(given)

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        there = np.array([], dtype=y.dtype) if given is None else given
        names, codes = np.unique(np.concatenate([y, there]), return_inverse=True)
        taken = np.bincount(codes[len(y) :], minlength=len(names))
        return round_robin(codes[: len(y)], shuffled, taken)[:wanted]


class Scaffold(Groups):
    """Molecules from as many scaffolds as evenly as possible."""

    reads = frozenset({"structure"})
    target = "scaffold"
    levels = ("molecules", "structures")


class _Strata(Selector):
    """Rows spread evenly over strata of one value, which is `y`.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    n_strata : int
        Strata, of equal width between the least and the greatest value. Those that run empty
        leave their share to the others.
    """

    reads = ANY_LABELS
    takes = "labels"
    levels = ("conformers", "structures")

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, n_strata: int = 10
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.n_strata = n_strata

    def _given(self, given: Any, X: np.ndarray) -> np.ndarray:
        return _values(given)

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        if self.n_strata < 1:
            raise ConfigurationError(f"n_strata = {self.n_strata}: it must be at least 1.")
        values = y if given is None else np.concatenate([y, given])
        inner = np.linspace(values.min(), values.max(), self.n_strata + 1)[1:-1]
        strata = np.searchsorted(inner, values, side="right")
        taken = np.bincount(strata[len(y) :], minlength=self.n_strata)
        return round_robin(strata[: len(y)], shuffled, taken)[:wanted]


class EnergyStrata(_Strata):
    """Structures spread evenly over energies above their molecule's lowest, in eV."""

    target = "relative_energy"


class ForceStrata(_Strata):
    """Structures spread evenly over mean force norms, in eV/Å."""

    target = "force_norm"


class Boltzmann(Selector):
    """Rows drawn without replacement with weights exp(−E/kT); `y` is E in eV.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    temperature : float
        T in K.

    Notes
    -----
    The k largest of −E/kT plus Gumbel noise are such a draw (Efraimidis and Spirakis 2006; Kool et
    al., arXiv:1903.06059), so that a shorter draw is the beginning of a longer. What is given
    changes nothing.
    """

    reads = ANY_LABELS
    takes = "labels"
    target = "relative_energy"
    levels = ("conformers", "structures")

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, temperature: float = 300.0
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.temperature = temperature

    def _given(self, given: Any, X: np.ndarray) -> np.ndarray:
        return _values(given)

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        if not self.temperature > 0:
            raise ConfigurationError(f"temperature = {self.temperature}: it must be above 0 K.")
        noise = generator(self.random_state, "boltzmann").gumbel(size=len(y))
        return np.argsort(-(noise - y / (units.kB * self.temperature)), kind="stable")[:wanted]


class DiverseMinima(Selector):
    """Structures of as many minima as possible, the least displaced first; `y` names the minima.

    Each minimum is stood for by the row nearest the mean of its rows, and minima follow each other
    by farthest point. When each has given one row, each gives the row farthest from it, and so on.
    Of molecules whose minima are not known, torsional basins take their place.
    """

    reads = frozenset({"geometry", "structure"})
    target = "minimum"
    levels = ("conformers", "structures")

    def _target(self, y: np.ndarray, n: int) -> np.ndarray:
        groups = np.asarray(y)
        if groups.shape != (n,):
            raise ValueError(f"minima of shape {groups.shape} for {n} rows")
        return groups

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        names, codes = np.unique(y, return_inverse=True)
        members = [np.flatnonzero(codes == c) for c in range(len(names))]
        central = np.array([m[_nearest_mean(X[m])] for m in members])
        start = int(codes[shuffled[0]])
        turn = farthest(X[central], len(names), start=start, given=given)
        within = []
        for c in turn:
            rest = members[c][members[c] != central[c]]
            order = central[c : c + 1]
            if len(rest) and wanted > len(names):
                more = farthest(X[rest], len(rest), start=0, given=X[order])
                order = np.concatenate([order, rest[more]])
            within.append(order)
        places = np.concatenate([np.arange(len(order)) for order in within])
        return np.concatenate(within)[np.argsort(places, kind="stable")][:wanted]


def _nearest_mean(X: np.ndarray) -> int:
    rows = X.astype(np.float64)
    return int(((rows - rows.mean(0)) ** 2).sum(1).round(12).argmin())


def _values(given: Any) -> np.ndarray:
    return check_array(given, ensure_2d=False, dtype=np.float64, input_name="given").ravel()
