"""Minima of molecules on the MMFF94 surface of RDKit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from ..diversity.bonds import bond_changes
from ..diversity.errors import BreadthError
from ..diversity.randomness import seed_sequence
from ..diversity.rmsd import distinct_conformers, symmetry_rmsd
from .molecules import Molecule

KCAL_PER_MOL = units.kcal / units.mol  # in eV


@dataclass(frozen=True)
class Minima:
    """Minima of one molecule on the MMFF94 surface, lowest first.

    Parameters
    ----------
    positions : array of float64, shape (k, N, 3)
        In Å.
    energies : array of float64, shape (k,)
        MMFF94 energy in eV.
    """

    positions: np.ndarray
    energies: np.ndarray


class UnfitMolecule(BreadthError):
    """A molecule for which no geometry can be made; the message says why."""


def find_minima(
    molecule: Molecule,
    *,
    seed: int,
    n_embeddings: int = 10,
    max_minima: int = 5,
    window: float = 0.4,
    separation: float = 0.3,
) -> Minima:
    """Embed by ETKDGv3, relax by MMFF94, and drop repeats and high minima.

    Parameters
    ----------
    molecule : Molecule
    seed : int
    n_embeddings, max_minima : int, optional
        Embeddings that are relaxed, and the most minima kept.
    window : float, optional
        In eV. Minima this far above the lowest are left out.
    separation : float, optional
        In Å. Minima of a smaller symmetry-aware RMSD of heavy atoms are one.

    Returns
    -------
    Minima

    Raises
    ------
    UnfitMolecule
        If MMFF94 has no parameters for it, no embedding succeeds, or none relaxes to a minimum
        with the molecule's bonds.

    Notes
    -----
    ETKDGv3: Wang et al., J. Chem. Inf. Model. 60, 2044 (2020).
    """
    mol = Chem.Mol(molecule.rdkit)
    mmff_properties(mol)
    parameters: Any = rdDistGeom.ETKDGv3()
    # RDKit takes a positive 31-bit seed.
    stream = seed_sequence(seed, "minima", molecule.canonical)
    parameters.randomSeed = int(stream.generate_state(1)[0] & 0x7FFFFFFF)
    parameters.numThreads = 1
    parameters.maxIterations = 40  # enough for what can be embedded; cages that cannot cost less
    with rdBase.BlockLogs():
        embedded = list(rdDistGeom.EmbedMultipleConfs(mol, n_embeddings, parameters))
        if not embedded:
            parameters.useRandomCoords = True
            embedded = list(rdDistGeom.EmbedMultipleConfs(mol, n_embeddings, parameters))
    if not embedded:
        raise UnfitMolecule("no embedding found by ETKDGv3")
    relaxed = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(mol, numThreads=1, maxIters=2000)
    energies = np.array([energy for _, energy in relaxed]) * KCAL_PER_MOL
    positions = np.stack([mol.GetConformer(i).GetPositions() for i in embedded])
    changes = bond_changes(molecule.numbers, positions, molecule.bonds)
    fit = [
        i
        for i, (unfinished, _) in enumerate(relaxed)
        if unfinished == 0 and np.isfinite(positions[i]).all() and changes[i] is None
    ]
    if not fit:
        raise UnfitMolecule("no embedding relaxed to a minimum with the molecule's bonds")
    order = np.array(sorted(fit, key=lambda i: (energies[i], i)))
    order = order[energies[order] <= energies[order[0]] + window]
    apart = symmetry_rmsd(molecule.numbers, molecule.bonds, positions[order])
    kept = order[distinct_conformers(apart, separation)][:max_minima]
    return Minima(positions=positions[kept], energies=energies[kept])


def mmff_field(molecule: Molecule, positions: np.ndarray) -> Any:
    """Return RDKit's MMFF94 force field, in kcal/mol and Å, of a molecule at some positions.

    Its ``CalcGrad(x)`` is right only after ``CalcEnergy(x)`` at the same place.
    """
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
        placed(molecule.rdkit, positions), mmff_properties(molecule.rdkit), nonBondedThresh=1e6
    )
    field.Initialize()
    return field


def mmff_properties(mol: Chem.Mol) -> Any:
    """Return the MMFF94 types and charges of a molecule; raise `UnfitMolecule` without them."""
    with rdBase.BlockLogs():
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94")
    if properties is None:
        raise UnfitMolecule("MMFF94 has no parameters for it")
    return properties


def placed(mol: Chem.Mol, positions: np.ndarray) -> Chem.Mol:
    """Return a copy of a molecule with one conformer at these positions (N, 3) in Å."""
    copy = Chem.Mol(mol)
    copy.RemoveAllConformers()
    conformer = Chem.Conformer(copy.GetNumAtoms())
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=np.float64))
    copy.AddConformer(conformer)
    return copy
