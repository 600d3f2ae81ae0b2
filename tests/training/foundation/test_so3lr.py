"""SO3LR against the calculator of the package that its weights come from."""

import numpy as np
import pytest
import torch
from ase.build import molecule

from breadth.diversity import ConfigurationError, ConformerSet, DataError, Labels
from breadth.training import PotentialCalculator, TrainingConfig, build_potential, fit, predict
from breadth.training.testing import PretrainedContract

pytest.importorskip("so3krates_torch")


class TestSO3LR(PretrainedContract):
    def build(self, levels=("default",)):
        return build_potential("so3lr", levels=levels)


@pytest.fixture(scope="module")
def so3lr():
    return build_potential("so3lr")


def structures():
    """Return molecules of several sizes, ions, and crystals smaller than twice the ranges."""
    names = ["H2O", "C6H6", "CH3Cl", "CH3SH", "H2", "PH3", "HF", "NH3", "CH3CHO"]
    found = [molecule(name) for name in names]
    for atoms, charge in zip(found[-2:], (1, -2), strict=True):
        atoms.info["charge"] = charge
    for cell in ([7.0, 7.5, 8.0], [[4.0, 0.2, 0], [0, 4.2, 0.3], [0.1, 0, 4.5]]):
        atoms = molecule("CH3OH")
        atoms.set_cell(cell)
        atoms.pbc = True
        found.append(atoms)
    for atoms in found:
        atoms.rattle(0.05, rng=np.random.default_rng(3))
    return found


@pytest.fixture(scope="module")
def package_says():
    """Energies, forces and stresses of the structures by the package, in double precision."""
    from so3krates_torch.calculator.so3 import SO3LRCalculator

    found = []
    try:
        calculator = SO3LRCalculator(default_dtype="float64", compute_stress=True)
        for atoms in structures():
            atoms.calc = calculator
            results = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(False)
            found.append(results)
    finally:
        torch.set_default_dtype(torch.float32)  # the package changes it for all
    return found


def test_double_precision_is_the_package(so3lr, package_says):
    calculator = PotentialCalculator(build_potential("so3lr").double())
    for atoms, (energy, forces, stress) in zip(structures(), package_says, strict=True):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-7)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-8)
        if atoms.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, atol=1e-9)


def test_one_padded_batch_is_the_package(so3lr, package_says):
    data = ConformerSet.from_ase(structures())
    found = predict(so3lr, data)
    for i, (energy, forces, _) in enumerate(package_says):
        n = int(data.counts[i])
        assert found.energy[i] == pytest.approx(energy, abs=1e-4 * np.sqrt(n))
        np.testing.assert_allclose(found.forces[data.atoms_slice(i)], forces, atol=1e-4)


def test_domain(so3lr):
    silane = molecule("SiH4")
    with pytest.raises(DataError, match=r"Conformer 1.*holds Si.*SO3LR"):
        predict(so3lr, ConformerSet.from_ase([molecule("H2O"), silane]))
    silane.calc = PotentialCalculator(so3lr)
    with pytest.raises(DataError, match="Si"):
        silane.get_potential_energy()
    radical = molecule("CH3")
    radical.info["multiplicity"] = 2
    with pytest.raises(DataError, match="unpaired"):
        predict(so3lr, ConformerSet.from_ase([radical]))


def test_no_fit_from_scratch(toy):
    with pytest.raises(ConfigurationError, match="breadth finetune so3lr"):
        fit({"name": "so3lr"}, toy, level="springs", train=np.arange(4))


def test_a_fit_outside_of_the_domain_is_refused(so3lr):
    data = ConformerSet.from_ase([molecule("SiH4"), molecule("CH4")])
    data = data.with_level("so3lr", Labels(energy=np.zeros(2), forces=np.zeros((10, 3))))
    config = TrainingConfig(n_updates=1, batch_size=1)
    with pytest.raises(DataError, match="holds Si"):
        fit(None, data, level="so3lr", train=np.arange(2), config=config, start=so3lr)


def test_energies_of_its_own_level_are_absolute(so3lr):
    assert so3lr.energies_are_absolute([1, 6, 17])
    assert not so3lr.energies_are_absolute([1, 14])
    other = build_potential("so3lr", levels=("so3lr", "gfn2"))
    assert not other.energies_are_absolute([1], "gfn2")


def test_weights_of_another_version(monkeypatch):
    from breadth.training.potentials.foundation import so3lr

    monkeypatch.setitem(so3lr.FACTS, "residual_mlp_2", True)
    with pytest.raises(ConfigurationError, match="another version"):
        build_potential("so3lr")
