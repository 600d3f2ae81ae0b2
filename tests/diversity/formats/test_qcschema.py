"""QCSchema: units, drivers, levels, molecules without a result, and what is wrong with a file."""

import json

import numpy as np
import pytest

from breadth.diversity import ConfigurationError, DataError
from breadth.diversity.formats import read, write

HARTREE, BOHR = 27.211386, 0.52917721

WATER = {
    "schema_name": "qcschema_molecule",
    "schema_version": 2,
    "symbols": ["O", "H", "H"],
    "geometry": [0.0, 0.0, -0.1294769, 0.0, -1.4941873, 1.0274465, 0.0, 1.4941873, 1.0274465],
    "molecular_charge": 0.0,
    "molecular_multiplicity": 1,
}
GRADIENT = [[0.0, 0.0, -0.05], [0.0, -0.04, 0.025], [0.0, 0.04, 0.025]]


def result(**changes):
    entry = {
        "schema_name": "qcschema_output",
        "schema_version": 1,
        "molecule": WATER,
        "driver": "gradient",
        "model": {"method": "B3LYP-D3BJ", "basis": "def2-SVP"},
        "keywords": {},
        "return_result": GRADIENT,
        "properties": {"return_energy": -76.0, "scf_total_energy": -76.0},
        "success": True,
        "provenance": {"creator": "Psi4"},
    }
    return {k: v for k, v in {**entry, **changes}.items() if v is not None}


def written(folder, content, name="result.json"):
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_a_gradient_is_read_in_electronvolts(tmp_path):
    made = read(written(tmp_path, result()))
    assert made.metadata["format"] == "qcschema"
    assert list(made.levels) == ["b3lyp-d3bj/def2-svp"]
    labels = made.labels()
    np.testing.assert_allclose(labels.energy, [-76 * HARTREE], rtol=1e-7)
    np.testing.assert_allclose(labels.forces, -np.array(GRADIENT) * HARTREE / BOHR, rtol=1e-7)
    assert labels.forces[0, 2] > 0  # a gradient is the negative of the force
    np.testing.assert_allclose(made.positions[1], [0, -1.4941873 * BOHR, 1.0274465 * BOHR], 1e-7)
    assert made.numbers.tolist() == [8, 1, 1]
    assert set(read(written(tmp_path, result()), level="mine").levels) == {"mine"}


def test_an_energy_has_no_forces_and_a_molecule_no_labels(tmp_path):
    energy = result(driver="energy", return_result=-76.0, properties={}, model={"method": "HF"})
    labels = read(written(tmp_path, energy)).labels("hf")
    np.testing.assert_allclose(labels.energy, [-76 * HARTREE], rtol=1e-7)
    assert not labels.has_forces.any()
    assert not read(written(tmp_path, WATER)).levels
    assert set(read(written(tmp_path, result(model=None))).levels) == {"unknown"}


def test_a_list_and_a_trajectory_are_records_in_order(tmp_path):
    second = result(properties={"return_energy": -75.5})
    steps = {
        "schema_name": "qcschema_optimization_output",
        "trajectory": [result(), second],
        "final_molecule": WATER,
        "success": True,
    }
    for content in ([result(), second], steps):
        made = read(written(tmp_path, content))
        np.testing.assert_allclose(made.labels().energy, [-76 * HARTREE, -75.5 * HARTREE], 1e-7)
        assert made.record.tolist() == [0, 1]


def test_the_second_version_of_the_schema_is_read(tmp_path):
    asked = {"driver": "gradient", "model": {"method": "pbe", "basis": {"name": "def2-TZVP"}}}
    content = result(
        schema_name="qcschema_atomic_result",
        schema_version=2,
        driver=None,
        model=None,
        input_data={"specification": asked},
    )
    labels = read(written(tmp_path, content)).labels("pbe/def2-tzvp")
    assert labels.has_forces.all()


def test_state_bonds_and_names_are_kept(tmp_path):
    ion = {
        **WATER,
        "symbols": ["O", "H"],
        "geometry": [[0, 0, 0], [0, 0, 1.8]],
        "molecular_charge": -1,
        "connectivity": [[1, 0, 1.0]],
        "identifiers": {"smiles": "[OH-]"},
        "name": "HO",
    }
    made = read(written(tmp_path, ion))
    assert (made.charge[0], made.multiplicity[0]) == (-1, 1)
    assert made.molecules.bond_table(0).tolist() == [[0, 1, 2]]
    assert made.molecules.smiles.tolist() == ["[OH-]"]
    assert made.frame_extras["name"].values.tolist() == ["HO"]


def test_an_atom_alone_is_a_reference_energy(tmp_path):
    atom = {**WATER, "symbols": ["H"], "geometry": [0, 0, 0], "molecular_multiplicity": 2}
    alone = result(molecule=atom, driver="energy", return_result=-0.5, properties={})
    made = read(written(tmp_path, [result(), alone]))
    assert len(made) == 1
    assert made.labels().reference_energies[1] == pytest.approx(-0.5 * HARTREE)


def test_a_failed_calculation_is_set_aside_with_its_message(tmp_path):
    failed = {"success": False, "error": {"error_message": "SCF did not converge\nmore"}}
    made = read(written(tmp_path, [result(), failed]))
    assert len(made) == 1
    (told,) = made.metadata["set_aside"]
    assert told["record"].endswith("record 1")
    assert told["reason"] == "the calculation failed: SCF did not converge"


@pytest.mark.parametrize(
    ("molecule", "more", "what"),
    [
        ({"symbols": ["O", "Q", "H"]}, {}, "unknown element 'Q'"),
        ({"geometry": [0.0, 1.0]}, {}, "geometry is not 3 × 3 numbers"),
        ({"real": [True, False, True]}, {}, "ghost atoms"),
        ({"molecular_charge": 0.5}, {}, "molecular_charge 0.5 is not an integer"),
        ({"connectivity": [[0, 7, 1]]}, {}, "connectivity names atoms"),
        ({}, {"return_result": [1.0, 2.0]}, "gradient is not 3 × 3 numbers"),
        ({}, {"properties": {"return_energy": "low"}}, "the energy is not one numbers"),
    ],
)
def test_a_fault_names_the_record_or_is_skipped(tmp_path, molecule, more, what):
    bad = result(molecule={**WATER, **molecule}, **more)
    path = written(tmp_path, [result(), bad])
    with pytest.raises(DataError, match=rf"result\.json: record 1: .*{what}"):
        read(path)
    made = read(path, skip_bad=True)
    assert len(made) == 1
    assert what in made.metadata["set_aside"][0]["reason"]


def test_other_json_and_writing_are_refused(tmp_path):
    with pytest.raises(DataError, match="no molecule of QCSchema"):
        read(written(tmp_path, {"a": 1}), format="qcschema")
    path = written(tmp_path, result())
    with pytest.raises(ConfigurationError, match="'qcschema' is only read"):
        write(read(path), tmp_path / "a.json", format="qcschema")


def test_damage_is_an_answer_or_a_clear_error(survives_damage):
    survives_damage(json.dumps([result(), WATER], indent=1), "qcschema", range(500))
