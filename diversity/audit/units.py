"""Units that labels may be in by mistake, and the checks of energies that tell them."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import units as si

from ..conformers import ConformerSet
from ..tables import Labels
from .findings import Finding, report

#: Other units of energy and of force by name: how many of them are one eV, or one eV/Å.
ENERGY_UNITS = {
    "kcal/mol": si.mol / si.kcal,
    "kJ/mol": si.mol / si.kJ,
    "hartree": 1.0 / si.Hartree,
}
FORCE_UNITS = {
    "kcal/mol/Å": si.mol / si.kcal,
    "kJ/mol/Å": si.mol / si.kJ,
    "hartree/Å": 1.0 / si.Hartree,
    "hartree/bohr": si.Bohr / si.Hartree,
}

#: Energy in eV that an atom brings to a molecule with all its electrons: free atoms by density
#: functionals and what bonds add. Sums are right to 0.5 % for organic molecules; those of methods
#: without core electrons are not near.
_WITH_CORES = {
    1: -16.2, 5: -676.0, 6: -1036.0, 7: -1489.0, 8: -2045.0, 9: -2715.0, 14: -7876.0, 15: -9288.0,
    16: -10834.0, 17: -12524.0, 35: -70045.0,
}  # fmt: skip
#: How far a ratio of energies may be from a unit's factor to be taken for it.
_LIKENESS = 0.01
#: Energies for each atom against isolated atoms of the same level, eV, that bonding explains.
_BINDING = (-15.0, 15.0)
#: Root-mean-square force of a record, eV/Å, and multiple of the set's median, that no usual
#: structure has.
_STRONG, _STRONGER = 10.0, 15.0


def guessed_units(conformers: ConformerSet) -> dict[str, Any]:
    """Find labels whose size speaks for another unit than eV and eV/Å.

    A record is blamed where its energy is that of its molecule's other frames times a unit's
    factor, or its forces are far stronger than all others. A whole level is blamed where its
    energies are those of all-electron calculations in another unit, or are nowhere near its
    isolated atoms.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
    """
    found: list[Finding] = []
    notes, checked = [], np.zeros(len(conformers), dtype=bool)
    for level, labels in conformers.levels.items():
        checked |= labels.has_energy | labels.has_forces
        single = _odd_energies(conformers, labels) + _odd_forces(conformers, labels)
        found += [f._replace(what=f"{f.what} at level {level}") for f in single]
        whole = _whole_level(conformers, labels)
        if whole is not None:
            notes.append(f"{whole} at level {level}")
            rows = np.flatnonzero(labels.has_energy)
            found += [Finding(int(r), 1.0, f"{whole} at level {level}") for r in rows]
    return report("units", conformers, found, int(checked.sum()), "; ".join(notes))


def unit_of(ratio: float, units: dict[str, float] = ENERGY_UNITS) -> str:
    """Return the unit whose factor a ratio of energies is, '' for none."""
    near = (name for name, factor in units.items() if abs(ratio / factor - 1) < _LIKENESS)
    return next(near, "")


def _odd_energies(conformers: ConformerSet, labels: Labels) -> list[Finding]:
    """Find records whose energy is a unit's factor times the median of their formula."""
    found = []
    for rows in formula_groups(conformers, labels):
        middle = float(np.median(labels.energy[rows]))
        if len(rows) < 3 or abs(middle) < 1.0:
            continue
        ratios = labels.energy[rows] / middle
        for unit, factor in ENERGY_UNITS.items():
            for k in np.flatnonzero(np.abs(ratios / factor - 1) < _LIKENESS):
                what = f"energy is {ratios[k]:.4g} times that of its formula: in {unit}?"
                found.append(Finding(int(rows[k]), abs(float(np.log(factor))) + 10, what))
    return found


def _odd_forces(conformers: ConformerSet, labels: Labels) -> list[Finding]:
    rows = np.flatnonzero(labels.has_forces)
    if len(rows) < 4:
        return []
    squares = (labels.forces.astype(np.float64) ** 2).sum(axis=1)
    strength = np.sqrt(np.add.reduceat(squares, conformers.offsets[:-1]) / conformers.counts)
    middle = float(np.median(strength[rows]))
    strong = strength[rows] > max(_STRONG, _STRONGER * middle)
    return [
        Finding(
            int(row),
            float(np.log(strength[row])),
            f"forces of {strength[row]:.3g} eV/Å (root mean square) where {middle:.3g} is the "
            "median: in another unit?",
        )
        for row in rows[strong]
    ]


def _whole_level(conformers: ConformerSet, labels: Labels) -> str | None:
    """Say what is odd about all energies of a level, None for nothing."""
    if not labels.has_energy.any():
        return None
    energy = labels.energy[labels.has_energy]
    if set(conformers.elements.tolist()) <= set(labels.reference_energies):
        free = _sums(conformers, dict(labels.reference_energies))[labels.has_energy]
        binding = (energy - free) / conformers.counts[labels.has_energy]
        middle = float(np.median(binding))
        if not _BINDING[0] < middle < _BINDING[1]:
            ratio = float(np.median(energy / free))
            unit = unit_of(ratio)
            told = f": energies in {unit}?" if unit else ""
            return f"energies are {middle:.4g} eV for each atom from the isolated atoms{told}"
        return None
    if set(conformers.elements.tolist()) <= set(_WITH_CORES):
        ratios = energy / _sums(conformers, _WITH_CORES)[labels.has_energy]
        # One factor for all, so that no semi-empirical method has it by chance for one molecule.
        spread = np.quantile(ratios, 0.9) / max(np.quantile(ratios, 0.1), 1e-12)
        unit = unit_of(float(np.median(ratios)))
        if unit and spread < 1 + 2 * _LIKENESS:
            return f"energies are those of all electrons in {unit}"
    return None


def _sums(conformers: ConformerSet, energies: dict[int, float]) -> np.ndarray:
    table = np.zeros(119)
    table[list(energies)] = list(energies.values())
    return np.add.reduceat(table[conformers.numbers], conformers.offsets[:-1])


def formula_groups(conformers: ConformerSet, labels: Labels) -> list[np.ndarray]:
    """Return the rows with energies, group by group of one composition, charge and spin."""
    rows = np.flatnonzero(labels.has_energy)
    if not len(rows):
        return []
    state = compositions(conformers)[rows]
    state = np.column_stack([state, conformers.charge[rows], conformers.multiplicity[rows]])
    _, group = np.unique(state, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.diff(group[order])) + 1
    return [rows[part] for part in np.split(order, ends)]


def compositions(conformers: ConformerSet) -> np.ndarray:
    """Return the number of atoms of each element of the set, array of int64 (n, n_elements)."""
    column = np.searchsorted(conformers.elements, conformers.numbers)
    shape = (len(conformers), len(conformers.elements))
    flat = np.bincount(conformers.atom_conformer * shape[1] + column, minlength=shape[0] * shape[1])
    return flat.reshape(shape)
