"""Scaffolds: the rings and what links them; of an acyclic molecule, its carbon skeleton."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from .conformers import ConformerSet
from .errors import DataError


@lru_cache(maxsize=200_000)
def scaffold(smiles: str) -> str:
    """Return the scaffold of a molecule as canonical SMILES without stereochemistry.

    Bemis and Murcko's framework in RDKit's form (rings, linkers and atoms double-bonded to them).
    A molecule without rings has none, and a set of them would be one scaffold: it takes its carbon
    skeleton instead, all bonds single and other elements left out.

    Parameters
    ----------
    smiles : str

    Returns
    -------
    str

    Examples
    --------
    >>> scaffold("CCc1ccccc1O"), scaffold("CC(=O)OCC"), scaffold("CCOC(C)=N")
    ('c1ccccc1', 'acyclic CC.CC', 'acyclic CC.CC')
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise DataError(f"{smiles!r} is no SMILES that RDKit can read, so it has no scaffold.")
    Chem.RemoveStereochemistry(molecule)
    if molecule.GetRingInfo().NumRings():
        return str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule))
    skeleton = Chem.RWMol()
    place = {
        atom.GetIdx(): skeleton.AddAtom(Chem.Atom(6))
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() == 6
    }
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if all(end in place for end in ends):
            skeleton.AddBond(place[ends[0]], place[ends[1]], Chem.BondType.SINGLE)
    return f"acyclic {Chem.MolToSmiles(skeleton)}"


def scaffolds(conformers: ConformerSet) -> np.ndarray:
    """Return the scaffold of each molecule of a set, array of str, shape (M,).

    Raises
    ------
    DataError
        If a molecule has no SMILES.
    """
    molecules = conformers.molecules
    missing = np.flatnonzero(molecules.smiles == "")
    if len(missing):
        raise DataError(
            f"Molecule {str(molecules.key[missing[0]])!r} has no SMILES ({len(missing)} of "
            f"{len(molecules)} have none), so scaffolds cannot be told apart."
        )
    return np.array([scaffold(smiles) for smiles in molecules.smiles.tolist()])
