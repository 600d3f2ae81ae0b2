"""Bonds perceived from geometry and the test of whether they are intact."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2

from breadth.diversity.bonds import bond_changes, closest_pair, covalent_bonds, pairs_within


@pytest.mark.parametrize(
    ("name", "bonds"),
    [("H2O", 2), ("C2H6", 7), ("C6H6", 12), ("cyclobutane", 12), ("CH3CH2OH", 8), ("C60", 90)],
)
def test_perceives_the_bonds_of_known_molecules(name: str, bonds: int) -> None:
    atoms = molecule(name)
    assert len(covalent_bonds(atoms.numbers, atoms.positions)) == bonds


def test_bonds_do_not_change_when_periodic_molecule_is_wrapped() -> None:
    atoms = molecule("CH3CH2OH", cell=[8, 9, 10], pbc=True)
    expected = covalent_bonds(atoms.numbers, atoms.positions)
    atoms.positions += [7.6, 3.0, 9.5]
    atoms.wrap()
    found = covalent_bonds(atoms.numbers, atoms.positions, np.array(atoms.cell), atoms.pbc)
    np.testing.assert_array_equal(found, expected)


def test_a_pair_bonded_through_two_images_is_one_bond() -> None:
    silicon = bulk("Si")  # four nearest neighbours, all images of one other atom
    found = covalent_bonds(silicon.numbers, silicon.positions, np.array(silicon.cell), silicon.pbc)
    np.testing.assert_array_equal(found, [[0, 1]])
    pairs, distances = pairs_within(silicon.positions, 2.5, np.array(silicon.cell), silicon.pbc)
    assert len(pairs) == 4
    np.testing.assert_allclose(distances, 5.43 * np.sqrt(3) / 4)


def test_tree_and_dense_search_agree() -> None:
    positions = np.random.default_rng(0).uniform(0, 12, (260, 3))
    pairs, distances = pairs_within(positions, 2.0)
    halves = [pairs_within(positions[:130], 2.0)[0], pairs_within(positions[130:], 2.0)[0] + 130]
    inside = (pairs[:, 0] < 130) == (pairs[:, 1] < 130)
    np.testing.assert_array_equal(pairs[inside], np.concatenate(halves))
    assert (np.diff(pairs[:, 0]) >= 0).all()
    np.testing.assert_allclose(
        distances, np.linalg.norm(np.subtract(*positions[pairs.T]), axis=1), rtol=1e-12
    )


def test_stretched_and_new_bonds_are_told_and_named() -> None:
    atoms = molecule("CH3CH2OH")
    bonds = covalent_bonds(atoms.numbers, atoms.positions)
    oxygen = int(np.flatnonzero(atoms.numbers == 8)[0])
    hydroxyl = next(
        int(b[b != oxygen][0]) for b in bonds if oxygen in b and atoms.numbers[b].min() == 1
    )
    away = atoms.positions.copy()
    direction = away[hydroxyl] - away[oxygen]
    away[hydroxyl] += 0.6 * direction / np.linalg.norm(direction)
    near = atoms.positions.copy()
    near[hydroxyl] = near[0] + [0.0, 0.0, 1.0] if 0 != oxygen else near[1]
    intact, broken = bond_changes(
        atoms.numbers, np.stack([atoms.positions, away]), bonds, atoms.positions
    )
    assert intact is None
    assert broken is not None
    assert broken.kind == "bond broken"
    assert {broken.first, broken.second} == {oxygen, hydroxyl}
    assert f"H{hydroxyl}" in broken.describe(atoms.numbers)


def test_a_bond_that_forms_is_told() -> None:
    numbers = np.array([1, 1, 1, 1])
    bonds = np.array([[0, 1], [2, 3]])
    apart = np.array([[0, 0, 0], [0.74, 0, 0], [0, 3.0, 0], [0.74, 3.0, 0]])
    close = apart.copy()
    close[2:, 1] = 0.6
    assert bond_changes(numbers, apart, bonds) == [None]
    (change,) = bond_changes(numbers, close, bonds)
    assert change is not None
    assert change.kind == "bond formed"


def test_small_molecules_at_rest_are_intact() -> None:
    for name in g2.names:
        atoms: Atoms = molecule(name)
        bonds = covalent_bonds(atoms.numbers, atoms.positions)
        assert bond_changes(atoms.numbers, atoms.positions, bonds, atoms.positions) == [None], name


def test_closest_pair() -> None:
    assert closest_pair(np.zeros((1, 3))) == (-1, -1, float("inf"))
    i, j, d = closest_pair(np.array([[0, 0, 0], [9.0, 0, 0], [9.2, 0, 0]]))
    assert (i, j) == (1, 2)
    assert d == pytest.approx(0.2)
    # An image across the boundary is nearer than any atom of the same cell.
    cell = np.diag([10.0, 10.0, 10.0])
    i, j, d = closest_pair(np.array([[0.1, 0, 0], [9.9, 0, 0]]), cell, np.array([True, True, True]))
    assert d == pytest.approx(0.2)
