"""What is in a labelled pool, as the Dataset that `breadth.analysis.figures.pool` draws."""

from __future__ import annotations

import numpy as np
import xarray as xr
from ase.data import chemical_symbols
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from ..diversity import ConformerSet
from ..diversity.randomness import ordering
from ..diversity.rmsd import symmetry_rmsd

#: Conformers compared per molecule: RMSDs grow with their square and settle with few.
_COMPARED = 12


def pool_contents(pool: ConformerSet, *, level: str) -> xr.Dataset:
    """Describe the molecules, conformers and elements of a pool.

    Parameters
    ----------
    pool : ConformerSet
        With SMILES and bonds, and `minimum` filled.
    level : str
        Level of theory of the forces.

    Returns
    -------
    xarray.Dataset
        As `breadth.analysis.figures.pool` documents it. RMSDs are of heavy atoms, symmetry-aware,
        means over pairs of at most 12 conformers of a molecule: of one minimum (vibration) and of
        two (torsions).
    """
    labels = pool.labels(level)
    norms = np.sqrt((labels.forces**2).sum(1))
    mean_norm = np.add.reduceat(norms, pool.offsets[:-1]) / pool.counts
    first = np.unique(pool.molecule, return_index=True)[1]
    compared = [_compare(pool, row) for row in range(pool.n_molecules)]
    elements = pool.elements
    composition = np.array(
        [[(pool.numbers[pool.atoms_slice(i)] == z).sum() for z in elements] for i in first]
    )
    return xr.Dataset(
        {
            "n_atoms": ("molecule", pool.counts[first]),
            "n_rotatable_bonds": ("molecule", [_rotatable(s) for s in pool.molecules.smiles]),
            "n_minima": (
                "molecule",
                [len(np.unique(pool.minimum[pool.molecule == m])) for m in range(pool.n_molecules)],
            ),
            "rmsd_vibration": ("molecule", [v for v, _ in compared], {"units": "angstrom"}),
            "rmsd_torsion": ("molecule", [t for _, t in compared], {"units": "angstrom"}),
            "force_norm": (
                "conformer",
                np.where(labels.has_forces, mean_norm, np.nan),
                {"units": "eV/angstrom"},
            ),
            "n_molecules_with": ("element", (composition > 0).sum(0)),
            "n_atoms_of": ("element", composition.sum(0)),
        },
        coords={
            "element": [chemical_symbols[z] for z in elements],
            "key": ("molecule", pool.molecules.key),
        },
    )


def _rotatable(smiles: str) -> int:
    return int(rdMolDescriptors.CalcNumRotatableBonds(Chem.MolFromSmiles(smiles)))


def _compare(pool: ConformerSet, molecule: int) -> tuple[float, float]:
    rows = np.flatnonzero(pool.molecule == molecule)
    rows = rows[ordering("contents", pool.id[rows])][:_COMPARED]
    bonds = pool.molecules.bond_table(molecule)
    if len(rows) < 2 or bonds is None:
        return np.nan, np.nan
    numbers = pool.numbers[pool.atoms_slice(rows[0])]
    frames = np.stack([pool.positions[pool.atoms_slice(i)] for i in rows])
    upper = np.triu_indices(len(rows), 1)
    distances = symmetry_rmsd(numbers, bonds, frames)[upper]
    alike = pool.minimum[rows][upper[0]] == pool.minimum[rows][upper[1]]
    return (
        float(distances[alike].mean()) if alike.any() else np.nan,
        float(distances[~alike].mean()) if (~alike).any() else np.nan,
    )
