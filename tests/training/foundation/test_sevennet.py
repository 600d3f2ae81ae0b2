"""SevenNet-0 against the calculator of the package that its weights come from."""

import copy
import functools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from breadth.diversity import ConfigurationError, ConformerSet, DataError
from breadth.training import PotentialCalculator, build_potential, predict
from breadth.training.testing import PretrainedContract

pytest.importorskip("sevenn")


@functools.cache
def built(levels):
    return build_potential("sevennet-0", levels=levels)


@pytest.mark.slow
class TestSevenNet(PretrainedContract):
    test_rotation_and_reflection = None  # its features have no parity: mirror images differ

    def build(self, levels=("default",)):
        return copy.deepcopy(built(tuple(levels)))  # making one takes a second

    def test_rotation(self):
        PretrainedContract.test_rotation_and_reflection(self, False)


@pytest.fixture(scope="module")
def sevennet():
    return built(("sevennet-0",))


def structures():
    """Return cells from one atom, its own neighbour alone, to molecules in and out of a box."""
    boxed = molecule("CH3OH")
    boxed.set_cell([[6.5, 0, 0.2], [0.4, 7, 0], [0, 0.3, 6]])
    found = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1), boxed]
    for seed, atoms in enumerate(found):
        atoms.pbc = True
        atoms.rattle(0.05, seed=seed)
    return [*found, molecule("CH3CH2OH"), Atoms("LiCl", [[0, 0, 0], [0, 0, 7]])]


@pytest.fixture(scope="module")
def package_says():
    """Energies, forces and stresses by the package, which has single precision."""
    from sevenn.calculator import SevenNetCalculator

    calculator, found = SevenNetCalculator("7net-0", device="cpu"), []
    for atoms in structures()[:-1]:  # without edges the package stops
        atoms.calc = calculator
        found.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(False)))
    return found


def test_one_padded_batch_is_the_package(sevennet, package_says):
    data = ConformerSet.from_ase(structures())
    found = predict(sevennet, data)
    for i, (energy, forces, _) in enumerate(package_says):
        n = int(data.counts[i])
        assert found.energy[i] == pytest.approx(energy, abs=2e-5 * np.sqrt(n))
        np.testing.assert_allclose(found.forces[data.atoms_slice(i)], forces, atol=2e-4)
    assert not found.forces[data.atoms_slice(len(data) - 1)].any()


def test_double_precision_is_the_package_and_so_is_the_stress(sevennet, package_says):
    calculator = PotentialCalculator(copy.deepcopy(sevennet).double())
    for atoms, (energy, forces, stress) in zip(structures(), package_says, strict=False):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-4)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=2e-4)
        if atoms.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, atol=2e-6)


def test_domain(sevennet):
    polonium = Atoms("Po2", [[0, 0, 0], [0, 0, 3]])
    with pytest.raises(DataError, match="holds Po"):
        predict(sevennet, ConformerSet.from_ase([polonium]))
    charged = molecule("H2O")
    charged.info["charge"] = 1
    with pytest.raises(DataError, match="another charge"):
        predict(sevennet, ConformerSet.from_ase([charged]))


def test_weights_of_another_version(monkeypatch):
    from breadth.training.potentials.foundation import sevennet

    monkeypatch.setitem(sevennet.FACTS, "is_parity", True)
    with pytest.raises(ConfigurationError, match="another version"):
        build_potential("sevennet-0")
