"""What is known of the points of a map besides where they stand: molecule, energy, force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ...diversity import ConformerSet, DataError
from .points import Chosen, Level


def level_of_theory(sets: Mapping[str, ConformerSet], asked: str | None) -> str:
    """Return the level asked for, or the first that any set has labels of; '' where none has.

    Raises
    ------
    DataError
        If no set has the level asked for.
    """
    have = dict.fromkeys(
        level
        for s in sets.values()
        for level, labels in s.levels.items()
        if labels.has_energy.any() or labels.has_forces.any()
    )
    if asked is not None and asked not in have:
        raise DataError(
            f"No set has labels at level {asked!r}; there is {', '.join(have) or 'no level'}. "
            "Name one with --label-level, or leave it out."
        )
    return asked or next(iter(have), "")


def energies_per_atom(
    sets: Mapping[str, ConformerSet], level: str
) -> tuple[dict[str, np.ndarray], str]:
    """Return each conformer's energy, eV per atom, NaN without; and what it is counted from.

    It is counted from isolated atoms where all are known, so that molecules can be compared; else
    from the lowest conformer of its molecule, over all sets.
    """
    labelled = {name: s.levels[level] for name, s in sets.items() if level in s.levels}
    atoms = bool(labelled) and all(
        set(sets[name].elements.tolist()) <= labels.reference_energies.keys()
        for name, labels in labelled.items()
    )
    totals: dict[str, np.ndarray] = {}
    lowest: dict[str, float] = {}
    for name, s in sets.items():
        if name not in labelled:
            totals[name] = np.full(len(s), np.nan)
            continue
        labels = labelled[name]
        energy = np.where(labels.has_energy, labels.energy, np.nan)
        if atoms:
            of_element = np.zeros(119)
            for z, value in labels.reference_energies.items():
                of_element[z] = value
            energy = energy - np.add.reduceat(of_element[s.numbers], s.offsets[:-1])
        else:
            least = np.full(s.n_molecules, np.inf)
            np.fmin.at(least, s.molecule, energy)
            for key, value in zip(s.molecules.key.tolist(), least.tolist(), strict=True):
                lowest[key] = min(value, lowest.get(key, np.inf))
        totals[name] = energy
    for name, s in sets.items():
        if name in labelled and not atoms:
            start = np.array([lowest[key] for key in s.molecules.key.tolist()])
            totals[name] = totals[name] - start[s.molecule]
    origin = "from isolated atoms" if atoms else "above molecule's lowest"
    return (
        {name: energy / sets[name].counts for name, energy in totals.items()},
        f"Energy per atom {origin}",
    )


def label_table(
    s: ConformerSet,
    name: str,
    chosen: Chosen,
    level: Level,
    energy: np.ndarray,
    theory: str,
) -> dict[str, np.ndarray]:
    """Return what is known of the points of one set, by the names that `map_sets` documents."""
    rows, atoms = chosen.rows, chosen.atoms
    molecules = s.molecule[rows]
    norms = np.full(s.n_atoms, np.nan)
    if theory in s.levels:
        labels = s.levels[theory]
        there = np.repeat(labels.has_forces, s.counts)
        norms = np.where(there, np.linalg.norm(labels.forces.astype(np.float64), axis=1), np.nan)
    by_structure = np.add.reduceat(norms, s.offsets[:-1]) / s.counts
    first = dict(zip(molecules.tolist(), rows.tolist(), strict=True))
    shown = {m: str(s.molecules.smiles[m]) or s.formula(row) for m, row in first.items()}
    table: dict[str, Any] = {
        "set": np.full(len(rows), name),
        "molecule": np.array([shown[m] for m in molecules.tolist()]),
        "key": s.molecules.key[molecules],
        "id": s.id[rows].astype(np.str_),
        "atom": atoms,
    }
    if level == "molecules":
        order = np.argsort(s.id, kind="stable")  # so that sums are the same for any order
        table["energy"], table["force_norm"] = (
            _mean_of_known(values[order], s.molecule[order], s.n_molecules)[molecules]
            for values in (energy, by_structure)
        )
    elif level == "structures":
        table |= {"energy": energy[rows], "force_norm": by_structure[rows]}
    else:
        flat = s.offsets[rows] + atoms
        symbols = np.array(chemical_symbols)
        table |= {"energy": energy[rows], "force_norm": norms[flat]}
        table["element"] = symbols[s.numbers[flat]]
    return table


def _mean_of_known(values: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    known = np.isfinite(values)
    counts = np.bincount(groups[known], minlength=n_groups)
    sums = np.bincount(groups[known], weights=values[known], minlength=n_groups)
    return np.divide(sums, counts, out=np.full(n_groups, np.nan), where=counts > 0)


def unambiguous(names: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Replace names that several molecules share by the keys of these molecules."""
    of: dict[str, set[str]] = {}
    for name, key in zip(names.tolist(), keys.tolist(), strict=True):
        of.setdefault(name, set()).add(key)
    return np.array(
        [name if len(of[name]) == 1 else key for name, key in zip(names, keys, strict=True)]
    )
