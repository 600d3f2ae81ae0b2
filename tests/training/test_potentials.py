import copy

import pytest
import torch

from breadth.diversity.errors import ConfigurationError
from breadth.training import (
    POTENTIALS,
    FactorisedPaiNN,
    PaiNN,
    SchNet,
    TensorNet,
    build_potential,
    energy_and_forces,
)
from breadth.training.testing import PotentialContract, make_batch, random_structure


class TestFactorisedPaiNN(PotentialContract):
    def build(self, levels=("default",)):
        return FactorisedPaiNN(cutoff=4.0, n_features=16, n_basis=4, levels=levels)


class TestDeepFactorisedPaiNN(PotentialContract):
    def build(self, levels=("default",)):
        return FactorisedPaiNN(cutoff=3.5, n_features=8, n_layers=3, n_basis=2, levels=levels)


class TestPaiNN(PotentialContract):
    def build(self, levels=("default",)):
        return PaiNN(cutoff=4.0, n_features=8, n_layers=2, n_basis=6, levels=levels)


class TestSchNet(PotentialContract):
    def build(self, levels=("default",)):
        return SchNet(cutoff=4.0, n_features=16, n_layers=2, n_basis=9, levels=levels)


class TestTensorNet(PotentialContract):
    def build(self, levels=("default",)):
        return TensorNet(cutoff=4.0, n_features=8, n_layers=2, n_basis=6, levels=levels)


@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_hyper_parameters_rebuild(name):
    potential = build_potential(name, n_features=24, levels=("a",))
    assert build_potential(name, **potential.hyper).hyper == potential.hyper


def test_unknown_names_are_told():
    with pytest.raises(ConfigurationError, match="factorised_painn, painn, schnet, tensornet"):
        build_potential("pain")
    with pytest.raises(ConfigurationError, match="n_features"):
        build_potential("painn", features=3)
    with pytest.raises(ConfigurationError, match="multiple"):
        build_potential("factorised_painn", n_features=30)
    with pytest.raises(ConfigurationError, match="'b'"):
        build_potential("painn", levels=("a",)).level_index("b")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_low_precision_is_precise_to_its_digits(name, kind):
    torch.manual_seed(0)
    potential = build_potential(name, n_features=16, n_layers=2, cutoff=4.0)
    # Padding and an atom by itself, on which all vectors vanish.
    structures = [(z, x.float()) for z, x in (random_structure(n, seed=n) for n in (9, 6, 1))]
    batch = make_batch(structures, padding=2)
    energies, forces = energy_and_forces(potential, batch, references=False)
    assert forces.norm() > 0.005
    low = make_batch([(z, x.to(kind)) for z, x in structures], padding=2)
    with torch.autocast("cpu", kind):
        mixed = energy_and_forces(potential, batch, references=False)
    whole = energy_and_forces(copy.deepcopy(potential).to(kind), low, references=False)
    digits = torch.finfo(kind).eps
    for e, f in (mixed, whole):
        assert (e - energies).abs().max() < 30 * digits
        assert (f - forces).norm() < 30 * digits * forces.norm()
