"""What a set holds, in numbers that JSON can hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from .conformers import ConformerSet
from .html import Report, facts, folded, table
from .tables import Labels


def describe(conformers: ConformerSet) -> Report:
    """Count and summarise a set.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    Report
        A dictionary that notebooks show as tables. Counts; `identity_rule`; `elements` (symbols);
        `conformers_per_molecule`; `charges` and `multiplicities` with their numbers of conformers;
        `set_aside` with the count by reason; and by level of theory, in `levels`, the ranges and
        means that :func:`describe_labels` has. `level`, `energy_range` (eV), `force_range` (of
        components, eV/Å) and `force_norm_range` (of |F| per atom, eV/Å) repeat those of the first
        level that has labels; None where there are none.
    """
    s = conformers
    per_molecule = np.bincount(s.molecule, minlength=s.n_molecules)
    atoms = {z for labels in s.levels.values() for z in labels.reference_energies}
    levels = {name: describe_labels(labels, s) for name, labels in s.levels.items()}
    first = next((name for name in levels if levels[name]["n_energies"]), next(iter(levels), None))
    top = levels[first] if first is not None else {}
    ranges = ("energy_range", "force_range", "force_norm_range")
    aside = s.metadata.get("set_aside", [])
    reasons = Counter(entry["reason"].split(":", 1)[0] for entry in aside)
    sources, counts = np.unique(s.source, return_counts=True)
    found = {
        "n_conformers": s.n_conformers,
        "n_molecules": s.n_molecules,
        "n_constitutions": len(np.unique(s.constitution)),
        "n_atoms": s.n_atoms,
        "n_reference_atoms": len(atoms),
        "identity_rule": s.metadata.get("identity_rule"),
        "format": s.metadata.get("format"),
        "elements": [chemical_symbols[z] for z in s.elements],
        "reference_elements": [chemical_symbols[z] for z in sorted(atoms)],
        "periodic": bool(s.pbc.any()),
        "n_periodic": int(s.pbc.any(axis=1).sum()),
        "atoms_per_conformer": _spread(s.counts),
        "conformers_per_molecule": _spread(per_molecule),
        "charges": _tally(s.charge),
        "multiplicities": _tally(s.multiplicity),
        "level": first,
        **{name: top.get(name) for name in ranges},
        "units": {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³", "length": "Å"},
        "levels": levels,
        "sources": {str(k): int(v) for k, v in zip(sources, counts, strict=True)},
        "set_aside": {"count": len(aside), "reasons": dict(reasons)},
    }
    return Report(found)


def describe_labels(labels: Labels, conformers: ConformerSet) -> dict[str, Any]:
    """Summarise the labels of one level: eV, eV/Å and, of stress, eV/Å³.

    Parameters
    ----------
    labels : Labels
    conformers : ConformerSet
        The set that the labels are of.

    Returns
    -------
    dict
        Numbers of labels there and missing, ranges, and the mean of |F| over atoms.
    """
    n = len(conformers)
    energy = labels.energy[labels.has_energy]
    per_atom = energy / conformers.counts[labels.has_energy]
    forces = labels.forces[labels.has_forces[conformers.atom_conformer]].astype(np.float64)
    norms = np.linalg.norm(forces, axis=1)
    made = {
        "n_energies": int(labels.has_energy.sum()),
        "n_forces": int(labels.has_forces.sum()),
        "n_stresses": int(labels.has_stress.sum()),
        "missing": {
            "energy": int(n - labels.has_energy.sum()),
            "forces": int(n - labels.has_forces.sum()),
            "stress": int(n - labels.has_stress.sum()),
        },
        "energy_range": _range(energy),
        "energy_per_atom_range": _range(per_atom),
        "force_range": _range(forces),
        "force_norm_range": _range(norms),
        "mean_force_norm": float(norms.mean()) if norms.size else None,
        "reference_energies": {
            chemical_symbols[z]: energy for z, energy in labels.reference_energies.items()
        },
    }
    if labels.stress is not None:
        made["stress_range"] = _range(labels.stress[labels.has_stress])
    return made


def set_html(conformers: ConformerSet) -> str:
    """Return what a notebook shows of a set: counts alone, so that 10⁷ conformers take a moment.

    Elements are told of at most 10⁷ atoms, since every atom is looked at for them.
    """
    s = conformers
    known: dict[str, Any] = {
        "atoms": f"{s.n_atoms:,}",
        "atoms of a conformer": _bounds(s.counts),
        "conformers of a molecule": _bounds(np.bincount(s.molecule, minlength=s.n_molecules)),
    }
    if s.n_atoms <= 10**7:
        known["elements"] = [chemical_symbols[z] for z in s.elements]
    if s.pbc.any():
        known["periodic conformers"] = f"{int(s.pbc.any(axis=1).sum()):,}"
    if "identity_rule" in s.metadata:
        known["told apart by"] = s.metadata["identity_rule"]
    if aside := s.metadata.get("set_aside"):
        known["records set aside"] = f"{len(aside):,}"
    caption = f"{s.n_conformers:,} conformers of {s.n_molecules:,} molecules"
    levels = [
        [
            name,
            *(f"{int(there.sum()):,}" for there in (one.has_energy, one.has_forces)),
            [chemical_symbols[z] for z in one.reference_energies],
        ]
        for name, one in s.levels.items()
    ]
    heads = ["level of theory", "energies", "forces", "isolated atoms"]
    shown = table(heads, levels) if levels else "<p>No labels.</p>"
    extras = {
        "per conformer": list(s.frame_extras),
        "per atom": list(s.atom_extras),
    }
    kept = folded("also in the file", facts(extras)) if any(extras.values()) else ""
    return facts(known, caption=caption) + shown + kept


def _bounds(counts: np.ndarray) -> str:
    if not counts.size:
        return "–"
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}, {counts.mean():,.1f} on average"


def _range(values: np.ndarray) -> list[float] | None:
    return [float(values.min()), float(values.max())] if values.size else None


def _spread(values: np.ndarray) -> dict[str, float] | None:
    if not values.size:
        return None
    return {
        "min": int(values.min()),
        "median": float(np.median(values)),
        "max": int(values.max()),
    }


def _tally(values: np.ndarray) -> dict[str, int]:
    kinds, counts = np.unique(values, return_counts=True)
    return {str(k): int(v) for k, v in zip(kinds, counts, strict=True)}
