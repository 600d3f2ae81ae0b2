"""Label engines against their own programs, finite differences, and bad geometries."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from breadth.diversity.conformers import ConformerSet, Labels, Molecules
from breadth.diversity.errors import DataError
from breadth.diversity.protocols import LabelEngine
from breadth.sampling.engines import AseEngine, Gfn1, Gfn2, Mmff94, Uff
from breadth.sampling.labels import (
    ground_state_multiplicity,
    isolated_atom_energies,
    join_labels,
    label,
    label_chunk,
)


def frames(positions: np.ndarray, numbers: np.ndarray, smiles: str = "", **state: int) -> Any:
    n, atoms = len(positions), len(numbers)
    return ConformerSet(
        molecules=Molecules(
            key=np.array(["it"]),
            smiles=np.array([smiles]),
            **{name: np.array([value]) for name, value in state.items()},
        ),
        molecule=np.zeros(n, dtype=int),
        numbers=np.tile(numbers, n),
        positions=np.reshape(positions, (-1, 3)),
        offsets=np.arange(n + 1) * atoms,
    )


WATER = molecule("H2O")


def water(*positions: np.ndarray) -> ConformerSet:
    return frames(np.stack(positions or (WATER.positions,)), WATER.numbers, "O")


@pytest.mark.parametrize(("engine", "method"), [(Gfn2(), "GFN2-xTB"), (Gfn1(), "GFN1-xTB")])
def test_xtb_equals_tblite_itself(engine: LabelEngine, method: str) -> None:
    from tblite.interface import Calculator as Tblite

    own = Tblite(method, WATER.numbers, WATER.positions / units.Bohr)
    own.set("verbosity", 0)
    result = own.singlepoint()
    labels = engine(water())
    assert labels.energy[0] == pytest.approx(result.get("energy") * units.Hartree, abs=1e-9)
    np.testing.assert_allclose(
        labels.forces, -result.get("gradient") * units.Hartree / units.Bohr, atol=1e-9
    )


def test_gfn2_energy_of_water() -> None:
    # −5.0704 E_h is what xtb 6.4 prints for water at its GFN2 minimum (its documentation).
    assert Gfn2()(water()).energy[0] / units.Hartree == pytest.approx(-5.0703, abs=5e-4)


@pytest.mark.parametrize("engine", [Gfn2(), Gfn1(), Mmff94(), Uff()])
def test_forces_are_minus_the_gradient(engine: LabelEngine, pool: ConformerSet) -> None:
    one = pool.select(np.array([17]))
    step, atoms = 1e-4, [0, one.n_atoms - 1]
    moved = []
    for atom in atoms:
        for axis in range(3):
            for side in (step, -step):
                positions = one.positions.copy()
                positions[atom, axis] += side
                moved.append(positions)
    at_rest = engine(one)
    around = engine(frames(np.stack(moved), one.numbers, str(one.smiles[0]))).energy.reshape(
        len(atoms), 3, 2
    )
    numerical = -(around[..., 0] - around[..., 1]) / (2 * step)
    np.testing.assert_allclose(at_rest.forces[atoms], numerical, atol=2e-4)


@pytest.mark.parametrize("engine", [Gfn2(), Mmff94(), Uff()])
def test_labels_do_not_depend_on_order_or_chunks(engine: LabelEngine, pool: ConformerSet) -> None:
    some = pool.select(np.arange(0, len(pool), 37))
    order = np.random.default_rng(0).permutation(len(some))
    straight, _ = label(some, engine, chunk=100)
    shuffled, _ = label(some.select(order), engine, chunk=3)
    np.testing.assert_array_equal(shuffled.energy, straight.energy[order])
    atoms = np.concatenate([np.arange(some.n_atoms)[some.atoms_slice(i)] for i in order])
    np.testing.assert_array_equal(shuffled.forces, straight.forces[atoms])


def test_a_pool_of_processes_changes_nothing(pool: ConformerSet) -> None:
    some = pool.select(np.arange(12))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        there, aside = label(some, Gfn2(), executor=executor, chunk=5)
    here, _ = label(some, Gfn2())
    np.testing.assert_array_equal(there.energy, here.energy)
    np.testing.assert_array_equal(there.forces, here.forces)
    assert there.reference_energies == here.reference_energies
    assert not aside


def test_charge_and_multiplicity_reach_the_engine() -> None:
    triplet = frames(WATER.positions[None], WATER.numbers, multiplicity=3)
    cation = frames(WATER.positions[None], WATER.numbers, charge=1, multiplicity=2)
    ground = Gfn2()(water()).energy[0]
    assert Gfn2()(triplet).energy[0] > ground + 3
    # The ionisation energy of water is 12.6 eV; GFN2 is within a few eV of it.
    assert 10 < Gfn2()(cation).energy[0] - ground < 20


def test_periodic_gfn2_stress_is_the_strain_derivative() -> None:
    def cell_energy(strain: np.ndarray) -> tuple[ConformerSet, Labels]:
        deform = np.eye(3) + strain
        atoms = molecule("H2O", cell=[4.0, 4.2, 4.4], pbc=True)
        atoms.set_cell(np.array(atoms.cell) @ deform, scale_atoms=True)
        conformers = ConformerSet(
            molecules=Molecules(key=np.array(["ice"])),
            molecule=np.array([0]),
            numbers=atoms.numbers,
            positions=atoms.positions,
            offsets=np.array([0, 3]),
            cell=np.array(atoms.cell)[None],
            pbc=np.ones((1, 3), dtype=bool),
        )
        return conformers, Gfn2()(conformers)

    conformers, labels = cell_energy(np.zeros((3, 3)))
    strain = np.zeros((3, 3))
    strain[0, 0] = 1e-3
    slope = (cell_energy(strain)[1].energy[0] - cell_energy(-strain)[1].energy[0]) / 2e-3
    assert labels.has_stress.all()
    assert labels.stress is not None
    volume = np.linalg.det(conformers.cell[0])
    assert labels.stress[0, 0, 0] == pytest.approx(slope / volume, rel=1e-2, abs=1e-4)


def test_bad_geometries_are_set_aside_and_the_rest_is_labelled() -> None:
    clash = WATER.positions.copy()
    clash[1] = clash[0] + [0.0, 0.0, 0.1]
    squeezed = WATER.positions * 0.45
    conformers = water(WATER.positions, clash, squeezed, WATER.positions + 0.01)
    labels, aside = label(conformers, Gfn2())
    np.testing.assert_array_equal(labels.has_energy, [True, False, False, True])
    np.testing.assert_array_equal(labels.has_forces, labels.has_energy)
    assert [a.record for a in aside] == [conformers.id[i].decode() for i in (1, 2)]
    assert aside[0].reason.startswith("atoms on top of each other: ")
    assert aside[1].reason.startswith("absurd forces: ")
    assert labels.energy[1] == 0
    assert (labels.forces[3:9] == 0).all()
    assert labels.forces[9:] == pytest.approx(labels.forces[:3], abs=1e-6)


def test_a_calculation_that_does_not_converge_is_no_error() -> None:
    labels = label_chunk(water(WATER.positions, WATER.positions + 1.0), Gfn2(max_iterations=2))
    assert not labels.has_energy.any()
    assert "not converged" in labels.faults[0]
    assert len(labels.faults) == 2


def test_isolated_atoms_are_in_their_ground_spin_state() -> None:
    energies = isolated_atom_energies([1, 6, 7, 8, 9], Gfn2())
    for z, energy in energies.items():
        atom = [
            Gfn2()(frames(np.zeros((1, 1, 3)), np.array([z]), multiplicity=m)).energy[0]
            for m in (1 + z % 2, 3 + z % 2)
        ]
        assert ground_state_multiplicity(z) in (1 + z % 2, 3 + z % 2)
        assert energy in atom
    # GFN2 energy of the hydrogen atom, −0.39348 E_h, is its parameter for the 1s level.
    assert energies[1] / units.Hartree == pytest.approx(-0.393483, abs=1e-5)
    labels, _ = label(water(), Gfn2())
    assert set(labels.reference_energies) == {1, 8}
    atomisation = sum(labels.reference_energies[z] for z in (8, 1, 1)) - labels.energy[0]
    assert 10 < atomisation < 15  # 10.1 eV measured; GFN2 overbinds
    assert isolated_atom_energies([1, 6], Mmff94()) == {}


@pytest.mark.parametrize("engine", [Mmff94(), Uff()])
def test_force_fields_want_the_molecule(engine: LabelEngine) -> None:
    with pytest.raises(DataError, match="no SMILES"):
        engine(frames(2 * WATER.positions[None], WATER.numbers))
    with pytest.raises(DataError, match="do not stand in the order"):
        engine(frames(WATER.positions[None, ::-1], WATER.numbers[::-1], "O"))
    ethanol = molecule("CH3CH2OH")
    heavy_first = np.argsort(ethanol.numbers == 1, kind="stable")
    if list(ethanol.numbers[heavy_first][:3]) != [6, 6, 8]:
        heavy_first[:3] = heavy_first[:3][np.argsort(ethanol.numbers[heavy_first[:3]])]
    right = ethanol[heavy_first]
    wrong = right.positions.copy()
    wrong[[3, 8]] = wrong[[8, 3]]  # hydrogens of two carbons or the oxygen exchanged
    with pytest.raises(DataError, match="do not stand in the order"):
        engine(frames(wrong[None], right.numbers, "CCO"))


def test_an_element_without_parameters_is_set_aside() -> None:
    borane = molecule("BCl3")
    labels = Mmff94()(frames(borane.positions[None], borane.numbers, "B(Cl)(Cl)Cl"))
    assert not labels.has_energy.any()
    assert labels.faults == {0: "no mmff94 parameters"}


class Constrained(EMT):
    """Fixes the atoms it is given, as some drivers do."""

    def calculate(self, atoms: Any = None, *args: Any, **kwargs: Any) -> None:
        super().calculate(atoms, *args, **kwargs)
        atoms.set_constraint(FixAtoms(range(len(atoms))))


class Failing(Calculator):
    """Fails on every second geometry."""

    implemented_properties = ("energy", "forces")

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if atoms.positions[0, 0] > 0.5:
            raise RuntimeError("the program\nstopped")
        self.results = {"energy": 1.0, "forces": np.zeros((len(atoms), 3))}


def copper(factory: Callable[[], Any]) -> tuple[Atoms, Labels]:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    conformers = ConformerSet(
        molecules=Molecules(key=np.array(["Cu"])),
        molecule=np.array([0]),
        numbers=atoms.numbers,
        positions=atoms.positions,
        offsets=np.array([0, 4]),
        cell=np.array(atoms.cell)[None],
        pbc=atoms.pbc[None],
    )
    atoms.calc = EMT()
    return atoms, label_chunk(conformers, AseEngine("emt", factory))


@pytest.mark.parametrize("factory", [EMT, Constrained])
def test_any_ase_calculator_gives_its_unconstrained_forces(factory: Callable[[], Any]) -> None:
    atoms, labels = copper(factory)
    assert labels.energy[0] == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(labels.forces, atoms.get_forces(), atol=1e-12)
    assert np.abs(labels.forces).max() > 0.1
    assert labels.stress is not None
    np.testing.assert_allclose(labels.stress[0], atoms.get_stress(voigt=False), atol=1e-12)


def test_a_failing_calculator_costs_one_geometry() -> None:
    conformers = water(WATER.positions, WATER.positions + 1.0)
    labels = label_chunk(conformers, AseEngine("failing", Failing))
    np.testing.assert_array_equal(labels.has_energy, [True, False])
    assert labels.faults == {1: "failing failed: RuntimeError: the program stopped"}


def test_joining_chunks_keeps_faults_in_place() -> None:
    engine = AseEngine("failing", Failing)
    parts = [label_chunk(water(WATER.positions), engine)] * 2
    parts.append(label_chunk(water(WATER.positions + 1.0), engine))
    joined = join_labels(parts, {})
    assert list(joined.faults) == [2]
    assert len(joined.forces) == 9


def test_gfn_runs_on_one_thread_and_gives_the_others_back() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    from breadth.sampling import engines

    engines._tblite()
    with threadpool_limits(2):
        before = [one["num_threads"] for one in threadpool_info()]
        for _ in range(2):  # the second time from what was found the first time
            with engines._one_thread():
                assert {one["num_threads"] for one in threadpool_info()} == {1}
            assert [one["num_threads"] for one in threadpool_info()] == before
    assert 2 in before
