"""RMSD of heavy atoms over rotations and symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolAlign
from scipy.spatial.transform import Rotation

from breadth.diversity.errors import DataError
from breadth.diversity.rmsd import (
    automorphisms,
    distinct_conformers,
    pairwise_rmsd,
    symmetry_rmsd,
)


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


def by_kabsch(left: np.ndarray, right: np.ndarray) -> float:
    """RMSD after the rotation from the singular vectors, from the rotated positions."""
    a, b = left - left.mean(0), right - right.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return float(np.sqrt(((a @ turn - b) ** 2).sum() / len(a)))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 5, 17]),
    # Bodies, planes, rods and what is nearly so: where the quartic has near-double roots.
    st.sampled_from([(1, 1, 1), (1, 1, 0), (1, 0, 0), (1, 1e-6, 1e-6), (1, 1, 1e-5), (1, 1e-3, 0)]),
    st.sampled_from([0.0, 1e-8, 1e-6, 1e-4, 0.01, 1.0]),
)
def test_pairs_equal_kabsch_even_where_rounding_hurts(
    seed: int, n_atoms: int, shape: tuple[float, ...], noise: float
) -> None:
    random = np.random.default_rng(seed)
    base = random.normal(size=(n_atoms, 3)) * shape
    frames = np.stack(
        [
            Rotation.random(rng=random).apply(base + noise * random.normal(size=base.shape))
            + random.normal(size=3)
            for _ in range(4)
        ]
        + [base * [1, 1, -1]]
    )
    expected = np.array([[by_kabsch(a, b) for b in frames] for a in frames])
    ours = pairwise_rmsd(frames)
    np.testing.assert_array_equal(ours, ours.T)
    assert not ours.diagonal().any()
    np.testing.assert_allclose(ours, expected, atol=5e-7)
    np.testing.assert_allclose(pairwise_rmsd(frames[:2], frames), expected[:2], atol=5e-7)


def test_pairs_in_many_blocks_equal_pairs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _, numbers, bonds, positions = embedded("CC(C)(C)OCC", 9)
    whole, symmetric = pairwise_rmsd(positions), symmetry_rmsd(numbers, bonds, positions)
    monkeypatch.setattr("breadth.diversity.rmsd._BLOCK", 7)
    np.testing.assert_allclose(pairwise_rmsd(positions), whole, atol=1e-9)
    np.testing.assert_allclose(symmetry_rmsd(numbers, bonds, positions), symmetric, atol=1e-7)
    across = symmetry_rmsd(numbers, bonds, positions[:4], positions)
    np.testing.assert_allclose(across, symmetric[:4], atol=1e-6)


def test_positions_that_are_not_numbers_are_an_error() -> None:
    frames = np.zeros((3, 2, 3))
    frames[1, 0, 0] = np.nan
    with pytest.raises(DataError, match="Conformer 1 "):
        pairwise_rmsd(frames)
