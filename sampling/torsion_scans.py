"""Torsions turned rigidly, or with the rest relaxed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase.constraints import FixInternals
from ase.optimize import BFGS

from ..diversity.bonds import bond_changes
from ..diversity.concat import concat
from ..diversity.conformers import ConformerSet
from ..diversity.errors import DataError, ShortageError
from ..diversity.protocols import SetAside
from ..diversity.tables import Extra, Labels
from ..diversity.topology import molecular_graphs
from ..diversity.torsions import dihedral_angles, torsions
from .calculators import bare_atoms, frames_of, one_conformer
from .scans import known_bonds, side


def torsion_scan(
    start: ConformerSet, atoms: Sequence[int], angles: Sequence[float] | np.ndarray
) -> ConformerSet:
    """Turn one torsion of one conformer to given angles, all else rigid.

    Parameters
    ----------
    start : ConformerSet
        Of one conformer.
    atoms : sequence of four int
        The torsion; its middle bond must not be in a ring, and the last atom's side turns.
    angles : sequence of float, length k
        Dihedral angles in degrees.

    Returns
    -------
    ConformerSet
        k conformers, without labels; extra `angle` in degrees.

    Raises
    ------
    DataError
        If the middle atoms are not bonded, or their bond is in a ring, or the torsion has no angle.
    """
    start = one_conformer(start, "A torsion scan")
    a, b, c, d = (int(atom) for atom in atoms)
    turned = side(known_bonds(start), start.n_atoms, b, c)
    if turned is None or not turned[d] or turned[a]:
        raise DataError(
            f"Torsion {a}-{b}-{c}-{d} cannot be turned: its middle bond is in a ring, or its ends "
            "do not lie on either side of it."
        )
    x = start.positions.astype(np.float64)
    axis = (x[c] - x[b]) / np.linalg.norm(x[c] - x[b])
    if min(np.linalg.norm(np.cross(axis, x[end] - x[b])) for end in (a, d)) < 1e-3:
        raise DataError(f"Torsion {a}-{b}-{c}-{d} has no angle: three of its atoms are in line.")
    wanted = np.asarray(angles, dtype=float)
    now = dihedral_angles(x[None], np.array([[a, b, c, d]]))[0, 0]
    turn = np.radians(wanted - now)[:, None, None]
    arms = x[turned] - x[c]
    along = (arms @ axis)[:, None] * axis
    moved = np.repeat(x[None], len(wanted), axis=0)
    moved[:, turned] = (
        x[c] + along + np.cos(turn) * (arms - along) + np.sin(turn) * np.cross(axis, arms)
    )
    return frames_of(
        start,
        moved,
        source=np.full(len(wanted), "torsion scan"),
        record=np.arange(len(wanted)),
        frame_extras={"angle": Extra(wanted, np.ones(len(wanted), dtype=bool))},
    )


def scan_torsions(
    conformers: ConformerSet, *, n_angles: int = 12
) -> tuple[ConformerSet, list[SetAside]]:
    """Turn each rotatable torsion of each conformer around, all else rigid.

    The torsions are those of :func:`breadth.diversity.torsions.torsions`; angles are equally
    spaced over the period of each, from its present one, which is left out.

    Parameters
    ----------
    conformers : ConformerSet
    n_angles : int, optional
        Angles over the period of a torsion, the present one included.

    Returns
    -------
    turned : ConformerSet
        Without labels; extras `parent` (conformer id), `torsion` (four atoms), `angle` (degrees).
    aside : list of SetAside
        Conformers without a rotatable torsion, and geometries in which atoms come too close.

    Raises
    ------
    ShortageError
        If nothing could be turned.
    """
    made, aside = [], []
    for i, parent in enumerate(conformers.id.astype("U32").tolist()):
        start = one_conformer(conformers.select([i]), "A torsion scan")
        mol = molecular_graphs(start)[0].mol_with_atoms
        if mol is None:
            aside.append(SetAside(parent, "bond orders are not known"))
            continue
        found = torsions(mol)
        free = np.flatnonzero(~found.ring)
        if not len(free):
            aside.append(SetAside(parent, "no rotatable torsion"))
        x, bonds = start.positions.astype(np.float64), known_bonds(start)
        for atoms, fold in zip(found.atoms[free], found.fold[free].tolist(), strict=True):
            now = dihedral_angles(x[None], atoms[None])[0, 0]
            angles = now + 360.0 / fold * np.arange(1, n_angles) / n_angles
            turned = torsion_scan(start, atoms.tolist(), angles)
            frames = turned.positions.reshape(len(turned), -1, 3)
            changes = bond_changes(start.numbers, frames, bonds, x)
            good = [k for k, change in enumerate(changes) if change is None]
            aside += [
                SetAside(f"{parent}, torsion to {angle:.0f}°", change.describe(start.numbers))
                for angle, change in zip(angles, changes, strict=True)
                if change is not None
            ]
            if good:
                there = np.ones(len(good), dtype=bool)
                extras = {
                    "parent": Extra(np.full(len(good), parent), there),
                    "torsion": Extra(np.tile(atoms, (len(good), 1)), there),
                }
                kept = turned.select(good)
                made.append(replace(kept, frame_extras={**kept.frame_extras, **extras}))
    if not made:
        why = aside[0].reason if aside else "the set is empty"
        raise ShortageError(f"No torsion of {len(conformers)} conformers could be turned: {why}.")
    return concat(made), aside


def torsion_drive(
    start: ConformerSet,
    atoms: Sequence[int],
    angles: Sequence[float] | np.ndarray,
    calculator: Any,
    *,
    level: str,
    fmax: float = 0.02,
    max_steps: int = 200,
) -> tuple[ConformerSet, list[SetAside]]:
    """Relax one conformer at each angle of a torsion, each from the last.

    Where a neighbouring group flips on the way, the profile depends on the direction; drive both
    ways and compare where that matters.

    Parameters
    ----------
    start, atoms, angles
        As of `torsion_scan`.
    calculator : ase.calculators.calculator.Calculator
    level : str
        Name of the level of theory under which the calculator's labels are kept: its energies
        and its forces, those along the held torsion included.
    fmax : float, optional
        In eV/Å: largest force left, the held torsion apart.
    max_steps : int, optional
        Of the optimiser (BFGS), for each angle.

    Returns
    -------
    driven : ConformerSet
        With extra `angle` in degrees.
    aside : list of SetAside
        Angles at which the relaxation failed, did not converge, or changed bonds; the next one
        starts from the last good geometry.

    Raises
    ------
    DataError
        As of `torsion_scan`.
    ShortageError
        If no angle could be relaxed.
    """
    start = one_conformer(start, "A torsion drive")
    here, bonds, aside = start, known_bonds(start), []
    kept: list[tuple[float, np.ndarray, float, np.ndarray]] = []
    name = "torsion " + "-".join(str(int(a)) for a in atoms)
    for angle in np.asarray(angles, dtype=float).tolist():
        record = f"{name} at {angle:g}°"
        turned = bare_atoms(torsion_scan(here, atoms, [angle]))
        turned.calc = calculator
        held = [None, [int(a) for a in atoms]]  # the angle that it was just turned to
        turned.set_constraint(FixInternals(dihedrals_deg=[held], epsilon=1e-6))
        try:
            converged = BFGS(turned, logfile=None).run(fmax=fmax, steps=max_steps)
            energy = float(turned.get_potential_energy())
            forces = np.array(turned.get_forces(apply_constraint=False))
        except Exception as error:  # any failure of a foreign program concerns one angle
            reason = " ".join(str(error).split())[:200]
            aside.append(SetAside(record, f"relaxation failed: {type(error).__name__}: {reason}"))
            continue
        change = bond_changes(start.numbers, turned.positions, bonds)[0]
        if not converged:
            aside.append(SetAside(record, f"relaxation did not converge: {max_steps} steps"))
        elif change is not None:
            aside.append(SetAside(record, change.describe(start.numbers)))
        else:
            kept.append((angle, turned.positions.copy(), energy, forces))
            here = frames_of(start, turned.positions[None])
    if not kept:
        raise ShortageError(f"{name}: no angle could be relaxed; the first: {aside[0].reason}.")
    reached, geometries, energies, forces_of = zip(*kept, strict=True)
    driven = frames_of(
        start,
        np.stack(geometries),
        source=np.full(len(kept), "torsion drive"),
        record=np.arange(len(kept)),
        frame_extras={"angle": Extra(np.array(reached), np.ones(len(kept), dtype=bool))},
    )
    labels = Labels(energy=np.array(energies), forces=np.concatenate(forces_of))
    return driven.with_level(level, labels), aside
