"""A small pool without labels, sampled once."""

import pytest

from breadth.diversity.conformers import ConformerSet
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import Molecule, bundled_molecules

FLEXIBLE = ["CCCCO", "CCOC(C)=O", "NCCCO", "CC(C)CC=O", "C[C@H](O)C(C)=O", "C[C@@H](O)C(C)=O"]


@pytest.fixture(scope="session")
def molecules() -> list[Molecule]:
    """Flexible molecules, two of them stereoisomers, and every hundredth of the bundled ones."""
    return [Molecule(smiles, smiles) for smiles in FLEXIBLE] + bundled_molecules()[::100]


@pytest.fixture(scope="session")
def pool(molecules: list[Molecule]) -> ConformerSet:
    """Sixteen conformers of each."""
    return sample_geometries(molecules, n_conformers=16, seed=1)[0]
