"""Sets as lists of `Atoms`, and any lists of `Atoms` as sets."""

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth.diversity import ConformerSet, DataError, Extra, Labels, read, write
from breadth.diversity.ase_atoms import from_ase, to_ase
from breadth.diversity.testing import FormatContract, assert_equal_sets, conformer_sets

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
BARE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Example(FormatContract):
    format = "extxyz"
    suffix = ".xyz"


@pytest.fixture
def example():
    made = Example().example()
    second = Labels(energy=np.arange(3.0), forces=np.ones((9, 3)), reference_energies={1: 0.5})
    return made.with_level("mmff94", second)


@BARE
@given(data=st.data())
def test_the_way_there_and_back_is_exact(data):
    drawn = data.draw(conformer_sets())
    assert_equal_sets(drawn, from_ase(to_ase(drawn)))
    for level in drawn.levels:
        assert_equal_sets(drawn, ConformerSet.from_ase(drawn.to_ase(level)))


@BARE
@given(data=st.data())
def test_some_frames_in_another_order_are_exact(data):
    drawn = data.draw(conformer_sets())
    frames = to_ase(drawn)
    order = data.draw(st.permutations(range(len(drawn))))[: max(1, len(drawn) - 1)]
    back = from_ase([frames[i] for i in order] + frames[len(drawn) :])
    picked = drawn.select(order)
    assert_equal_sets(replace(picked, metadata=back.metadata), back)
    assert back.metadata["identity_rule"] == "identifier"


def test_a_user_of_ase_finds_what_calculators_and_people_look_for(example):
    frames = to_ase(example)
    first = frames[1]
    assert [len(a) for a in frames] == [3, 3, 3, 1, 1]
    assert first.get_chemical_symbols() == ["O", "H", "H"]
    assert first.get_potential_energy() == example.labels("gfn2").energy[1]
    np.testing.assert_array_equal(first.get_forces(), example.labels("gfn2").forces[3:6])
    told = {"charge": 0, "multiplicity": 1, "spin": 1, "smiles": "O", "level": "gfn2"}
    assert told.items() <= first.info.items()
    assert first.info["breadth_molecule"] == "water"
    assert first.info["mmff94_energy"] == 1.0
    np.testing.assert_array_equal(first.arrays["mmff94_forces"], np.ones((3, 3)))
    assert [a.info["config_type"] for a in frames[3:]] == ["IsolatedAtom"] * 2
    assert [a.get_potential_energy() for a in frames[3:]] == [-10.7, -102.5]
    assert frames[3].info["mmff94_energy"] == 0.5
    assert to_ase(example, "mmff94")[2].get_potential_energy() == 2.0
    first.rattle()  # neither read-only nor shared
    first.info["charge"] = 1
    assert frames[0].info["charge"] == 0
    with pytest.raises(DataError, match="'none'"):
        to_ase(example, "none")


def test_stress_is_that_of_ase_whether_symmetric_or_not():
    stress = np.arange(9.0).reshape(1, 3, 3)
    labels = Labels(energy=[0.0], forces=np.zeros((3, 3)), stress=stress)
    cell = {"cell": 9 * np.eye(3)[None], "pbc": np.ones((1, 3), bool)}
    made = replace(Example().example().select([0]), levels={"pbe": labels}, **cell)
    (atoms,) = to_ase(made)
    np.testing.assert_array_equal(atoms.get_stress(), [0, 4, 8, 6, 4, 2])
    assert_equal_sets(made, from_ase([atoms]))
    atoms.calc = SinglePointCalculator(atoms, stress=np.arange(6.0))
    fresh = from_ase([atoms]).labels().stress[0]
    np.testing.assert_array_equal(fresh, [[0, 5, 4], [5, 1, 3], [4, 3, 2]])


def test_what_was_changed_in_ase_is_taken_as_it_is(example):
    single = replace(
        example,
        positions=example.positions.astype(np.float32),
        frame_extras={"k": Extra(np.arange(3), np.ones(3, bool))},
    )
    frames = to_ase(single)[:3]
    for atoms in frames:
        atoms.calc = None
        atoms.positions += 1e-9
        atoms.info["k"] += 0.5
    back = from_ase(frames)
    assert back.positions.dtype == np.float64
    np.testing.assert_array_equal(back.positions[:3], frames[0].positions)
    assert back.frame_extras["k"].values.tolist() == [0.5, 1.5, 2.5]


def test_a_file_of_ours_that_ase_read_is_exact(tmp_path, example):
    texts = Extra(np.array(["one word", "", "%"] * 3), np.ones(3, bool))
    full = replace(example, atom_extras={"names": texts})
    write(full, tmp_path / "a.xyz")
    assert_equal_sets(full, from_ase(ase.io.read(tmp_path / "a.xyz", ":")))


def test_a_file_that_ase_wrote_of_ours_is_exact(tmp_path, example):
    bonds = {"bonds": [[0, 1, 2], [0, 2, 2]], "bond_offsets": [0, 2], "has_bonds": [True]}
    full = replace(example, molecules=replace(example.molecules, **bonds))
    ase.io.write(tmp_path / "a.xyz", to_ase(full), format="extxyz")
    again = from_ase(ase.io.read(tmp_path / "a.xyz", ":"))
    # ASE writes eight decimals.
    np.testing.assert_allclose(again.positions, full.positions, atol=1e-8)
    np.testing.assert_array_equal(again.molecules.bonds, full.molecules.bonds)
    assert again.levels.keys() == full.levels.keys()
    np.testing.assert_allclose(again.labels("gfn2").energy, full.labels("gfn2").energy)
    assert dict(again.labels("gfn2").reference_energies) == {1: -10.7, 8: -102.5}


# -- atoms of others -----------------------------------------------------------------------------


def test_molecules_of_ase_are_told_apart_and_have_their_state():
    made = from_ase([molecule("CH3CH2OH"), molecule("O2"), molecule("CH3"), molecule("CH3CH2OH")])
    assert made.metadata["identity_rule"] == "graph"
    assert made.molecule.tolist() == [0, 1, 2, 0]
    assert made.multiplicity.tolist() == [1, 3, 2, 1]
    assert made.record.tolist() == [0, 1, 2, 3]
    assert not made.levels
    assert_equal_sets(made, from_ase(to_ase(made)))
    assert len(from_ase(molecule("H2O"))) == 1


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({}, (0, 1)),
        ({"charge": 1.0, "spin": 2}, (1, 2)),
        ({"charge": 1, "spin": 1}, (1, 1)),  # 2S, not 2S + 1: kept as an extra
        ({"total_charge": -1, "spin_multiplicity": 2}, (-1, 2)),
        ({"charge": None, "multiplicity": 3}, (0, 3)),
    ],
)
def test_charge_and_multiplicity_are_found(info, state):
    atoms = molecule("H2O")
    atoms.info.update(info)
    made = from_ase([atoms])
    assert (made.charge[0], made.multiplicity[0]) == state
    assert ("spin" in made.frame_extras) == (info.get("spin") == 1)


def test_initial_charges_tell_the_charge():
    made = from_ase(Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], charges=[-1.2, 0.2]))
    assert made.charge.tolist() == [-1]
    assert made.atom_extras["initial_charges"].values.tolist() == [-1.2, 0.2]


def test_constraints_do_not_touch_forces():
    atoms = molecule("H2O")
    forces = np.arange(9.0).reshape(3, 3)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces, dipole=[0, 0, 1.0])
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    made = from_ase([atoms])
    np.testing.assert_array_equal(made.labels("unknown").forces, forces)
    np.testing.assert_array_equal(made.frame_extras["dipole"].values, [[0, 0, 1]])
    assert set(from_ase([atoms], level="pbe").levels) == {"pbe"}


def test_live_calculators_are_read_and_never_started(example):
    copper = bulk("Cu", cubic=True)
    copper.calc = EMT()
    assert not from_ase([copper]).levels
    energy = copper.get_potential_energy()
    labels = from_ase([copper]).labels("unknown")
    assert labels.energy.tolist() == [energy]
    # Results that were calculated anew do not belong to the level that the atoms came with.
    frames = to_ase(example)[:3]
    frames[0].calc = calculator = EMT()
    frames[0].get_forces()
    made = from_ase(frames)
    assert made.labels("unknown").has_energy.tolist() == [True, False, False]
    assert made.labels("gfn2").has_energy.tolist() == [False, True, True]
    frames[1].calc = calculator
    with pytest.raises(DataError, match=r"frame 1.*results of other atoms.*positions"):
        from_ase(frames)


def test_results_of_another_geometry_are_refused(example):
    moved = to_ase(example)[0]
    moved.rattle()
    with pytest.raises(PropertyNotImplementedError):
        moved.get_potential_energy()
    with pytest.raises(DataError, match=r"frame 0.*positions differ"):
        from_ase([moved])


def test_reference_keys_are_a_level_and_two_energies_a_fault():
    frames = [molecule("H2O"), molecule("H2O"), Atoms("H")]
    for i, atoms in enumerate(frames):
        atoms.rattle(seed=i)
        atoms.info["REF_energy"] = -1.0 - i
        atoms.arrays["REF_forces"] = np.full((len(atoms), 3), 0.5)
    made = from_ase(frames)
    assert made.labels("REF").energy.tolist() == [-1.0, -2.0]
    assert dict(made.labels("REF").reference_energies) == {1: -3.0}
    assert (made.labels("REF").forces == 0.5).all()
    assert set(from_ase(frames, level="pbe").levels) == {"pbe"}
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=7.0)
    both = from_ase(frames, level="mace")
    assert both.labels("mace").energy.tolist() == [7.0, 7.0]
    assert both.labels("REF").energy.tolist() == [-1.0, -2.0]
    frames[1].info["energy"] = 6.0
    with pytest.raises(DataError, match=r"frame 1.*two values of energy.*REF_energy"):
        from_ase(frames)


def test_ours_beside_others_lend_them_no_level(example):
    other = molecule("H2O")
    other.calc = SinglePointCalculator(other, energy=-1.0)
    made = from_ase([*to_ase(example), other])
    assert made.labels("gfn2").has_energy.tolist() == [True, True, True, False]
    assert made.labels("unknown").has_energy.tolist() == [False, False, False, True]
    two = from_ase([*to_ase(example), *to_ase(example.without_level("gfn2"))])
    assert two.labels("mmff94").energy.tolist() == [0, 1, 2] * 2
    assert two.labels("gfn2").has_energy.tolist() == [True] * 3 + [False] * 3


def test_a_name_of_a_level_that_is_there_is_refused(example):
    with pytest.raises(DataError, match="another level of this name"):
        from_ase(to_ase(example), level="mmff94")


def test_extras_of_any_kind_are_kept():
    atoms = molecule("H2O")
    atoms.info.update(note="two words", table={"a": 1}, pos=3, none=None)
    atoms.info[7] = 1.5
    atoms.set_tags([1, 2, 3])
    atoms.arrays["Z"] = np.array([8.5, 1.5, 1.5])
    made = from_ase([atoms])
    assert {k: v.values.tolist() for k, v in made.frame_extras.items()} == {
        "note": ["two words"],
        "table": ["{'a': 1}"],
        "pos": [3],
        "7": [1.5],
    }
    assert made.atom_extras["tags"].values.tolist() == [1, 2, 3]
    assert made.atom_extras["Z"].values.tolist() == [8.5, 1.5, 1.5]
    assert_equal_sets(made, from_ase(to_ase(made)))


@pytest.mark.parametrize(
    ("atoms", "what"),
    [
        (Atoms(), "no atoms"),
        (Atoms("XH", [[0, 0, 0], [0, 0, 1]]), "unknown element"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1]], info={"charge": 0.5}), "charge=0.5"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1]], info={"energy": "low"}), "energy='low'"),
    ],
)
def test_a_frame_that_cannot_be_used_is_named(atoms, what):
    with pytest.raises(DataError, match=f"frame 1 .*{what}"):
        from_ase([molecule("H2O"), atoms])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data of ../shared/data are absent")
@pytest.mark.parametrize(
    "name", ["acac/test_dihedral.xyz", "ethanol/train.xyz", "umlip_bias/choline_periodic/ft5.xyz"]
)
def test_ase_reads_what_we_read(name):
    ours = read(SHARED / name).select(np.arange(20))
    by_ase = from_ase(ase.io.read(SHARED / name, ":")).select(np.arange(20))
    np.testing.assert_array_equal(ours.positions, by_ase.positions)
    assert ours.levels.keys() == by_ase.levels.keys()
    for level, labels in ours.levels.items():
        np.testing.assert_array_equal(labels.energy, by_ase.labels(level).energy)
        np.testing.assert_array_equal(labels.forces, by_ase.labels(level).forces)
        assert labels.reference_energies == by_ase.labels(level).reference_energies
    assert ours.constitution.tolist() == by_ase.constitution.tolist()
