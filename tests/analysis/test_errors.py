"""Errors of arrays against values worked out by hand."""

import numpy as np
import pytest

from breadth.analysis import errors


def test_force_mae_is_within_molecules_then_over_them() -> None:
    # molecule 0: structures of one atom with MAE 1 and 3; molecule 1: two atoms, MAE (3 + 6)/6
    forces = np.array([[1, 1, 1], [3, 3, 3], [1, 1, 1], [0, 3, -3]], dtype=float)
    by_molecule = errors.force_mae_by_molecule(
        forces, np.zeros((4, 3)), np.array([1, 1, 2]), np.array([0, 0, 1]), 3
    )
    np.testing.assert_allclose(by_molecule, [2.0, 1.5, np.nan])


def test_conformational_error_ignores_offsets_and_corrects_for_the_mean() -> None:
    molecule = np.array([0, 1, 0, 1, 0, 1, 2])
    reference = np.array([1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 0.0])
    predicted = reference + 7.0 * (molecule == 0) - 2.0 * (molecule == 1)
    found = errors.conformational_energy_mae_by_molecule(predicted, reference, molecule, 4, 3)
    np.testing.assert_allclose(found, [0.0, 0.0, np.nan, np.nan], atol=1e-12)
    predicted[[0, 2, 4]] += [-1.0, 0.0, 1.0]  # |−1|, 0, |1| about their own mean: 2/3
    found = errors.conformational_energy_mae_by_molecule(predicted, reference, molecule, 4, 3)
    np.testing.assert_allclose(found[0], 2 / 3 * np.sqrt(3 / 2))


def test_conformational_error_does_not_depend_on_the_number_of_conformers() -> None:
    rng = np.random.default_rng(0)
    expected = np.sqrt(2 / np.pi)  # mean |x| of a standard normal
    for n in (10, 40):
        molecule = np.repeat(np.arange(3000), n)
        found = errors.conformational_energy_mae_by_molecule(
            rng.normal(size=3000 * n), np.zeros(3000 * n), molecule, 3000
        )
        assert found.mean() == pytest.approx(expected, rel=0.01)


def test_every_molecule_gives_the_same_number_of_conformers() -> None:
    molecule = np.repeat([0, 1, 2], [14, 11, 9])
    chosen, n = errors.conformational_selection(molecule)
    assert n == 11
    np.testing.assert_array_equal(np.bincount(molecule[chosen]), [11, 11])
    assert errors.conformational_selection(molecule[:9])[1] == 0


def test_undertrained_ranks_within_an_experiment() -> None:
    full = np.array([[1.0], [2.0], [1.5], [9.0]])
    quarter = np.array([[5.0], [6.0], [4.0], [np.nan]])  # 5 < 6 as before; alone in 'b'
    assert not errors.undertrained(full, quarter, np.array(["a", "a", "b", "b"])).any()
    flags = errors.undertrained(full, quarter, np.array(["a"] * 4))[:, 0]
    np.testing.assert_array_equal(flags, [True, False, True, False])
