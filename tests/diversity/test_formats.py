"""Recognition, archives of NumPy, databases of ASE, and what is wrong with a file."""

import json
from dataclasses import replace

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.units import kcal, mol

from breadth.diversity import BreadthError, ConfigurationError, DataError
from breadth.diversity.formats import FORMATS, read, write
from breadth.diversity.testing import FormatContract, assert_equal_sets


class Any(FormatContract):
    format = "extxyz"
    suffix = ".xyz"


def test_a_missing_empty_or_unknown_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        read(tmp_path / "none.xyz")
    (tmp_path / "empty.xyz").touch()
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path / "empty.xyz")
    (tmp_path / "words.txt").write_text("words and no numbers\n")
    with pytest.raises(DataError, match="no format that is known"):
        read(tmp_path / "words.txt")
    with pytest.raises(ConfigurationError, match="choose one of native"):
        read(tmp_path / "words.txt", format="cif")
    with pytest.raises(ConfigurationError, match=r"suffix '\.cif'"):
        write(Any().example(), tmp_path / "a.cif")
    with pytest.raises(BreadthError, match="nowhere"):
        write(Any().example(), tmp_path / "nowhere/a.xyz")


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_of_another_format_is_an_error(tmp_path, name):
    path = tmp_path / "words.txt"
    path.write_text("words and no numbers\n")
    with pytest.raises(DataError, match=r"words\.txt"):
        read(path, format=name)


def test_an_unknown_identity_rule_lists_the_rules(tmp_path):
    write(Any().example(), tmp_path / "a.xyz")
    with pytest.raises(ConfigurationError, match="ordered"):
        read(tmp_path / "a.xyz", identity="gues")


# -- rMD17 and MD17 -----------------------------------------------------------------------------


def rmd17(**changes):
    random = np.random.default_rng(0)
    coords = np.array([[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]]) + random.normal(
        scale=0.01, size=(4, 3, 3)
    )
    arrays = {
        "nuclear_charges": np.array([8, 1, 1], np.uint8),
        "coords": coords,
        "energies": random.normal(size=4) - 47000,
        "forces": random.normal(size=(4, 3, 3)),
        "old_indices": np.arange(4),
        "old_energies": random.normal(size=4),
        "old_forces": random.normal(size=(4, 3, 3)),
    }
    return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


def test_rmd17_is_read_in_electronvolts_and_its_old_labels_are_extras(tmp_path):
    arrays = rmd17()
    np.savez(tmp_path / "a.npz", **arrays)
    made = read(tmp_path / "a.npz")
    labels = made.labels("pbe-def2svp")
    assert (labels.energy == arrays["energies"] * (kcal / mol)).all()
    assert (labels.forces == arrays["forces"].reshape(-1, 3) * (kcal / mol)).all()
    assert set(made.frame_extras) == {"old_indices", "old_energies"}
    assert (made.atom_extras["old_forces"].values == arrays["old_forces"].reshape(-1, 3)).all()
    assert set(read(tmp_path / "a.npz", level="mine").levels) == {"mine"}


def test_md17_is_read(tmp_path):
    a = rmd17()
    np.savez(
        tmp_path / "a.npz",
        z=a["nuclear_charges"],
        R=a["coords"],
        E=a["energies"][:, None],
        F=a["forces"],
        theory="CCSD",
        name="water",
        e_unit=b"kcal/mol",
    )
    made = read(tmp_path / "a.npz")
    assert (made.labels("ccsd").energy == a["energies"] * (kcal / mol)).all()


def test_rmd17_written_here_is_rmd17(tmp_path):
    example = Any().example()
    write(example, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["coords"].shape == (3, 3, 3)
        in_ev = archive["energies"] * (kcal / mol)
    np.testing.assert_allclose(in_ev, example.labels().energy, rtol=1e-15)
    renamed = read(tmp_path / "a.npz", level="xtb")
    assert set(renamed.levels) == {"xtb"}


def test_rmd17_holds_one_molecule(tmp_path):
    a = Any().example()
    other = replace(a, numbers=np.array([8, 1, 1, 1, 8, 1, 8, 1, 1]))
    with pytest.raises(DataError, match="one molecule"):
        write(other, tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"coords": np.zeros((4, 2, 3))}, "does not fit 'nuclear_charges'"),
        ({"coords": None}, "'coords'"),
        ({"energies": np.zeros(3)}, "3 energies for 4 frames: record 3"),
        ({"forces": np.zeros((4, 3, 2))}, "'forces'"),
        ({"nuclear_charges": np.array([8, 1, 200])}, "unknown element"),
        ({"coords": np.array([None, 1], dtype=object)}, "pickled"),
        ({"e_unit": "Hartree"}, "hartree"),
        ({"r_unit": "bohr"}, "units"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(tmp_path, changes, what):
    np.savez(tmp_path / "a.npz", **rmd17(**changes))
    with pytest.raises(DataError, match=what):
        read(tmp_path / "a.npz", format="rmd17")


def test_bad_rows_are_set_aside(tmp_path):
    arrays = rmd17()
    arrays["coords"][1] = 0.0
    arrays["forces"][2, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", **arrays)
    made = read(tmp_path / "a.npz")
    assert made.record.tolist() == [0, 3]
    assert [a["record"].rsplit(": ")[-1] for a in made.metadata["set_aside"]] == [
        "record 1",
        "record 2",
    ]


def test_an_archive_of_other_arrays_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", cats=np.zeros(3))
    with pytest.raises(DataError, match="cats"):
        read(tmp_path / "a.npz")


# -- ASE databases ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".db", ".json"])
def test_a_database_of_ase_is_read_exactly(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    random = np.random.default_rng(0)
    kept = []
    with ase.db.connect(path) as database:
        for i in range(3):
            atoms = Atoms("OH2", [[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]])
            atoms.positions += random.normal(scale=0.01, size=(3, 3))
            forces = random.normal(size=(3, 3))
            atoms.set_constraint(FixAtoms([0]))  # a constraint must not zero stored forces
            atoms.calc = SinglePointCalculator(atoms, energy=-3.0 - i, forces=forces)
            data = {"per_atom": random.normal(size=3), "vector": random.normal(size=4)}
            database.write(
                atoms, key_value_pairs={"mol_id": f"m{i % 2}", "gap": 0.5 + i}, data=data
            )
            kept.append((atoms.positions.copy(), forces, data))
        atom = Atoms("H")
        atom.calc = SinglePointCalculator(atom, energy=-13.6)
        database.write(atom)
    made = read(path, level="pbe")
    labels = made.labels("pbe")
    assert labels.energy.tolist() == [-3.0, -4.0, -5.0]
    assert dict(labels.reference_energies) == {1: -13.6}
    for i, (positions, forces, data) in enumerate(kept):
        np.testing.assert_array_equal(made.positions[made.atoms_slice(i)], positions)
        np.testing.assert_array_equal(labels.forces[made.atoms_slice(i)], forces)
        np.testing.assert_array_equal(
            made.atom_extras["per_atom"].values[made.atoms_slice(i)], data["per_atom"]
        )
        np.testing.assert_array_equal(made.frame_extras["vector"].values[i], data["vector"])
    assert made.metadata["identity_rule"] == "identifier"
    assert made.molecule.tolist() == [0, 1, 0]
    assert made.frame_extras["gap"].values.tolist() == [0.5, 1.5, 2.5]
    assert made.record.tolist() == [1, 2, 3]
    write(made, tmp_path / f"again{suffix}")
    assert_equal_sets(made, read(tmp_path / f"again{suffix}"))


def test_what_is_written_is_a_database_of_ase(tmp_path):
    example = Any().example()
    write(example, tmp_path / "a.db")
    rows = list(ase.db.connect(tmp_path / "a.db").select())
    assert [row.get("energy") for row in rows[:3]] == example.labels().energy.tolist()
    np.testing.assert_array_equal(rows[1].forces, example.labels().forces[3:6])


def test_a_json_file_of_something_else_is_an_error(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"cats": 3}))
    with pytest.raises(DataError, match=r"a\.json"):
        read(path)
