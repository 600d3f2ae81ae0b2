"""Torsions: which there are, fingerprints as RDKit's, entropies by closed form, basins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import TorsionFingerprints, rdDistGeom, rdMolTransforms
from scipy.special import i0e

from breadth.diversity.torsions import (
    BANDWIDTH,
    dihedral_angles,
    torsion_basins,
    torsion_coverage,
    torsion_entropy,
    torsion_fingerprint_deviation,
    torsions,
)

SEEDS = st.integers(0, 2**32 - 1)
FOLDS = st.sampled_from([1, 2, 3, 6])


def embedded(smiles: str, n: int = 8) -> tuple[Chem.Mol, np.ndarray]:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMultipleConfs(mol, n, randomSeed=5)
    return mol, np.stack([c.GetPositions() for c in mol.GetConformers()])


@pytest.mark.parametrize(
    "smiles",
    [
        "CC(C)OCC(F)(F)F",
        "O=C(O)c1ccccc1OC(C)=O",
        "C1CCCCC1CCO",
        "C1CC1CCN(C)C",
        "c1ccccc1-c1ccccc1C(F)(F)F",
        "C1CCCCCCCCCCCCC1",
        "CC#CCC(C)C",
    ],
)
def test_fingerprint_deviation_equals_rdkit(smiles: str) -> None:
    mol, positions = embedded(smiles)
    ours = torsion_fingerprint_deviation(mol, positions)
    assert ours is not None
    theirs = TorsionFingerprints.GetTFDMatrix(mol)
    np.testing.assert_allclose(ours[np.tril_indices(len(positions), -1)], theirs, atol=1e-7)
    np.testing.assert_array_equal(ours, ours.T)


def test_a_molecule_without_torsions_has_no_fingerprint() -> None:
    mol, positions = embedded("CC", 2)
    assert torsion_fingerprint_deviation(mol, positions) is None
    assert torsions(mol).atoms.shape == (0, 4)


def test_angles_equal_rdkit() -> None:
    mol, positions = embedded("OCC(O)C1CCCC1")
    quartets = torsions(mol).atoms
    theirs = [
        [rdMolTransforms.GetDihedralDeg(c, *map(int, quartet)) for quartet in quartets]
        for c in mol.GetConformers()
    ]
    np.testing.assert_allclose(dihedral_angles(positions, quartets), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("smiles", "folds", "n_ring"),
    [
        ("CCCC", [1], 0),
        ("CC(C)CO", [1], 0),  # the hydrogen tells the isopropyl group's turn
        ("CCc1ccccc1", [2], 0),
        ("CCC(F)(F)F", [3], 0),
        ("FC(F)(F)c1ccccc1", [6], 0),
        ("CC[N+](=O)[O-]", [2], 0),  # its oxygens differ by bond order alone
        ("CC/C=C/CC", [1, 1], 0),  # no turning about the double bond
        ("CC#CC", [], 0),
        ("C1CCCC1", [1] * 5, 5),
        ("C1CC1", [], 0),
    ],
)
def test_folds_and_rings(smiles: str, folds: list[int], n_ring: int) -> None:
    found = torsions(Chem.AddHs(Chem.MolFromSmiles(smiles)))
    assert found.fold.tolist() == folds
    assert found.ring.sum() == n_ring


@given(
    st.lists(st.tuples(SEEDS, FOLDS), min_size=1, max_size=4),
    st.one_of(st.integers(1, 60), st.integers(350, 500)),
)
def test_entropy_equals_the_double_sum(columns: list[tuple[int, int]], n: int) -> None:
    angles = np.stack(
        [np.random.default_rng(s).normal(s % 360, 10 + s % 50, n) for s, _ in columns], axis=1
    )
    fold = np.array([f for _, f in columns])
    ours, ceiling = torsion_entropy(angles, fold)
    for t, m in enumerate(fold.tolist()):
        phase = np.radians(m * angles[:, t])
        kappa = 1 / (m * np.radians(BANDWIDTH)) ** 2
        kernel = np.exp(kappa * (np.cos(phase[:, None] - phase) - 1))
        # Of more than 360 angles, on cells of 1° of the period; the kernel's width is 15°.
        assert ours[t] == pytest.approx(-np.log(kernel.mean(0)).mean(), abs=0.01)
    assert (ours <= np.log(n) + 1e-9).all()
    assert (ours >= 0).all()
    assert (ceiling <= np.log(n) + 1e-9).all()


@pytest.mark.parametrize("fold", [1, 2, 3, 6])
def test_entropy_of_a_free_rotor_and_of_a_rigid_one(fold: int) -> None:
    free = np.linspace(0, 360, 7200, endpoint=False)[:, None]
    kappa = 1 / (fold * np.radians(BANDWIDTH)) ** 2
    entropy, ceiling = torsion_entropy(free, np.array([fold]))
    assert entropy[0] == pytest.approx(-np.log(i0e(kappa)), abs=1e-3)
    assert ceiling[0] == pytest.approx(-np.log(i0e(kappa)))
    assert torsion_entropy(np.full((50, 1), 61.0), np.array([fold]))[0][0] == 0.0
    assert torsion_coverage(free, np.array([fold]))[0] == 1.0
    assert torsion_coverage(np.full((9, 1), -170.0), np.array([fold]))[0] == fold / 12


@given(SEEDS, st.integers(1, 40), FOLDS)
def test_whole_periods_and_the_order_of_conformers_change_nothing(
    seed: int, n: int, fold: int
) -> None:
    random = np.random.default_rng(seed)
    # Not on the edge of a cell, where rounding decides.
    angles = (random.integers(0, 360, (n, 2)) + 0.5) / fold
    turned = angles + 360.0 / fold * random.integers(-3, 4, (n, 2))
    folds = np.full(2, fold)
    for measure in (torsion_coverage, lambda a, f: torsion_entropy(a, f)[0]):
        np.testing.assert_allclose(measure(turned, folds), measure(angles, folds), atol=1e-9)
    basins = torsion_basins(angles, folds)
    np.testing.assert_array_equal(torsion_basins(turned, folds), basins)
    order = random.permutation(n)
    np.testing.assert_array_equal(torsion_basins(angles[order], folds), basins[order])


def test_basins_are_the_wells() -> None:
    random = np.random.default_rng(2)
    wells = random.choice([-60.0, 60.0, 180.0], 300)
    angles = (wells + random.normal(0, 10, 300))[:, None]
    basins = torsion_basins(angles, np.array([1]))
    assert len(np.unique(np.column_stack([wells, basins]), axis=0)) == 3
    # A threefold end takes the wells into each other.
    assert not torsion_basins(angles, np.array([3])).any()
    two = np.column_stack([angles[:, 0], random.choice([0.0, 180.0], 300)])
    assert len(np.unique(torsion_basins(two, np.array([1, 1])))) == 6


def test_one_broad_well_is_one_basin_wherever_it_lies() -> None:
    spread = np.random.default_rng(0).normal(0, 20, 400)
    for centre in (0.0, 0.3, 90.0, 179.0):
        assert not torsion_basins((spread + centre)[:, None], np.array([1])).any()


def test_no_torsions_make_one_basin() -> None:
    none = np.zeros((4, 0))
    np.testing.assert_array_equal(torsion_basins(none, np.zeros(0, dtype=int)), np.zeros(4))
