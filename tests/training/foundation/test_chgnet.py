"""CHGNet against the calculator of the package that its weights come from."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from breadth.diversity import ConfigurationError, ConformerSet, DataError
from breadth.training import PotentialCalculator, build_potential, predict
from breadth.training.batches import FrameStore
from breadth.training.potentials import energy_and_forces
from breadth.training.testing import PotentialContract, PretrainedContract

pytest.importorskip("chgnet")


class TestCHGNet(PretrainedContract):
    test_smooth_at_the_cutoff = PotentialContract.test_smooth_at_the_cutoff

    def build(self, levels=("default",)):
        return build_potential("chgnet", levels=levels)


@pytest.fixture(scope="module")
def chgnet():
    return build_potential("chgnet")


def crystals():
    """Return cells from one atom, its own neighbour alone, to molecules in a box."""
    methanol, spread = molecule("CH3OH"), Atoms("LiCl", [[0, 0, 0], [3.4, 0, 0]])
    methanol.set_cell([[6.5, 0, 0.2], [0.4, 7, 0], [0, 0.3, 6]])
    spread.set_cell([8, 9, 9])  # two bonds, no angle below 3 Å
    found = [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1), methanol, spread]
    for seed, atoms in enumerate(found):
        atoms.pbc = True
        atoms.rattle(0.05, seed=seed)
    return found


@pytest.fixture(scope="module")
def package_says():
    """Energies, forces and stresses of the cells by the package, which has single precision."""
    from chgnet.model import CHGNetCalculator

    calculator, found = CHGNetCalculator(use_device="cpu"), []
    for atoms in crystals():
        atoms.calc = calculator
        results = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(False)
        found.append(results)
    return found


def test_one_padded_batch_is_the_package(chgnet, package_says):
    data = ConformerSet.from_ase(crystals())
    found = predict(chgnet, data)
    for i, (energy, forces, _) in enumerate(package_says):
        n = int(data.counts[i])
        assert found.energy[i] == pytest.approx(energy, abs=2e-5 * np.sqrt(n))
        np.testing.assert_allclose(found.forces[data.atoms_slice(i)], forces, atol=2e-4)


def test_double_precision_is_the_package_and_so_is_the_stress(package_says):
    calculator = PotentialCalculator(build_potential("chgnet").double())
    for atoms, (energy, forces, stress) in zip(crystals(), package_says, strict=True):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-4)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=2e-4)
        np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, atol=2e-6)


def test_atoms_without_neighbours_are_independent(chgnet):
    apart = Atoms("Li3", [[0, 0, 0], [0, 0, 7], [0, 0, 14]], cell=[21] * 3, pbc=True)
    two = Atoms("Li2", [[0, 0, 0], [0, 0, 9]], cell=[18] * 3, pbc=True)
    found = predict(chgnet, ConformerSet.from_ase([apart, two]))
    assert found.energy[0] / 3 == pytest.approx(found.energy[1] / 2, abs=1e-5)
    assert not found.forces.any()


def test_domain(chgnet):
    with pytest.raises(DataError, match=r"Conformer 0.*not periodic in three.*CHGNet"):
        predict(chgnet, ConformerSet.from_ase([molecule("H2O")]))
    polonium = Atoms("Po", cell=[3, 3, 3], pbc=True)
    with pytest.raises(DataError, match="holds Po"):
        predict(chgnet, ConformerSet.from_ase([polonium]))
    charged = bulk("Cu")
    charged.info["charge"] = 1
    with pytest.raises(DataError, match="another charge"):
        predict(chgnet, ConformerSet.from_ase([charged]))
    magnetic = bulk("Fe", cubic=True)
    magnetic.info["multiplicity"] = 5  # such are in its training set
    chgnet.check(ConformerSet.from_ase([magnetic]))


def test_every_weight_learns():
    potential = build_potential("chgnet")
    batch = FrameStore(ConformerSet.from_ase([crystals()[1]])).batch(np.array([0]))
    _, forces = energy_and_forces(potential, batch, differentiable=True)
    forces.square().sum().backward()
    fixed = {name for name, weight in potential.named_parameters() if weight.grad is None}
    assert fixed == {"heads.0.layers.7.bias"}  # forces do not know the zero of energy
    gradients = [weight.grad for weight in potential.parameters() if weight.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_nothing_is_printed(capfd):
    build_potential("chgnet")
    assert capfd.readouterr().out == ""


def test_weights_of_another_version(monkeypatch):
    from breadth.training.potentials.foundation import chgnet

    monkeypatch.setitem(chgnet.FACTS, "readout_norm", None)
    with pytest.raises(ConfigurationError, match="another version"):
        build_potential("chgnet")
