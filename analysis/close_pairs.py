"""Which atoms come close to each other along a run: distributions of distances, bonds, bond events.

All from one pass over the frames, each of which is searched for its close pairs once. Where the
frames keep one order of atoms, bonds are followed from the first frame; what does not depend on
the order (distributions, numbers of bonds between two elements) is there in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from ..diversity import ConformerSet, DataError
from ..diversity.bonds import (
    BOND_SCALE,
    CONTACT_SCALE,
    STRETCH_LIMIT,
    BondChange,
    covalent_bonds,
    pair_distances,
    pairs_within,
)
from .trajectories import BondEvent

#: Elements whose close pairs are no metal's coordination, which changes all the time in a liquid.
NONMETALS = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54))
#: Of the first frame's bonds: where more are gone and as many others stand in the median frame, the
#: frames do not follow one another.
_SHUFFLED = 0.2
#: Widths of bins, in Å, and the longest distance of a bond.
WIDTH, BOND_WIDTH, LONGEST_BOND = 0.05, 0.02, 3.0


class PairEvent(NamedTuple):
    """A bond that broke or formed along a run.

    Attributes
    ----------
    event : BondEvent
        Time of its first frame, atoms, kind, distance, and whether the last frame shows it.
    n_frames : int
        Frames that show it.
    coordination : bool
        Whether one of the atoms is a metal.
    """

    event: BondEvent
    n_frames: int
    coordination: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ClosePairs:
    """What the close pairs of t frames show.

    Parameters
    ----------
    pairs : array of int, shape (P, 2)
        Atomic numbers of each pair of elements.
    edges : array, shape (m + 1,)
        Of the bins of `radial`, in Å.
    radial : array, shape (P, m)
        Periodic: the radial distribution function g(r), 1 where atoms are strewn at random.
        Otherwise: the density of the distances of these elements, in 1/Å.
    periodic : bool
    n_bonds : array of int, shape (P, t)
        Bonds that the covalent radii suggest in each frame.
    bond_edges : array, shape (l + 1,)
    bond_lengths : array, shape (P, l)
        Density of the lengths of these bonds, in 1/Å; zeros where there is none.
    events : list of PairEvent
        In order of time; none where `no_events` says why.
    no_events : str or None
    """

    pairs: np.ndarray
    edges: np.ndarray
    radial: np.ndarray
    periodic: bool
    n_bonds: np.ndarray
    bond_edges: np.ndarray
    bond_lengths: np.ndarray
    events: list[PairEvent]
    no_events: str | None

    @property
    def names(self) -> list[str]:
        """Such as ``C–H``, shape (P,)."""
        return [element_pair(a, b) for a, b in self.pairs.tolist()]


def close_pairs(
    frames: ConformerSet, *, reach: float = 6.0, time: np.ndarray | None = None
) -> ClosePairs:
    """Search each frame for its close pairs.

    Parameters
    ----------
    frames : ConformerSet
        t frames of one composition.
    reach : float, optional
        Longest distance of the distributions, in Å; images count beyond half a cell too.
    time : array, shape (t,), optional
        Of each frame; its number by default.

    Returns
    -------
    ClosePairs

    Raises
    ------
    DataError
        If there is no frame, or frames differ in their atoms or in whether they are periodic.
    """
    if not len(frames):
        raise DataError("There is no frame whose distances could be taken.")
    numbers = _composition(frames)
    periodic = bool(frames.pbc[0].all())
    pairs, counts = _element_pairs(numbers, periodic)
    row_of = np.full((119, 119), -1)
    row_of[tuple(pairs.T)] = row_of[tuple(pairs[:, ::-1].T)] = np.arange(len(pairs))
    edges = np.arange(round(reach / WIDTH) + 1) * WIDTH
    bond_edges = np.arange(round(LONGEST_BOND / BOND_WIDTH) + 1) * BOND_WIDTH
    radial = np.zeros((len(pairs), len(edges) - 1))
    lengths = np.zeros((len(pairs), len(bond_edges) - 1))
    n_bonds = np.zeros((len(pairs), len(frames)), dtype=np.int64)
    follow = _Follower(frames)
    farthest = max(reach, LONGEST_BOND)
    for k in range(len(frames)):
        at = frames.atoms_slice(k)
        here, positions = frames.numbers[at], frames.positions[at].astype(np.float64)
        ends, d = pairs_within(positions, farthest, frames.cell[k], frames.pbc[k])
        a, b = here[ends[:, 0]], here[ends[:, 1]]
        row = row_of[a, b]
        volume = abs(np.linalg.det(frames.cell[k])) if periodic else 1.0
        radial += volume * _counted(row, d, WIDTH, radial.shape)
        bonded = (d < BOND_SCALE * (covalent_radii[a] + covalent_radii[b])) & (row >= 0)
        bonded &= ends[:, 0] != ends[:, 1]
        n_bonds[:, k] = np.bincount(row[bonded], minlength=len(pairs))
        lengths += _counted(row[bonded], d[bonded], BOND_WIDTH, lengths.shape)
        follow.take(k, positions, ends, d)
    if periodic:
        # Ordered pairs: a pair of equal elements stands for both of its directions.
        both = np.where(pairs[:, 0] == pairs[:, 1], 2.0, 1.0)[:, None]
        shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
        radial *= both / (len(frames) * counts[:, None] * shells)
    else:
        radial /= len(frames) * counts[:, None] * WIDTH
    lengths /= np.maximum(lengths.sum(axis=1, keepdims=True), 1.0) * BOND_WIDTH
    when = np.arange(len(frames), dtype=float) if time is None else np.asarray(time, dtype=float)
    events, reason = follow.told(when)
    return ClosePairs(
        pairs=pairs,
        edges=edges,
        radial=radial,
        periodic=periodic,
        n_bonds=n_bonds,
        bond_edges=bond_edges,
        bond_lengths=lengths,
        events=events,
        no_events=reason,
    )


def element_pair(a: int, b: int) -> str:
    """Return such as ``C–H`` of two atomic numbers, in the order of the alphabet."""
    return "–".join(sorted((chemical_symbols[a], chemical_symbols[b])))


def _composition(frames: ConformerSet) -> np.ndarray:
    """Return the sorted atomic numbers that all frames have."""
    first = np.sort(frames.numbers[frames.atoms_slice(0)])
    for k in range(1, len(frames)):
        if not np.array_equal(np.sort(frames.numbers[frames.atoms_slice(k)]), first):
            raise DataError(
                f"Frame {k} has other atoms than frame 0: distances along a run need one "
                "composition. Give the frames of one system."
            )
        if (frames.pbc[k] != frames.pbc[0]).any():
            raise DataError(f"Frame {k} is periodic where frame 0 is not, or the reverse.")
    return first


def _element_pairs(numbers: np.ndarray, periodic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of elements that can be close, and how many pairs of atoms each has."""
    elements, n = np.unique(numbers, return_counts=True)
    i, j = np.triu_indices(len(elements))
    if periodic:  # an atom and its own images are a pair too: g(r) of many cells tends to 1
        counts = n[i] * n[j]
    else:
        counts = np.where(i == j, n[i] * (n[i] - 1) // 2, n[i] * n[j])
    there = counts > 0
    return np.stack([elements[i], elements[j]], axis=1)[there].astype(int), counts[there]


def _counted(row: np.ndarray, d: np.ndarray, width: float, shape: tuple[int, ...]) -> np.ndarray:
    place = (d / width).astype(np.int64)
    inside = (place < shape[1]) & (row >= 0)
    flat = np.bincount(row[inside] * shape[1] + place[inside], minlength=shape[0] * shape[1])
    return flat.reshape(shape)


class _Follower:
    """Follows the bonds of the first frame, by the criteria of `diversity.bonds.pair_changes`."""

    def __init__(self, frames: ConformerSet) -> None:
        self.frames, self.n = frames, int(frames.counts[0])
        at = frames.atoms_slice(0)
        self.numbers = frames.numbers[at]
        self.ordered = bool((frames.numbers.reshape(-1, self.n) == self.numbers).all())
        positions = frames.positions[at].astype(np.float64)
        box = frames.cell[0], frames.pbc[0]
        table = frames.molecules.bond_table(int(frames.molecule[0]))
        bonds = covalent_bonds(self.numbers, positions, *box) if table is None else table
        self.bonds = np.sort(bonds[:, :2].astype(np.int64), axis=1)
        self.rest = pair_distances(positions[None], self.bonds, *box)[0]
        self.codes = self.bonds[:, 0] * self.n + self.bonds[:, 1]
        ends, d = pairs_within(positions, 2.0 * CONTACT_SCALE * covalent_radii[self.numbers], *box)
        self.near = dict(zip((ends[:, 0] * self.n + ends[:, 1])[::-1].tolist(), d[::-1].tolist(),
                             strict=True))  # fmt: skip
        #: By pair: first frame, distance there, frames that show it, last of these.
        self.seen: dict[tuple[str, int], list[float]] = {}
        self.changed = np.zeros((len(frames), 2))

    def take(self, k: int, positions: np.ndarray, ends: np.ndarray, d: np.ndarray) -> None:
        """Note the bonds that are broken and formed in a frame."""
        if not self.ordered:
            return
        lengths = pair_distances(
            positions[None], self.bonds, self.frames.cell[k], self.frames.pbc[k]
        )[0]
        broken = lengths - self.rest > STRETCH_LIMIT
        self._note("bond broken", k, self.codes[broken], lengths[broken])
        radii = covalent_radii[self.numbers]
        close = (d < CONTACT_SCALE * radii[ends].sum(axis=1)) & (ends[:, 0] != ends[:, 1])
        codes, first = np.unique(ends[close] @ [self.n, 1], return_index=True)
        shortest, between = d[close][first], radii[ends[close][first]].sum(axis=1)
        fresh = ~np.isin(codes, self.codes)
        at_rest = np.array([self.near.get(code, np.inf) for code in codes.tolist()])
        formed = fresh & (shortest < np.minimum(CONTACT_SCALE * between, 0.9 * at_rest))
        self._note("bond formed", k, codes[formed], shortest[formed])
        self.changed[k] = broken.sum(), formed.sum()

    def _note(self, kind: str, k: int, codes: np.ndarray, d: np.ndarray) -> None:
        for code, distance in zip(codes.tolist(), d.tolist(), strict=True):
            row = self.seen.setdefault((kind, code), [k, distance, 0, k])
            row[2:] = row[2] + 1, k

    def told(self, time: np.ndarray) -> tuple[list[PairEvent], str | None]:
        if not self.ordered:
            return [], "the frames differ in their order of elements, so no atom can be followed"
        if len(self.frames) > 1 and len(self.bonds):
            share = float(np.median(self.changed[1:].min(axis=1))) / len(self.bonds)
            if share > _SHUFFLED:
                return [], (
                    f"in the median frame {share:.0%} of the first frame's bonds are gone and as "
                    "many others stand: the frames do not follow one another, or atoms change "
                    "places in their order"
                )
        last = len(self.frames) - 1
        events = []
        for (kind, code), (first, distance, n_frames, latest) in self.seen.items():
            i, j = divmod(code, self.n)
            change = BondChange(kind, i, j, distance)
            event = BondEvent(float(time[int(first)]), change, latest == last)
            metal = not NONMETALS.issuperset(self.numbers[[i, j]].tolist())
            events.append(PairEvent(event, int(n_frames), metal))
        return sorted(events, key=lambda one: one.event.time), None
