"""Observers of running dynamics: what ends a run, or asks for a label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms

from ..diversity.bonds import SHRINK_LIMIT, STRETCH_LIMIT, pair_distances
from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError
from ..diversity.protocols import Observer, Verdict
from .calculators import one_conformer
from .scans import known_bonds


class BondStretched:
    """Stop where a bond is longer than in the reference by more than a limit.

    Or where it has shrunk below half its length: a molecule that collapses stretches no bond.

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
        self.shortest = SHRINK_LIMIT * np.asarray(lengths)
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
        broken = np.flatnonzero(~((lengths >= self.shortest) & (lengths <= self.longest)))
        if not len(broken):
            return Verdict.CONTINUE
        a, b = (f"{frame.symbols[k]}{k}" for k in self.bonds[broken[0]].tolist())
        length, shortest = lengths[broken[0]], self.shortest[broken[0]]
        how = "collapsed" if length < shortest else "broken"
        self.reason = f"bond {how}: {a}–{b} at {length:.2f} Å"
        return Verdict.STOP


class LimitCrossed:
    """Stop a run, or ask for a label, where a score of its frames stays above a limit.

    Parameters
    ----------
    score : callable
        ``score(atoms) -> float`` of one frame, higher = farther outside; a score that is not
        finite is above any limit.
    limit : float
    verdict : Verdict, optional
        STOP, or ASK: a run that is asked about goes on, and the count begins anew, so that a long
        stay outside asks once in `patience` frames.
    patience : int, optional
        Frames in a row above the limit before it is said.

    Raises
    ------
    ConfigurationError
        For another verdict, a limit that is NaN, or a patience below 1.
    """

    def __init__(
        self,
        score: Callable[[Atoms], float],
        limit: float,
        *,
        verdict: Verdict = Verdict.STOP,
        patience: int = 1,
    ) -> None:
        if verdict not in (Verdict.STOP, Verdict.ASK):
            raise ConfigurationError("LimitCrossed stops or asks: give Verdict.STOP or Verdict.ASK")
        if np.isnan(limit) or patience < 1:
            raise ConfigurationError(f"limit = {limit}, patience = {patience}: give a number, ≥ 1")
        self.score, self.limit = score, limit
        self.verdict, self.patience = verdict, patience
        self.above = 0
        self.reason = ""

    def __call__(self, frame: Atoms) -> Verdict:
        """Judge one frame."""
        score = float(self.score(frame))
        if np.isfinite(score) and score <= self.limit:
            self.above = 0
            return Verdict.CONTINUE
        self.above += 1
        if self.above < self.patience:
            return Verdict.CONTINUE
        self.above = 0
        times = f" for {self.patience} frames in a row" if self.patience > 1 else ""
        self.reason = f"limit crossed: {score:.3g} above {self.limit:.3g}{times}"
        return self.verdict


def stops_where_bonds_break(start: ConformerSet) -> list[Observer]:
    """Return the observers of arXiv:2503.08674: a bond stretched by more than 0.5 Å ends a run."""
    return [BondStretched.of(start)]
