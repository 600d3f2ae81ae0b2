"""Observers of running dynamics: what ends a run."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..diversity.bonds import STRETCH_LIMIT
from ..diversity.conformers import ConformerSet
from ..diversity.protocols import Observer, Verdict
from .calculators import one_conformer
from .scans import known_bonds


class BondStretched:
    """Stop where a bond is longer than in the reference by more than a limit.

    Parameters
    ----------
    bonds : array of int, shape (B, 2) or (B, 3)
    reference : array, shape (N, 3)
        Undisturbed geometry, Å.
    limit : float, optional
        In Å.
    """

    def __init__(
        self, bonds: np.ndarray, reference: np.ndarray, *, limit: float = STRETCH_LIMIT
    ) -> None:
        self._i, self._j = np.asarray(bonds, dtype=np.int64).reshape(len(bonds), -1)[:, :2].T
        self._longest = _lengths(reference, self._i, self._j) + limit
        self.reason = ""

    @classmethod
    def of(cls, start: ConformerSet, *, limit: float = STRETCH_LIMIT) -> BondStretched:
        """Return the observer of one conformer's bonds, with its geometry as the reference."""
        start = one_conformer(start, "BondStretched")
        return cls(known_bonds(start), start.positions, limit=limit)

    def __call__(self, frame: Atoms) -> Verdict:
        """Judge one frame."""
        lengths = _lengths(frame.positions, self._i, self._j)
        broken = np.flatnonzero(~(lengths <= self._longest))
        if not len(broken):
            return Verdict.CONTINUE
        first = broken[0]
        a, b = (f"{frame.symbols[k]}{k}" for k in (self._i[first], self._j[first]))
        self.reason = f"bond broken: {a}–{b} at {lengths[first]:.2f} Å"
        return Verdict.STOP


def stops_where_bonds_break(start: ConformerSet) -> list[Observer]:
    """Return the observers of arXiv:2503.08674: a bond stretched by more than 0.5 Å ends a run."""
    return [BondStretched.of(start)]


def _lengths(positions: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(positions[i] - positions[j], axis=1))
