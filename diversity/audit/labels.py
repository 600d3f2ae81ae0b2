"""Checks of labels one record at a time: what is missing, and forces that move the whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..conformers import ConformerSet
from .findings import Finding, report

#: Net force that rounding and grids of a sound calculation leave, eV/Å for each atom.
NET_FORCE_LIMIT = 1e-3
#: Net torque over the number of atoms and the radius of gyration, eV/Å; grids turn more than push.
TORQUE_LIMIT = 5e-3


def missing_labels(conformers: ConformerSet) -> dict[str, Any]:
    """Find energies without forces, forces without energy, and records without any label.

    A level that covers a part of the set is no fault, as long as each record has some level.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
        See :func:`breadth.diversity.audit.findings.report`.
    """
    found = []
    labelled = np.zeros(len(conformers), dtype=bool)
    notes = []
    for level, labels in conformers.levels.items():
        labelled |= labels.has_energy | labels.has_forces
        for name, mask in (
            ("forces", labels.has_energy & ~labels.has_forces),
            ("energy", labels.has_forces & ~labels.has_energy),
        ):
            rows = np.flatnonzero(mask)
            found += [Finding(int(row), 1.0, f"no {name} at level {level}") for row in rows]
            if len(rows):
                notes.append(f"{len(rows)} of {len(conformers)} lack {name} at level {level}")
    if not labelled.any():
        return report("missing_labels", conformers, [], 0, "the set has no labels")
    bare = np.flatnonzero(~labelled)
    found += [Finding(int(row), 2.0, "no label at any level") for row in bare]
    if len(bare):
        notes.append(f"{len(bare)} of {len(conformers)} have no label")
    return report("missing_labels", conformers, found, len(conformers), "; ".join(notes))


def net_force(conformers: ConformerSet) -> dict[str, Any]:
    """Find records whose forces sum to more than `NET_FORCE_LIMIT` for each atom.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
    """
    found, checked = [], np.zeros(len(conformers), dtype=bool)
    for level, labels in conformers.levels.items():
        judged = labels.has_forces & (conformers.counts > 1)
        checked |= judged
        total = np.linalg.norm(_summed(labels.forces, conformers), axis=1) / conformers.counts
        for row in np.flatnonzero(judged & (total > NET_FORCE_LIMIT)):
            what = f"forces sum to {total[row] * 1e3:.3g} meV/Å for each atom at level {level}"
            found.append(Finding(int(row), float(total[row]), what))
    return report("net_force", conformers, found, int(checked.sum()))


def net_torque(conformers: ConformerSet) -> dict[str, Any]:
    """Find molecules, not periodic structures, whose forces would turn them.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
    """
    found, checked = [], np.zeros(len(conformers), dtype=bool)
    positions = conformers.positions.astype(np.float64)
    centre = _summed(positions, conformers) / conformers.counts[:, None]
    arm = positions - centre[conformers.atom_conformer]
    squares = _summed(arm**2, conformers).sum(axis=1)
    lever = conformers.counts * np.sqrt(squares / conformers.counts)
    for level, labels in conformers.levels.items():
        judged = labels.has_forces & (conformers.counts > 1) & ~conformers.pbc.any(axis=1)
        checked |= judged
        torque = np.linalg.norm(_summed(np.cross(arm, labels.forces), conformers), axis=1)
        share = np.divide(torque, lever, out=np.zeros_like(torque), where=lever > 0)
        for row in np.flatnonzero(judged & (share > TORQUE_LIMIT)):
            what = f"torque of {torque[row]:.3g} eV at level {level}"
            found.append(Finding(int(row), float(share[row]), what))
    note = "periodic structures have no torque" if conformers.pbc.any() else ""
    return report("net_torque", conformers, found, int(checked.sum()), note)


def _summed(values: np.ndarray, conformers: ConformerSet) -> np.ndarray:
    """Return the sums over the atoms of each conformer, shape (n, 3)."""
    if not len(conformers):
        return np.zeros((0, 3))
    return np.add.reduceat(values.astype(np.float64), conformers.offsets[:-1], axis=0)
