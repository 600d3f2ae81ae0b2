"""Checks of molecules: spin and charge, repeated records, and bonds that changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import chemical_symbols
from rdkit import Chem, rdBase

from ..bonds import bond_changes, covalent_bonds
from ..conformers import ConformerSet
from ..graphs import connectivity_key
from ..topology import MolecularGraph, molecular_graphs
from .findings import Finding, record_name, report

#: A molecule told by its graph is a broken form of another of the same atoms where it is one record
#: or at most this share of the other's conformers, which are at least so many.
BROKEN_SHARE, _COMMON = 0.1, 4
#: Frames of lowest energy among which one with the bonds of the SMILES is looked for.
_TRIED = 20


def spin_parity(conformers: ConformerSet) -> dict[str, Any]:
    """Find multiplicities that the number of electrons does not allow.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
        A set in which every charge is 0 and every multiplicity 1 says nothing of either: records
        with an odd number of electrons are then counted in ``note`` and none is blamed. Periodic
        structures are not judged.
    """
    n = len(conformers)
    protons = np.bincount(conformers.atom_conformer, conformers.numbers, minlength=n)
    electrons = protons.astype(np.int64) - conformers.charge
    spins = conformers.multiplicity
    judged = ~conformers.pbc.any(axis=1)
    wrong = judged & (((electrons + spins) % 2 == 0) | (spins < 1) | (spins > electrons + 1))
    if not (conformers.charge.any() or (spins != 1).any()):
        n_odd = int(wrong.sum())
        note = "the file states neither charges nor multiplicities"
        if n_odd:
            return report(
                *("spin_parity", conformers, [], 0),
                f"{note}; {n_odd} records have an odd number of electrons",
            )
        return report("spin_parity", conformers, [], int(judged.sum()), note)
    found = [
        Finding(
            int(row),
            1.0,
            f"{electrons[row]} electrons (charge {conformers.charge[row]:+d}) cannot have "
            f"multiplicity {spins[row]}",
        )
        for row in np.flatnonzero(wrong)
    ]
    return report("spin_parity", conformers, found, int(judged.sum()))


def exact_duplicates(conformers: ConformerSet) -> dict[str, Any]:
    """Find records whose content id stands before them in the set; the first is not blamed.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
    """
    _, first, group = np.unique(conformers.id, return_index=True, return_inverse=True)
    found = [
        Finding(int(row), 1.0, f"the geometry of {record_name(conformers, int(first[group[row]]))}")
        for row in np.flatnonzero(first[group] != np.arange(len(conformers)))
    ]
    return report("exact_duplicates", conformers, found, len(conformers))


def changed_bonds(conformers: ConformerSet) -> dict[str, Any]:
    """Find records whose bonds are not those of their molecule.

    The bonds are those of the table or the SMILES where the set has them, else of the conformer of
    lowest energy, and lengths are held against that conformer; see
    :func:`breadth.diversity.bonds.bond_changes`. A proton that moves counts. Where molecules were
    told by their graphs, a broken record has become a molecule of its own: it is found by a more
    common molecule of the same atoms whose bonds hold all of its bonds or are all held by it.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
        Periodic structures and lone atoms are not judged.
    """
    found: list[Finding] = []
    n_checked = n_reordered = 0
    graphs = molecular_graphs(conformers) if len(conformers) else []
    order = np.argsort(conformers.molecule, kind="stable")
    ends = np.searchsorted(conformers.molecule[order], np.arange(len(graphs) + 1))
    energy = _any_energy(conformers)
    perceived = conformers.metadata.get("identity_rule") in ("graph", "mixed")
    rare: dict[bytes, list[tuple[np.ndarray, set[tuple[int, int]]]]] = {}
    for k, graph in enumerate(graphs):
        rows = order[ends[k] : ends[k + 1]]
        size = len(graph.numbers)
        if graph.origin == "none" or size < 2:
            continue
        same = [r for r in rows.tolist() if _same_order(conformers, r, graph.numbers)]
        n_reordered += len(rows) - len(same)
        n_checked += len(same)
        if perceived:
            bonds = {(int(i), int(j)) for i, j in graph.bonds[:, :2]}
            rare.setdefault(graph.numbers.tobytes(), []).append((rows, bonds))
            continue
        frames = np.stack([conformers.positions[conformers.atoms_slice(r)] for r in same])
        bonds_there, rest = _undisturbed(graph, frames[np.argsort(energy[same], kind="stable")])
        if bonds_there is None:
            what = f"bonds are not those of the SMILES {graph.smiles}"
            found += [Finding(row, 0.0, what) for row in same]
            continue
        block = max(1, 2_000_000 // size**2)
        for start in range(0, len(same), block):
            changes = bond_changes(
                graph.numbers, frames[start : start + block], bonds_there, reference=rest
            )
            for row, change in zip(same[start : start + block], changes, strict=True):
                if change is not None:
                    what = change.describe(graph.numbers)
                    found.append(Finding(row, change.distance, what))
    for numbers, forms in rare.items():
        found += _broken_forms(np.frombuffer(numbers, dtype=np.uint8), forms)
    note = f"{n_reordered} records in another order of atoms are not judged" if n_reordered else ""
    return report("changed_bonds", conformers, found, n_checked, note)


def _undisturbed(
    graph: MolecularGraph, frames: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the bonds of a molecule and a geometry that has them, from frames by energy.

    Of those that the SMILES tells no more than the connectivity is compared, and that only where
    it is of the same atoms. Bonds are None where no frame of the lowest has them.
    """
    if graph.origin == "table":
        intact = bond_changes(graph.numbers, frames[:1], graph.bonds)[0] is None
        return graph.bonds, frames[0] if intact else None
    if graph.origin == "smiles" and (wanted := _connectivity(graph.smiles, graph.numbers)):
        for frame in frames[:_TRIED]:
            bonds = covalent_bonds(graph.numbers, frame)
            if connectivity_key(graph.numbers, bonds) == wanted:
                return bonds, frame
        return None, None
    return covalent_bonds(graph.numbers, frames[0]), frames[0]


def _connectivity(smiles: str, numbers: np.ndarray) -> str:
    """Return the connectivity key of a SMILES, '' where it is not of these atoms."""
    with rdBase.BlockLogs():
        parsed = Chem.MolFromSmiles(smiles)
    if parsed is None:
        return ""
    full = Chem.AddHs(parsed)
    theirs = np.array([atom.GetAtomicNum() for atom in full.GetAtoms()])
    if not np.array_equal(np.sort(theirs), np.sort(numbers)):
        return ""
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in full.GetBonds()]
    return connectivity_key(theirs, np.array(ends, dtype=np.int64).reshape(-1, 2))


def _broken_forms(
    numbers: np.ndarray, forms: list[tuple[np.ndarray, set[tuple[int, int]]]]
) -> list[Finding]:
    found = []
    common = [form for form in forms if len(form[0]) >= _COMMON]
    for rows, bonds in forms:
        for others, theirs in common:
            if len(rows) > max(1.0, BROKEN_SHARE * len(others)):
                continue
            if bonds < theirs or theirs < bonds:
                kind = "bond broken" if bonds < theirs else "bond formed"
                i, j = sorted(bonds ^ theirs)[0]
                what = f"{kind}: {_name(numbers, i)}–{_name(numbers, j)}"
                found += [Finding(int(row), float(len(bonds ^ theirs)), what) for row in rows]
                break
    return found


def _name(numbers: np.ndarray, atom: int) -> str:
    return f"{chemical_symbols[numbers[atom]]}{atom}"


def _same_order(conformers: ConformerSet, row: int, numbers: np.ndarray) -> bool:
    return np.array_equal(conformers.numbers[conformers.atoms_slice(row)], numbers)


def _any_energy(conformers: ConformerSet) -> np.ndarray:
    """Return energies of the first level that has some; zeros without, +inf where missing."""
    for labels in conformers.levels.values():
        if labels.has_energy.any():
            return np.where(labels.has_energy, labels.energy, np.inf)
    return np.zeros(len(conformers))
