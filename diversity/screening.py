"""Screen records for values that no structure can have: these are set aside, with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

#: Largest force on an atom that is believed, eV/Å. Chemical bonds break below 10 eV/Å.
LARGEST_FORCE = 1e3
#: Largest total energy per atom that is believed, eV. All-electron uranium has 7.6e5.
LARGEST_ENERGY_PER_ATOM = 1e6
#: Atoms nearer than this lie on top of each other, Å. The shortest bond, H₂, is 0.74 Å.
SHORTEST_DISTANCE = 0.1


def bad_values(
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    levels: Mapping[str, Mapping[str, np.ndarray]],
) -> str | None:
    """Say what is wrong with the values of one structure, distances between atoms left out.

    Parameters
    ----------
    positions : array of float, shape (n, 3)
        In Å.
    cell : array of float, shape (3, 3)
    pbc : array of bool, shape (3,)
    levels : mapping of str to mapping
        `energy` (eV), `forces` (eV/Å) and `stress` (eV/Å³) by level, where they are there.

    Returns
    -------
    str or None
        A fixed phrase, then details after a colon; None if all is well.
    """
    if not np.isfinite(positions).all():
        return "a position is not finite"
    if not np.isfinite(cell).all():
        return "the cell is not finite"
    if pbc.any() and _thinnest(cell, pbc) < SHORTEST_DISTANCE:
        return "the periodic cell is flat"
    for level, labels in levels.items():
        for name, value in labels.items():
            if not np.isfinite(value).all():
                return f"a label is not finite: {name} at level {level}"
        if "energy" in labels and abs(labels["energy"]) > LARGEST_ENERGY_PER_ATOM * len(positions):
            return f"an absurd energy: {float(labels['energy']):.6g} eV at level {level}"
        if "forces" in labels:
            norms = np.linalg.norm(labels["forces"], axis=1)
            if norms.max() > LARGEST_FORCE:
                atom = int(norms.argmax())
                return f"an absurd force: {norms[atom]:.4g} eV/Å on atom {atom} at level {level}"
    return None


def plainly_sound(
    positions: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
    pbcs: Sequence[np.ndarray],
    levels: Sequence[Mapping[str, Mapping[str, np.ndarray]]],
) -> bool:
    """Tell at a glance that :func:`bad_values` finds nothing wrong with any of many structures.

    Parameters
    ----------
    positions, cells, pbcs, levels : sequences
        As in :func:`bad_values`, one entry per structure.

    Returns
    -------
    bool
        False where each has to be looked at by itself.
    """
    labels = [own for by_level in levels for own in by_level.values()]
    energies = np.array([own["energy"] for own in labels if "energy" in own], dtype=np.float64)
    forces = [own["forces"] for own in labels if "forces" in own]
    others = [v for own in labels for k, v in own.items() if k not in ("energy", "forces")]
    if np.any(pbcs) or not (np.abs(energies) < LARGEST_ENERGY_PER_ATOM).all():
        return False
    if forces:
        joined = np.concatenate(forces, dtype=np.float64)
        # A component below this is one of a force that is believed; NaN is not below.
        if not (np.abs(joined) < 0.5 * LARGEST_FORCE).all():
            return False
    numbers = [np.concatenate(positions), np.asarray(cells), *map(np.asarray, others)]
    return all(bool(np.isfinite(values).all()) for values in numbers)


def overlaps(
    positions: Sequence[np.ndarray], cells: Sequence[np.ndarray], pbcs: Sequence[np.ndarray]
) -> list[str | None]:
    """Say which structures have atoms on top of each other, nearest periodic images included.

    Parameters
    ----------
    positions : sequence of array, shape (n_i, 3)
        In Å, finite.
    cells, pbcs : sequence of array, shapes (3, 3) and (3,)

    Returns
    -------
    list of str or None
        As :func:`bad_values`, one entry per structure.
    """
    reasons: list[str | None] = [None] * len(positions)
    groups: dict[tuple[int, bool], list[int]] = {}
    for i, where in enumerate(positions):
        if len(where) > 1:
            groups.setdefault((len(where), bool(pbcs[i].any())), []).append(i)
    for (n, periodic), members in groups.items():
        # Blocks bound the memory of a pair table: to some 30 MB, or to what the cache holds.
        size = max(1, (1_200_000 if periodic else 30_000) // (n * n))
        for start in range(0, len(members), size):
            block = members[start : start + size]
            where = np.stack([positions[i] for i in block]).astype(np.float64)
            frames = (
                (np.stack([cells[i] for i in block]), np.stack([pbcs[i] for i in block]))
                if periodic
                else None
            )
            for k, (a, b, distance) in _nearest(where, frames).items():
                reasons[block[k]] = f"atoms overlap: {distance:.3g} Å between atoms {a} and {b}"
    return reasons


def _nearest(
    positions: np.ndarray, frames: tuple[np.ndarray, np.ndarray] | None
) -> dict[int, tuple[int, int, float]]:
    """Return the closest pair of those structures of (m, n, 3) whose atoms overlap."""
    found: dict[int, tuple[int, int, float]] = {}
    n = positions.shape[1]
    rows = max(1, 1_200_000 // (n * len(positions)))
    for start in range(0, n, rows):
        some = positions[:, start : start + rows]
        if frames is None:
            # An axis at a time: tables of pairs with three numbers each are far slower.
            squared = np.zeros((len(positions), some.shape[1], n))
            for axis in range(3):
                apart = some[:, :, None, axis] - positions[:, None, :, axis]
                squared += np.square(apart, out=apart)
        else:
            difference = some[:, :, None, :] - positions[:, None, :, :]
            cells = np.stack([completed(c, p) for c, p in zip(*frames, strict=True)])
            inverse = np.linalg.inv(cells)[:, None]
            fraction = difference @ inverse
            # Rounding finds the nearest image of all pairs that are nearer than half the
            # thinnest slab of the cell, and so of all that overlap.
            fraction -= np.where(frames[1][:, None, None, :], np.rint(fraction), 0.0)
            squared = ((fraction @ cells[:, None]) ** 2).sum(-1)
        own = np.arange(some.shape[1])
        squared[:, own, own + start] = np.inf
        for k in np.flatnonzero(squared.min((1, 2)) < SHORTEST_DISTANCE**2):
            a, b = np.unravel_index(int(squared[k].argmin()), squared[k].shape)
            pair = (int(a) + start, int(b), float(np.sqrt(squared[k][a, b])))
            if int(k) not in found or pair[2] < found[int(k)][2]:
                found[int(k)] = pair
    return found


def completed(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Return the cell with unit vectors in place of those of directions without periodicity."""
    from ase.geometry import complete_cell

    return np.asarray(complete_cell(np.where(pbc[:, None], cell, 0.0)), dtype=np.float64)


def _thinnest(cell: np.ndarray, pbc: np.ndarray) -> float:
    """Return the smallest distance between opposite faces along periodic directions, Å."""
    vectors = cell[pbc]
    if np.linalg.matrix_rank(vectors) < len(vectors):
        return 0.0
    inverse = np.linalg.inv(completed(cell, pbc))
    return float((1.0 / np.linalg.norm(inverse, axis=0))[pbc].min())
