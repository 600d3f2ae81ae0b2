"""The key of connectivity and the spectra of radius graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from breadth.diversity.graphs import (
    connectivity_key,
    fraction_near_one,
    hill_formula,
    normalised_laplacian_spectrum,
    radius_graph,
)

CASES = [
    "CCO",
    "c1ccccc1C(=O)OC",
    "C1CC2CCC1CC2",
    "C12C3C4C1C5C2C3C45",
    "FC(F)(F)CN",
    "C[C@H](N)C(=O)O",
    "C1CCC(CC1)C1CCCCC1",
]


def graph(smiles: str) -> tuple[np.ndarray, np.ndarray]:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
    bonds = np.array([[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] for b in mol.GetBonds()])
    return numbers, bonds


@given(st.sampled_from(CASES), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_key_ignores_the_order_of_atoms_and_bonds(smiles: str, random: object) -> None:
    numbers, bonds = graph(smiles)
    order = list(range(len(numbers)))
    random.shuffle(order)  # type: ignore[attr-defined]
    place = np.argsort(order)
    shuffled = place[bonds][:, ::-1]
    assert connectivity_key(numbers[order], shuffled[::-1]) == connectivity_key(numbers, bonds)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CCO", "COC"),
        ("CCCCC", "CC(C)CC"),
        ("CC(=O)C", "C=C(O)C"),  # tautomers are connected differently
        ("C1CCC2CCCCC2C1", "C1CCCC1C1CCCC1"),  # equal under colour refinement
        ("CC(C)CCO", "CCC(C)CO"),
        ("c1ccccc1", "C1=CC2C=CC12"),
    ],
)
def test_isomers_have_different_keys(one: str, other: str) -> None:
    a, b = connectivity_key(*graph(one)), connectivity_key(*graph(other))
    assert a.split("-")[0] == b.split("-")[0]
    assert a != b


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),
        ("C/C=C/C", "C/C=C\\C"),
        ("c1ccccc1C", "C1=CC=CC=C1C"),
    ],
)
def test_stereoisomers_and_ways_of_writing_share_a_key(one: str, other: str) -> None:
    assert connectivity_key(*graph(one)) == connectivity_key(*graph(other))


def test_charge_and_multiplicity_are_part_of_the_key() -> None:
    numbers, bonds = graph("CC")
    keys = {
        connectivity_key(numbers, bonds),
        connectivity_key(numbers, bonds, charge=1, multiplicity=2),
        connectivity_key(numbers, bonds, multiplicity=3),
        connectivity_key(numbers, bonds, charge=-1, multiplicity=2),
    }
    assert len(keys) == 4


def test_lone_atoms_and_fragments_have_keys() -> None:
    none = np.zeros((0, 2), dtype=int)
    assert connectivity_key(np.array([18]), none) != connectivity_key(np.array([36]), none)
    together = connectivity_key(np.array([17, 11]), none)
    assert together != connectivity_key(np.array([17, 11]), np.array([[0, 1]]))


def test_hill_formula() -> None:
    assert hill_formula(np.array([17, 6, 1, 1, 1])) == "CH3Cl"
    assert hill_formula(np.array([1, 1, 8])) == "H2O"


@pytest.mark.parametrize("n", [2, 5, 11])
def test_spectrum_of_a_complete_graph(n: int) -> None:
    spectrum = normalised_laplacian_spectrum(np.ones((n, n)) - np.eye(n))
    np.testing.assert_allclose(spectrum, [0.0] + [n / (n - 1)] * (n - 1), atol=1e-12)
    # K₁₁ has λ = 1.1, which the closed interval [0.9, 1.1] holds; smaller ones have none in it.
    assert fraction_near_one(spectrum) == pytest.approx(10 / 11 if n == 11 else 0.0)


def test_spectrum_of_a_path_and_a_lone_atom() -> None:
    # The path of three atoms has 0, 1, 2; an atom of degree 0 adds a 0.
    positions = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [50, 0, 0]])
    adjacency = radius_graph(positions, 1.5)
    np.testing.assert_allclose(normalised_laplacian_spectrum(adjacency), [0, 0, 1, 2], atol=1e-12)


def test_spectra_in_a_stack_equal_each_alone() -> None:
    rng = np.random.default_rng(1)
    graphs = np.stack([radius_graph(rng.uniform(0, 6, (9, 3)), 3.0) for _ in range(4)])
    np.testing.assert_allclose(
        normalised_laplacian_spectrum(graphs),
        [normalised_laplacian_spectrum(g) for g in graphs],
        atol=1e-12,
    )


def test_periodic_radius_graph_counts_images() -> None:
    cubic = radius_graph(np.zeros((1, 3)), 1.1, np.eye(3), np.ones(3, dtype=bool))
    np.testing.assert_array_equal(cubic, [[6.0]])
    np.testing.assert_allclose(normalised_laplacian_spectrum(cubic), [0.0], atol=1e-12)
