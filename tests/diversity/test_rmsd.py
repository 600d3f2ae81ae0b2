"""RMSD of heavy atoms over rotations and symmetries."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolAlign
from scipy.spatial.transform import Rotation

from breadth.diversity.errors import DataError
from breadth.diversity.rmsd import automorphisms, distinct_conformers, symmetry_rmsd


def embedded(smiles: str, n: int = 6) -> tuple[Chem.Mol, np.ndarray, np.ndarray, np.ndarray]:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMultipleConfs(mol, n, randomSeed=3)
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
    bonds = np.array([[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] for b in mol.GetBonds()])
    return mol, numbers, bonds, np.stack([c.GetPositions() for c in mol.GetConformers()])


@pytest.mark.parametrize(
    ("smiles", "symmetries"),
    [("CC(C)(C)CCO", 6), ("CCCCCCC", 2), ("Cc1ccccc1CF", 1), ("FC(F)(F)CC(C)C", 12)],
)
def test_equals_rdkit(smiles: str, symmetries: int) -> None:
    mol, numbers, bonds, positions = embedded(smiles)
    assert len(automorphisms(numbers, bonds)[1]) == symmetries
    ours = symmetry_rmsd(numbers, bonds, positions)
    heavy = Chem.RemoveHs(mol)
    theirs = [
        [rdMolAlign.GetBestRMS(Chem.Mol(heavy), heavy, i, j) for j in range(len(positions))]
        for i in range(len(positions))
    ]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_rotation_and_relabelling_cost_nothing_and_a_mirror_does() -> None:
    _, numbers, bonds, positions = embedded("C[C@H](O)CC(C)(C)C", 1)
    turned = Rotation.from_euler("xyz", [0.4, 1.2, 2.2]).apply(positions[0] + 1.5)
    heavy, permutations = automorphisms(numbers, bonds)
    relabelled = turned.copy()
    relabelled[heavy] = turned[heavy[permutations[-1]]]
    assert symmetry_rmsd(numbers, bonds, positions[0], relabelled)[0, 0] < 1e-6
    assert symmetry_rmsd(numbers, bonds, positions[0], positions[0] * [1, 1, -1])[0, 0] > 0.1


def test_hydrogens_tell_heavy_atoms_apart_and_do_not_count() -> None:
    _, numbers, bonds, positions = embedded("CC(=O)O", 2)
    assert len(automorphisms(numbers, bonds)[1]) == 1
    moved = positions.copy()
    moved[:, numbers == 1] += 1.0
    np.testing.assert_allclose(
        np.diag(symmetry_rmsd(numbers, bonds, positions, moved)), 0.0, atol=1e-6
    )


def test_a_molecule_of_hydrogen_is_compared_by_its_hydrogens() -> None:
    short, long = (np.array([[0, 0, 0], [d, 0, 0]]) for d in (0.7, 0.9))
    value = symmetry_rmsd(np.array([1, 1]), np.array([[0, 1]]), short, long)[0, 0]
    assert value == pytest.approx(0.1)


def test_too_many_symmetries_are_an_error() -> None:
    star = np.array([[0, i] for i in range(1, 9)])
    with pytest.raises(DataError, match="more than 100"):
        automorphisms(np.array([92] + [9] * 8), star, limit=100)


def test_distinct_conformers_keeps_the_first_of_each_group() -> None:
    x = np.array([0.0, 0.05, 1.0, 1.02, 0.5])
    np.testing.assert_array_equal(distinct_conformers(np.abs(x[:, None] - x[None]), 0.1), [0, 2, 4])
