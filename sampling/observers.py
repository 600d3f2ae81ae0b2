"""Observers of running dynamics: what ends a run."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..diversity.bonds import STRETCH_LIMIT, pair_distances
from ..diversity.conformers import ConformerSet
from ..diversity.protocols import Observer, Verdict
from .calculators import one_conformer
from .scans import known_bonds


class BondStretched:
    """Stop where a bond is longer than in the reference by more than a limit.

    Parameters
    ----------
    bonds : array of int, shape (B, 2) or (B, 3)
    lengths : array, shape (B,)
        Undisturbed, in Å.
    limit : float, optional
        In Å.
    """

    def __init__(
        self, bonds: np.ndarray, lengths: np.ndarray, *, limit: float = STRETCH_LIMIT
    ) -> None:
        self.bonds = np.asarray(bonds)[:, :2]
        self.longest = np.asarray(lengths) + limit
        self.reason = ""

    @classmethod
    def of(cls, start: ConformerSet, *, limit: float = STRETCH_LIMIT) -> BondStretched:
        """Return the observer of one conformer's bonds, with its geometry as the reference."""
        start = one_conformer(start, "BondStretched")
        bonds = known_bonds(start)
        rest = pair_distances(start.positions[None], bonds, start.cell[0], start.pbc[0])
        return cls(bonds, rest[0], limit=limit)

    def __call__(self, frame: Atoms) -> Verdict:
        """Judge one frame; distances are between nearest images."""
        lengths = pair_distances(frame.positions[None], self.bonds, frame.cell.array, frame.pbc)[0]
        broken = np.flatnonzero(~(lengths <= self.longest))
        if not len(broken):
            return Verdict.CONTINUE
        a, b = (f"{frame.symbols[k]}{k}" for k in self.bonds[broken[0]].tolist())
        self.reason = f"bond broken: {a}–{b} at {lengths[broken[0]]:.2f} Å"
        return Verdict.STOP


def stops_where_bonds_break(start: ConformerSet) -> list[Observer]:
    """Return the observers of arXiv:2503.08674: a bond stretched by more than 0.5 Å ends a run."""
    return [BondStretched.of(start)]
