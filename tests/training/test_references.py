import numpy as np
import pytest

from breadth.diversity.conformers import ConformerSet
from breadth.diversity.errors import DataError
from breadth.diversity.tables import Labels, Molecules
from breadth.training import reference_energies

ATOMS = {1: -13.6, 6: -1028.0, 7: -1483.0, 8: -2041.0}
BINDING = {1: -2.0, 6: -7.0, 7: -5.0, 8: -4.0}
# Benzene, uracil, aspirin: rank 3 for H, C, N, O.
RING_SYSTEMS = [{6: 6, 1: 6}, {6: 4, 1: 4, 7: 2, 8: 2}, {6: 9, 1: 8, 8: 4}]


def compositions(formulas, atoms=None):
    numbers = [np.repeat(list(f), list(f.values())) for f in formulas]
    sizes = [len(z) for z in numbers]
    total = sum(sizes)
    energy = [sum(n * (ATOMS[z] + BINDING[z]) for z, n in f.items()) for f in formulas]
    return ConformerSet(
        molecules=Molecules(key=np.array([f"m{i}" for i in range(len(formulas))])),
        molecule=np.arange(len(formulas)),
        numbers=np.concatenate(numbers),
        positions=np.arange(3.0 * total).reshape(-1, 3),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        levels={
            "l": Labels(
                energy=np.array(energy),
                forces=np.zeros((total, 3)),
                reference_energies=atoms or {},
            )
        },
    )


def predicted(found, formula):
    return sum(n * found.energies[z] for z, n in formula.items())


def test_isolated_atoms_hold_what_compositions_leave_open():
    found = reference_energies(compositions(RING_SYSTEMS, ATOMS), "l")
    assert found.anchored == (1, 6, 7, 8)
    naphthalene = {6: 10, 1: 8}
    exact = sum(n * (ATOMS[z] + BINDING[z]) for z, n in naphthalene.items())
    # Minimum-norm references miss naphthalene by hundreds of eV.
    assert abs(predicted(found, naphthalene) - exact) < 5.0


def test_ill_posed_raises_and_says_what_to_do():
    data = compositions(RING_SYSTEMS)
    with pytest.raises(DataError, match="isolated atoms"):
        reference_energies(data, "l")
    found = reference_energies(data, "l", allow_relative=True)
    assert found.anchored == ()
    for i, formula in enumerate(RING_SYSTEMS):
        assert predicted(found, formula) == pytest.approx(data.labels("l").energy[i], abs=1e-6)


def test_enough_compositions_need_no_atoms():
    formulas = [*RING_SYSTEMS, {6: 1, 1: 4}, {8: 1, 1: 2}, {7: 1, 1: 3}]
    found = reference_energies(compositions(formulas), "l")
    for z, energy in found.energies.items():
        assert energy == pytest.approx(ATOMS[z] + BINDING[z], abs=1e-6)
    assert found.anchored == ()


def test_one_composition_gets_its_mean():
    data = compositions([{6: 2, 1: 6, 8: 1}])
    found = reference_energies(data, "l")
    assert predicted(found, {6: 2, 1: 6, 8: 1}) == pytest.approx(data.labels("l").energy[0])
    assert len(set(found.energies.values())) == 1


def test_shrinkage_ends_at_the_atoms():
    found = reference_energies(compositions(RING_SYSTEMS, ATOMS), "l", shrinkage=1e12)
    for z, energy in found.energies.items():
        assert energy == pytest.approx(ATOMS[z], abs=1e-3)


def test_order_and_copies_change_nothing():
    data = compositions(RING_SYSTEMS, ATOMS)
    a = reference_energies(data, "l", np.array([0, 1, 2]))
    b = reference_energies(data, "l", np.array([2, 2, 1, 0, 0, 1]))
    for z in a.energies:
        assert a.energies[z] == pytest.approx(b.energies[z], abs=1e-8)
