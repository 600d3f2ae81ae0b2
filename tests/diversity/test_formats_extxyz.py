"""Extended XYZ: names, units, damage, and what ASE makes of it."""

import ase.io
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity import DataError
from breadth.diversity.formats import read, write
from breadth.diversity.formats.keyvalue import format_comment, parse_comment
from breadth.diversity.testing import FormatContract, assert_equal_sets

FRAME = """3
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 REF_energy=-2.5 tag={n}
O 0.0 0.0 0.0 0.0 0.0 0.1
H 0.0 0.0 0.96 0.0 0.0 -0.1
H 0.93 0.0 -0.24 0.0 0.0 0.0
"""


def file(tmp_path, *frames, name="frames.xyz"):
    path = tmp_path / name
    path.write_text("".join(frames))
    return path


def frames(n):
    return [FRAME.format(n=i) for i in range(n)]


class Files(FormatContract):
    format = "extxyz"
    suffix = ".xyz"


@pytest.mark.parametrize(
    "text",
    ["plain", "F", "1", "nan", "1 2", "1,2", "", " ", 'say "hi"', "back\\slash", "_JSON 1", "a=b",
     "C/C=C\\C", "[1]", "{x}", "'", "μ", "line\nbreak", "tab\t", "true", "[H]O[H]", "1_000"],
)  # fmt: skip
def test_texts_come_back_as_texts(text):
    line = format_comment({"first": 1, "text": text, "last": True})
    assert "\n" not in line
    assert parse_comment(line) == {"first": 1, "text": text, "last": True}


@given(st.text(), st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1))
def test_comments_come_back(text, real, integer):
    values = {"a": text, "b": real, "c": integer, "d": "end"}
    assert parse_comment(format_comment(values)) == values


@pytest.mark.parametrize(
    "array",
    [np.arange(3), np.arange(1), np.zeros((2, 2)), np.array([True, False]), np.array(["a", "1"])],
)
def test_arrays_come_back(array):
    back = parse_comment(format_comment({"x": array}))["x"]
    assert back.dtype.kind == array.dtype.kind
    np.testing.assert_array_equal(back, array)


def test_ase_reads_the_comment_as_we_do():
    from ase.io.extxyz import key_val_str_to_dict

    values = {"a": "plain", "b": 'q"uo\\te', "c": 1.5, "d": np.arange(3), "e": "7", "f": True}
    ours = key_val_str_to_dict(format_comment(values))
    for key, value in values.items():
        np.testing.assert_array_equal(ours[key], value)


def test_plain_and_ref_labels_are_two_levels(tmp_path):
    made = read(file(tmp_path, *frames(2)))
    assert set(made.levels) == {"unknown", "REF"}
    assert made.levels["unknown"].energy.tolist() == [-1.5, -1.5]
    assert made.levels["REF"].energy.tolist() == [-2.5, -2.5]
    assert not made.levels["REF"].has_forces.any()
    assert made.frame_extras["tag"].values.tolist() == [0, 1]
    assert made.record.tolist() == [0, 1]
    assert set(read(file(tmp_path, *frames(1)), level="pbe").levels) == {"pbe", "REF"}


def test_a_named_level_is_that_of_ref_where_there_is_no_other(tmp_path):
    text = FRAME.replace(" energy=-1.5", "").replace("forces", "REF_forces")
    assert set(read(file(tmp_path, text), level="pbe").levels) == {"pbe"}


def test_the_file_can_name_its_level(tmp_path):
    text = FRAME.replace("tag={n}", "level=pbe0")
    assert set(read(file(tmp_path, text)).levels) == {"pbe0", "REF"}


def test_written_files_are_what_ase_reads(tmp_path):
    example = Files().example()
    path = tmp_path / "set.xyz"
    write(example, path)
    back = ase.io.read(path, ":")
    assert len(back) == 5  # three conformers, two isolated atoms
    for i, atoms in enumerate(back[:3]):
        np.testing.assert_array_equal(atoms.positions, example.positions[example.atoms_slice(i)])
        assert atoms.get_potential_energy() == example.levels["gfn2"].energy[i]
        forces = example.levels["gfn2"].forces[example.atoms_slice(i)]
        np.testing.assert_array_equal(atoms.get_forces(), forces)
    assert back[3].info["config_type"] == "IsolatedAtom"
    assert back[3].get_potential_energy() == -10.7


def test_ase_files_are_what_we_read(tmp_path):
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms("OH2", [[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]], cell=10 * np.eye(3), pbc=True)
    atoms.info |= {"charge": -1, "note": "two words", "vector": np.arange(4.0)}
    atoms.arrays["weights"] = np.arange(3)
    stress = np.arange(6) / 10
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((3, 3)), stress=stress)
    ase.io.write(tmp_path / "a.xyz", [atoms])
    made = read(tmp_path / "a.xyz")
    labels = made.labels()
    assert made.charge.tolist() == [-1]
    assert made.frame_extras["note"].values[0] == "two words"
    assert made.frame_extras["vector"].values.tolist() == [[0.0, 1.0, 2.0, 3.0]]
    assert made.atom_extras["weights"].values.tolist() == [0, 1, 2]
    assert labels.energy[0] == -3.0
    np.testing.assert_allclose(labels.stress[0], made_full(stress))
    assert labels.forces.tolist() == np.ones((3, 3)).tolist()


def made_full(stress):
    from ase.stress import voigt_6_to_full_3x3_stress

    return voigt_6_to_full_3x3_stress(stress)


def test_foreign_values_survive_reading_and_writing(tmp_path):
    first = read(file(tmp_path, *frames(3)))
    write(first, tmp_path / "again.xyz")
    assert_equal_sets(first, read(tmp_path / "again.xyz"))


def test_an_unquoted_json_list_and_a_plain_xyz_are_read(tmp_path):
    text = FRAME.replace("tag={n}", 'd="_JSON [1.5, 2]"')
    assert read(file(tmp_path, text)).frame_extras["d"].values.tolist() == [[1.5, 2.0]]
    plain = "2\nhydrogen\nH 0 0 0\nH 0 0 0.74\n"
    made = read(file(tmp_path, plain))
    assert made.frame_extras["comment"].values.tolist() == ["hydrogen"]
    assert not made.levels


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("O 0.0 0.0 0.0 0.0 0.0 0.1\n", "", 11, "count|columns"),
        ("H 0.0 0.0 0.96", "H 0.0 0.96", 9, "atom 1 of 3 has 6 columns instead of 7"),
        ("H 0.0 0.0 0.96", "H 0.0 here 0.96", 9, "atom 1 has no number in 'pos'"),
        ("O 0.0", "Xx 0.0", 8, "unknown element 'Xx'"),
        ("energy=-1.5", "energy=low", 7, "energy='low' is not a number"),
        ("pos:R:3:", "pos:R:", 7, "Properties"),
        ("tag=1", 'tag="1', 7, "not closed"),
        ("3\nProp", "three\nProp", 6, "a count of atoms should stand here, not 'three'"),
        ("pos:R", "place:R", 7, "no positions"),
        ("tag=1", "charge=0.5", 7, "charge=0.5 is not an integer"),
    ],
)
def test_a_structural_fault_names_file_record_and_line(tmp_path, old, new, line, what):
    good = frames(4)
    bad = good[1].replace(old, new, 1)
    assert bad != good[1]
    path = file(tmp_path, good[0], bad, *good[2:])
    with pytest.raises(DataError, match=what) as raised:
        read(path)
    message = str(raised.value)
    assert str(path) in message
    assert "record 1" in message or "record 2" in message
    if "count" not in what:
        assert f"(line {line})" in message
    rest = read(path, skip_bad=True)
    assert set(rest.frame_extras["tag"].values.tolist()) >= {0, 3}
    assert rest.n_conformers + len(rest.metadata["set_aside"]) >= 3
    assert "structural fault" in rest.metadata["set_aside"][0]["reason"]


def test_a_truncated_file_says_so_and_the_rest_can_be_read(tmp_path):
    text = "".join(frames(3))
    path = file(tmp_path, text[:-40])
    with pytest.raises(DataError, match=r"record 2 \(line 1[45]\)"):
        read(path)
    assert read(path, skip_bad=True).n_conformers == 2


def test_bad_values_are_set_aside_and_counted(tmp_path):
    nan = FRAME.format(n=1).replace("energy=-1.5", "energy=nan")
    close = FRAME.format(n=2).replace("0.96", "0.01")
    made = read(file(tmp_path, FRAME.format(n=0), nan, close))
    assert made.n_conformers == 1
    reasons = [entry["reason"].split(":")[0] for entry in made.metadata["set_aside"]]
    assert reasons == ["a label is not finite", "atoms overlap"]
    assert "record 2 (line 11)" in made.metadata["set_aside"][1]["record"]


def test_two_thousand_frames_of_aspirin_size_are_read_soon(tmp_path):
    """A guard against quadratic reading, not a timing: 40,000 lines."""
    body = "".join(f"C {i}.0 0.5 0.25 0.1 0.2 0.3\n" for i in range(21))
    head = "21\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.0\n"
    assert read(file(tmp_path, (head + body) * 2000)).n_atoms == 42000
