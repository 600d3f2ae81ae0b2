"""Stretched bonds: a scan of one, and random ones of many conformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..diversity.bonds import bond_changes, covalent_bonds
from ..diversity.concat import concat
from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, DataError, ShortageError
from ..diversity.protocols import SetAside
from ..diversity.randomness import generator
from ..diversity.tables import Extra
from .calculators import frames_of, one_conformer

_ATTEMPTS = 10


def known_bonds(conformers: ConformerSet, i: int = 0) -> np.ndarray:
    """Return the bonds (B, 2) of one conformer: its molecule's table, else from the geometry."""
    table = conformers.molecules.bond_table(int(conformers.molecule[i]))
    if table is not None:
        return table[:, :2]
    at = conformers.atoms_slice(i)
    return covalent_bonds(
        conformers.numbers[at], conformers.positions[at], conformers.cell[i], conformers.pbc[i]
    )


def side(bonds: np.ndarray, n_atoms: int, fixed: int, moving: int) -> np.ndarray | None:
    """Return the atoms that hang on the moving end of a bond; None if the bond is in a ring.

    Parameters
    ----------
    bonds : array of int, shape (B, 2) or (B, 3)
    n_atoms : int
    fixed, moving : int
        The two atoms of the bond.

    Returns
    -------
    array of bool, shape (N,), or None

    Raises
    ------
    DataError
        If there is no such bond.
    """
    ends = np.sort(np.asarray(bonds)[:, :2], axis=1)
    cut = (ends == sorted((fixed, moving))).all(axis=1)
    if not cut.any():
        raise DataError(f"Atoms {fixed} and {moving} are not bonded. Name two bonded atoms.")
    i, j = ends[~cut].T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(n_atoms, n_atoms))
    piece = connected_components(graph, directed=False)[1]
    return None if piece[fixed] == piece[moving] else piece == piece[moving]


def stretch_scan(
    start: ConformerSet, bond: tuple[int, int], changes: Sequence[float] | np.ndarray
) -> ConformerSet:
    """Stretch one bond of one conformer; its smaller side moves rigidly.

    Parameters
    ----------
    start : ConformerSet
        Of one conformer.
    bond : tuple of two int
        Bonded atoms; the bond must not be in a ring.
    changes : sequence of float, length k
        Changes of the bond's length in Å; below 0 compresses.

    Returns
    -------
    ConformerSet
        k conformers, without labels; extra `stretch` in Å.

    Raises
    ------
    DataError
        If the atoms are not bonded, or the bond is in a ring.
    ConfigurationError
        If a change would leave nothing of the bond.
    """
    start = one_conformer(start, "A bond scan")
    moved, _ = _stretched(start.positions.astype(np.float64), known_bonds(start), bond, changes)
    steps = np.asarray(changes, dtype=float)
    return frames_of(
        start,
        moved,
        source=np.full(len(steps), "stretch scan"),
        record=np.arange(len(steps)),
        frame_extras={"stretch": Extra(steps, np.ones(len(steps), dtype=bool))},
    )


def stretch_bonds(
    conformers: ConformerSet,
    *,
    n_per_conformer: int = 1,
    smallest: float = 0.1,
    largest: float = 0.4,
    compressed: bool = False,
    seed: int = 0,
) -> tuple[ConformerSet, list[SetAside]]:
    """Stretch a random bond of each conformer by a random length.

    The bond is drawn among those that are not in a ring, whose ends move rigidly: a ring bond
    cannot be stretched without its neighbours. Lengths are uniform. A geometry in which other
    atoms come too close is drawn again, ten times at most. Draws depend on seed and conformer
    alone, not on the order of the set.

    Parameters
    ----------
    conformers : ConformerSet
    n_per_conformer : int, optional
        Geometries made from each.
    smallest, largest : float, optional
        Range of the change of length in Å. Beyond 0.5 Å the bond counts as broken in this suite.
    compressed : bool, optional
        Shorten half of the bonds, by a quarter of the change: walls are steep.
    seed : int, optional

    Returns
    -------
    stretched : ConformerSet
        Without labels; provenance `minimum` and `temperature` kept, extras `parent` (conformer
        id), `stretch` (Å) and `stretched_bond` (two atoms).
    aside : list of SetAside
        Conformers without a bond to stretch or without a geometry that fits.

    Raises
    ------
    ShortageError
        If nothing could be stretched.
    """
    if not 0 <= smallest <= largest or n_per_conformer < 1:
        raise ConfigurationError(
            f"Stretching by {smallest} … {largest} Å, {n_per_conformer} times: give 0 ≤ smallest "
            "≤ largest and at least one geometry a conformer."
        )
    made, aside = [], []
    for i, parent in enumerate(conformers.id.astype("U32").tolist()):
        start = one_conformer(conformers.select([i]), "Stretching")
        bonds = known_bonds(start)
        free = [b for b in bonds.tolist() if side(bonds, start.n_atoms, *b) is not None]
        if not free:
            aside.append(SetAside(parent, "no bond outside rings"))
            continue
        kept: list[tuple[np.ndarray, float, list[int]]] = []
        for k in range(n_per_conformer):
            stream = generator(seed, "stretch", parent, k)
            for _ in range(_ATTEMPTS):
                bond = free[int(stream.integers(len(free)))]
                change = float(stream.uniform(smallest, largest))
                if compressed and stream.random() < 0.5:
                    change *= -0.25
                moved, fits = _stretched(
                    start.positions.astype(np.float64), bonds, bond, [change], start.numbers
                )
                if fits[0]:
                    kept.append((moved[0], change, bond))
                    break
            else:
                aside.append(SetAside(parent, "stretched atoms too close"))
        if kept:
            n = len(kept)
            extras = {
                "parent": np.full(n, parent),
                "stretch": np.array([change for _, change, _ in kept]),
                "stretched_bond": np.array([bond for _, _, bond in kept], dtype=np.int64),
            }
            made.append(
                frames_of(
                    start,
                    np.stack([positions for positions, _, _ in kept]),
                    source=np.full(n, "stretched"),
                    record=np.arange(n),
                    frame_extras={k: Extra(v, np.ones(n, dtype=bool)) for k, v in extras.items()},
                )
            )
    if not made:
        why = aside[0].reason if aside else "the set is empty"
        raise ShortageError(f"No bond of {len(conformers)} conformers could be stretched: {why}.")
    return concat(made), aside


def _stretched(
    x: np.ndarray,
    bonds: np.ndarray,
    bond: Sequence[int],
    changes: Sequence[float] | np.ndarray,
    numbers: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the geometries (k, N, 3), and which of them bring no other atoms together."""
    i, j = (int(atom) for atom in bond)
    moving = side(bonds, len(x), i, j)
    if moving is None:
        raise DataError(
            f"The bond {i}-{j} is in a ring, and cannot be stretched with all else rigid. Choose a "
            "bond outside rings."
        )
    if 2 * moving.sum() > len(x):
        i, j, moving = j, i, ~moving
    steps = np.asarray(changes, dtype=float)
    length = np.linalg.norm(x[j] - x[i])
    if (length + steps < 0.1).any():
        raise ConfigurationError(
            f"A bond of {length:.2f} Å cannot be shortened by {-steps.min():.2f} Å."
        )
    moved = np.repeat(x[None], len(steps), axis=0)
    moved[:, moving] += steps[:, None, None] * ((x[j] - x[i]) / length)
    if numbers is None:
        return moved, np.ones(len(steps), dtype=bool)
    changed = bond_changes(numbers, moved, bonds, x, stretch=np.inf)
    return moved, np.array([change is None for change in changed], dtype=bool)
