"""Labelled structures in the files that MACE, NequIP and SchNetPack read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.db import connect

from ...diversity import ConformerSet, Labels
from ...diversity.formats.keyvalue import format_comment

ENERGY, FORCES, STRESS = "REF_energy", "REF_forces", "REF_stress"
"""Keys of the reference labels. ASE would take `energy` and `forces` for a calculator's results."""


def write_structures(
    path: Path,
    conformers: ConformerSet,
    labels: Labels,
    parts: Mapping[str, np.ndarray],
    *,
    tell_part: bool = False,
) -> None:
    """Write conformers as extended XYZ, every number as exact as it is.

    Parameters
    ----------
    path : Path
    conformers : ConformerSet
    labels : Labels
        Of the conformers; energy and forces of all that are written.
    parts : mapping of str to array of int
        Rows by the name of their part, written one part after another.
    tell_part : bool, optional
        Give each frame the name of its part as ``config_type``, by which MACE tells errors apart.
    """
    molecules = conformers.molecules
    with open(path, "w", encoding="utf-8") as file:
        for part, rows in parts.items():
            for i in rows:
                atoms, row = conformers.atoms_slice(int(i)), int(conformers.molecule[i])
                values: dict[str, Any] = {ENERGY: labels.energy[i]}
                if labels.stress is not None and labels.has_stress[i]:
                    values[STRESS] = labels.stress[i].ravel()
                if conformers.cell[i].any():
                    values["Lattice"] = conformers.cell[i].ravel()
                values |= {
                    "pbc": conformers.pbc[i],
                    "charge": int(molecules.charge[row]),
                    "multiplicity": int(molecules.multiplicity[row]),
                    "conformer_id": f"id-{conformers.id[i].decode()}",
                    "breadth_molecule": str(molecules.key[row]),
                    "breadth_constitution": str(molecules.constitution[row]),
                }
                if molecules.smiles[row]:
                    values["smiles"] = str(molecules.smiles[row])
                if tell_part:
                    values["config_type"] = part
                file.write(
                    _frame(
                        conformers.numbers[atoms],
                        conformers.positions[atoms],
                        labels.forces[atoms],
                        values,
                    )
                )


def write_isolated_atoms(path: Path, energies: Mapping[int, float]) -> None:
    """Write a frame of ``config_type=IsolatedAtom`` for each element, given its energy in eV."""
    with open(path, "w", encoding="utf-8") as file:
        for z, energy in energies.items():
            values = {ENERGY: energy, "config_type": "IsolatedAtom", "pbc": np.zeros(3, dtype=bool)}
            file.write(_frame(np.array([z]), np.zeros((1, 3)), np.zeros((1, 3)), values))


def write_database(
    folder: Path,
    conformers: ConformerSet,
    labels: Labels,
    parts: Mapping[str, np.ndarray],
    energies: Mapping[int, float],
) -> None:
    """Write SchNetPack's ASE database ``data.db``, and ``split.npz`` with the rows of each part.

    Parameters
    ----------
    folder : Path
    conformers : ConformerSet
    labels : Labels
    parts : mapping of str to array of int
        Rows of the conformers for ``train``, ``val`` and ``test``.
    energies : mapping of int to float
        Energy of the isolated atom of every element, eV; empty where they are not known.
    """
    metadata: dict[str, Any] = {
        "_distance_unit": "Ang",
        "_property_unit_dict": {"energy": "eV", "forces": "eV/Ang"},
        "atomrefs": {},
    }
    if energies:
        table = np.zeros(max(100, max(energies) + 1))  # the size that its RemoveOffsets expects
        table[list(energies)] = list(energies.values())
        metadata["atomrefs"] = {"energy": table.tolist()}
    rows = np.concatenate([np.asarray(index, dtype=np.int64) for index in parts.values()])
    with connect(str(folder / "data.db"), type="db", use_lock_file=False) as database:
        database.metadata = metadata
        for i in rows:
            atoms = conformers.atoms_slice(int(i))
            structure = Atoms(
                numbers=conformers.numbers[atoms],
                positions=conformers.positions[atoms],
                cell=conformers.cell[i],
                pbc=conformers.pbc[i],
            )
            data = {
                "energy": labels.energy[i : i + 1].copy(),
                "forces": labels.forces[atoms].astype(np.float64),
            }
            # Bare hexadecimal digits may read as a number.
            database.write(structure, data=data, conformer_id=f"id-{conformers.id[i].decode()}")
    ends = np.cumsum([len(index) for index in parts.values()])
    split = np.split(np.arange(len(rows)), ends[:-1])
    arrays: dict[str, Any] = {f"{name}_idx": i for name, i in zip(parts, split, strict=True)}
    np.savez(folder / "split.npz", **arrays)


def _frame(
    numbers: np.ndarray, positions: np.ndarray, forces: np.ndarray, values: Mapping[str, Any]
) -> str:
    comment = format_comment({"Properties": f"species:S:1:pos:R:3:{FORCES}:R:3", **values})
    lines = [
        " ".join((chemical_symbols[z], *(repr(float(x)) for x in (*place, *force))))
        for z, place, force in zip(numbers, positions, forces, strict=True)
    ]
    return "\n".join((str(len(numbers)), comment, *lines)) + "\n"
