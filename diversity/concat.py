"""Join sets of conformers; whatever contradicts itself raises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from .bonds import covalent_bonds
from .conformers import PROVENANCE, ConformerSet
from .errors import DataError
from .graphs import connectivity_key
from .tables import Extra, Labels, Molecules, fresh


def concat(sets: Sequence[ConformerSet], *, conflicts: bool = False) -> ConformerSet:
    """Join sets in order; molecules of one key become one, levels are kept apart.

    Parameters
    ----------
    sets : sequence of ConformerSet
        At least one. A conformer that occurs twice is kept twice.
    conflicts : bool
        Keep conformers that occur twice with different labels, as parts of one file may have them.

    Raises
    ------
    DataError
        If one molecule key stands for two molecules, one conformer has two different labels at
        one level, or one level has two different energies of an isolated atom.
    """
    if not sets:
        raise ValueError("nothing to join")
    if len(sets) == 1:
        return sets[0]
    molecules, rows = _join_molecules(sets)
    levels = {
        level: _join_labels(sets, level)
        for level in dict.fromkeys(k for s in sets for k in s.levels)
    }
    joined = ConformerSet(
        molecules=molecules,
        molecule=np.concatenate([row[s.molecule] for row, s in zip(rows, sets, strict=True)]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([s.counts for s in sets]))]),
        **{
            name: fresh(np.concatenate([getattr(s, name) for s in sets]))
            for name in ("numbers", "positions", "cell", "pbc", "source", *PROVENANCE)
        },
        levels=levels,
        frame_extras=_join_extras(sets, "frame_extras"),
        atom_extras=_join_extras(sets, "atom_extras"),
        metadata=_join_metadata(sets),
    )
    if not conflicts:
        _refuse_conflicts(joined)
    return joined


def _join_molecules(sets: Sequence[ConformerSet]) -> tuple[Molecules, list[np.ndarray]]:
    seen: dict[str, tuple[ConformerSet, int]] = {}
    rows = []
    for s in sets:
        for i, key in enumerate(s.molecules.key.tolist()):
            if key not in seen:
                seen[key] = (s, i)
            else:
                first, j = seen[key]
                for name in ("smiles", "charge", "multiplicity", "constitution"):
                    ours, theirs = getattr(first.molecules, name)[j], getattr(s.molecules, name)[i]
                    if ours != theirs:
                        raise DataError(
                            f"Cannot join: molecule {key!r} has {name} {str(ours)!r} in one set "
                            f"and {str(theirs)!r} in another. Rename the keys of one of them."
                        )
        rows.append(s.molecules.key.tolist())
    place = {key: i for i, key in enumerate(seen)}
    stacked = [s.molecules for s in sets]
    offsets = np.concatenate([[0], np.cumsum([len(m) for m in stacked])])
    columns = {
        f.name: np.concatenate([getattr(m, f.name) for m in stacked])
        for f in fields(Molecules)
        if f.name not in ("key", "bond_offsets")
    }
    lengths = np.concatenate([np.diff(m.bond_offsets) for m in stacked])
    everything = Molecules(
        key=np.array([f"{i}" for i in range(int(offsets[-1]))]),
        bond_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        **columns,
    )
    start = {id(s): int(o) for s, o in zip(sets, offsets, strict=False)}
    picked = everything.select(
        np.array([start[id(s)] + i for s, i in seen.values()], dtype=np.int64)
    )
    renamed = {f.name: getattr(picked, f.name) for f in fields(Molecules)}
    renamed["key"] = np.array(list(seen), dtype=np.str_)
    return Molecules(**renamed), [
        np.array([place[key] for key in keys], dtype=np.int64) for keys in rows
    ]


def _join_labels(sets: Sequence[ConformerSet], level: str) -> Labels:
    parts = [s.levels.get(level) or Labels.empty(len(s), s.n_atoms) for s in sets]
    references: dict[int, float] = {}
    for part in parts:
        for z, energy in part.reference_energies.items():
            if references.setdefault(z, energy) != energy:
                raise DataError(
                    f"Cannot join: level {level!r} has two energies of the isolated atom with "
                    f"Z = {z}, {references[z]:.6f} and {energy:.6f} eV. Keep them as two levels."
                )
    stresses = None
    if any(part.stress is not None for part in parts):
        stresses = np.concatenate(
            [np.zeros((len(p.energy), 3, 3)) if p.stress is None else p.stress for p in parts]
        )
    columns: dict[str, Any] = {
        name: fresh(np.concatenate([getattr(part, name) for part in parts]))
        for name in ("energy", "forces", "has_energy", "has_forces", "has_stress")
    }
    return Labels(stress=stresses, reference_energies=references, **columns)


def _join_extras(sets: Sequence[ConformerSet], group: str) -> dict[str, Extra]:
    joined = {}
    for name in dict.fromkeys(k for s in sets for k in getattr(s, group)):
        have = [getattr(s, group).get(name) for s in sets]
        first = next(extra for extra in have if extra is not None)
        values, present = [], []
        for s, extra in zip(sets, have, strict=True):
            rows = s.n_atoms if group == "atom_extras" else len(s)
            if extra is None:
                extra = Extra(
                    np.zeros((rows, *first.values.shape[1:]), dtype=first.values.dtype),
                    np.zeros(len(s), dtype=bool),
                )
            alike = extra.values.shape[1:] == first.values.shape[1:]
            if not alike or (extra.values.dtype.kind == "U") != (first.values.dtype.kind == "U"):
                raise DataError(
                    f"Cannot join: {name!r} is of shape {first.values.shape[1:]} and type "
                    f"{first.values.dtype} in one set, {extra.values.shape[1:]} and "
                    f"{extra.values.dtype} in another. Drop or rename it in one of them."
                )
            values.append(extra.values)
            present.append(extra.present)
        joined[name] = Extra(np.concatenate(values), np.concatenate(present))
    return joined


def _join_metadata(sets: Sequence[ConformerSet]) -> dict[str, object]:
    """Keep what all sets agree on; counts of set-aside records add up."""
    joined: dict[str, object] = {}
    for name in dict.fromkeys(k for s in sets for k in s.metadata):
        values = [s.metadata[name] for s in sets if name in s.metadata]
        if all(value == values[0] for value in values) and len(values) == len(sets):
            joined[name] = values[0]
        elif all(isinstance(value, list) for value in values):
            joined[name] = [item for value in values for item in value]
        elif name == "identity_rule":
            joined[name] = "mixed"
    if joined.get("identity_rule") == "ordered" and _differently_ordered(sets):
        joined["identity_rule"] = "graph"
    return joined


def _differently_ordered(sets: Sequence[ConformerSet]) -> bool:
    """Tell whether a molecule of two sets, each of one order, has the same bonds elsewhere."""
    bonds: dict[str, bytes] = {}
    for s in sets:
        present, firsts = np.unique(s.molecule, return_index=True)
        for key, first in zip(s.molecules.key[present].tolist(), firsts.tolist(), strict=True):
            atoms = s.atoms_slice(first)
            own = covalent_bonds(s.numbers[atoms], s.positions[atoms])
            # A stretched bond is no other order: only equal graphs tell.
            graph = connectivity_key(s.numbers[atoms], own)
            if bonds.setdefault(f"{key} {graph}", own.tobytes()) != own.tobytes():
                return True
    return False


def _refuse_conflicts(joined: ConformerSet) -> None:
    unique, first, inverse = np.unique(joined.id, return_index=True, return_inverse=True)
    if len(unique) == len(joined):
        return
    for again in np.flatnonzero(first[inverse] != np.arange(len(joined))).tolist():
        original = int(first[inverse[again]])
        for level, labels in joined.levels.items():
            both = labels.has_energy[[original, again]].all()
            energies = labels.energy[[original, again]]
            forces = [labels.forces[joined.atoms_slice(i)] for i in (original, again)]
            forced = labels.has_forces[[original, again]].all()
            # 1e-6: the resolution of the ids' geometry is 1e-6 Å, that of labels must be coarser.
            if (both and abs(energies[0] - energies[1]) > 1e-6) or (
                forced and not np.allclose(forces[0], forces[1], atol=1e-6, rtol=0)
            ):
                raise DataError(
                    f"Cannot join: one geometry has two different labels at level {level!r}: "
                    f"record {joined.record[original]} of {joined.source[original] or 'a set'} "
                    f"and record {joined.record[again]} of {joined.source[again] or 'a set'}. "
                    "Give the two levels different names."
                )
