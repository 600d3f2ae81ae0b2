import numpy as np
import pytest
from ase import Atoms
from ase.calculators.fd import calculate_numerical_forces
from ase.optimize import BFGS

from breadth.diversity.errors import DataError
from breadth.diversity.tables import Labels
from breadth.training import PaiNN, PotentialCalculator, TrainingConfig, fit, predict
from breadth.training.testing import random_structure


@pytest.fixture(scope="module")
def potential():
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PaiNN(cutoff=4.0, n_features=16, n_basis=4).double()
    made.set_level("default", references={1: -13.0, 6: -1000.0}, scale=1.0, anchored=[])
    return made


def test_molecule(potential):
    z, x = random_structure(6)
    atoms = Atoms(np.where(z == 1, 1, 6), x, calculator=PotentialCalculator(potential))
    forces = atoms.get_forces()
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), atol=1e-5)
    with pytest.raises(NotImplementedError):
        atoms.get_stress()


def test_crystal_stress(potential):
    z, x = random_structure(4)
    cell = np.eye(3) * 4.3
    atoms = Atoms(np.where(z == 1, 1, 6), x, cell=cell, pbc=True)
    atoms.calc = PotentialCalculator(potential)
    stress = atoms.get_stress(voigt=False)
    h, energies = 1e-4, []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.calc = atoms.calc
        bend = np.eye(3)
        bend[0, 1] = bend[1, 0] = 0.5 * sign * h
        strained.set_cell(cell @ bend, scale_atoms=True)
        energies.append(strained.get_potential_energy())
    numeric = (energies[0] - energies[1]) / (2 * h * atoms.get_volume())
    assert stress[0, 1] == pytest.approx(numeric, abs=1e-6)


def test_every_change_of_the_atoms_is_seen(potential):
    z, x = random_structure(6)
    kept = PotentialCalculator(potential)
    atoms = Atoms(np.where(z == 1, 1, 6), x)

    def check():
        expected = PotentialCalculator(potential).get_potential_energy(atoms)
        assert kept.get_potential_energy(atoms) == pytest.approx(expected, abs=1e-12)
        forces = PotentialCalculator(potential).get_forces(atoms)
        np.testing.assert_allclose(kept.get_forces(atoms), forces, atol=1e-12)
        return expected

    energies = [check()]
    atoms.positions[0] += 1e-7
    energies.append(check())
    atoms.numbers[0] = 7 - atoms.numbers[0]
    energies.append(check())
    atoms.set_cell(np.eye(3) * 5)
    atoms.pbc = True
    energies.append(check())
    atoms.cell[0, 0] = 5.5
    energies.append(check())
    del atoms[5]
    energies.append(check())
    assert len(set(energies)) == 6


def test_nothing_is_computed_twice_and_a_charge_is_a_change(potential):
    z, x = random_structure(6)
    atoms = Atoms(np.where(z == 1, 1, 6), x, info={"charge": 0})
    calculator = PotentialCalculator(potential)
    calculator.get_forces(atoms)
    assert not calculator.calculation_required(atoms, ["energy", "forces"])
    atoms.info["charge"] = 1
    assert calculator.calculation_required(atoms, ["energy"])
    calculator.get_forces(atoms)
    assert calculator._batch.charge.tolist() == [1.0]


@pytest.mark.parametrize("periodic", [False, True])
def test_what_is_no_number_is_refused_and_forgotten(potential, periodic):
    z, x = random_structure(6)
    calculator = PotentialCalculator(potential)
    atoms = Atoms(np.where(z == 1, 1, 6), x, cell=np.eye(3) * 9.0, pbc=periodic)
    calculator.get_forces(atoms)
    before = atoms.copy()
    for bad in (np.nan, np.inf):
        atoms.positions[4, 1] = bad
        with pytest.raises(DataError, match="The position of atom 4 is NaN or infinite in float64"):
            calculator.get_forces(atoms)
    # With other elements at first, and then with positions alone changed.
    atoms.numbers[0] = 7 - atoms.numbers[0]
    with pytest.raises(DataError, match="atom 4"):
        calculator.get_potential_energy(atoms)
    atoms.positions[4] = before.positions[4]
    expected = PotentialCalculator(potential).get_potential_energy(atoms)
    assert calculator.get_potential_energy(atoms) == pytest.approx(expected, abs=1e-12)
    atoms.cell[1, 1] = np.nan
    with pytest.raises(DataError, match="Cell vector 1 is NaN"):
        calculator.get_potential_energy(atoms)


def test_a_cast_potential_is_followed():
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PaiNN(cutoff=4.0, n_features=16, n_basis=4)
    calculator = PotentialCalculator(made)
    z, x = random_structure(6)
    atoms = Atoms(np.where(z == 1, 1, 6), x, calculator=calculator)
    single = atoms.get_forces()
    made.double()
    atoms.positions += 1.0
    double = atoms.get_forces()
    assert 0 < np.abs(single - double).max() < 1e-4


def test_agrees_with_predict_and_relaxes(toy):
    config = TrainingConfig(n_updates=150, batch_size=8, learning_rate=0.01, device="cpu")
    trained = fit(
        {"name": "painn", "n_features": 16, "n_basis": 4}, toy, level="springs",
        train=np.arange(len(toy)), config=config,
    ).potential  # fmt: skip
    labels: Labels = predict(trained, toy)
    rows = toy.atoms_slice(14)
    atoms = Atoms(toy.numbers[rows], toy.positions[rows], calculator=PotentialCalculator(trained))
    assert atoms.get_potential_energy() == pytest.approx(labels.energy[14], abs=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), labels.forces[rows], atol=1e-4)
    before = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=20)
    assert atoms.get_potential_energy() < before
