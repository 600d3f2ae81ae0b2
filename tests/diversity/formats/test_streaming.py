"""Files that are converted a chunk at a time hold what reading them at once gives."""

import tracemalloc

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth.diversity import BreadthError, ConfigurationError, DataError
from breadth.diversity.formats import archives, ase_db, chunked, extxyz_lines, read, write
from breadth.diversity.formats.native import open_native
from breadth.diversity.formats.streaming import convert_to_native, streams
from breadth.diversity.testing import assert_equal_sets, conformer_sets

WATER = "O 0 0 0\nH 0 0 0.96\nH 0.93 0 -0.24\n"
MIRROR = "H 0 0 0.96\nO 0 0 0\nH 0.93 0 -0.24\n"
BROKEN = "O 0 0 0\nH 0 0 0.96\nH 4.93 0 -0.24\n"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Make chunks of two records."""
    monkeypatch.setattr(chunked, "CHUNK_CONFORMERS", 2)
    monkeypatch.setattr(ase_db, "_ROWS", 3)
    monkeypatch.setattr(archives, "ROWS", 3)
    monkeypatch.setattr(extxyz_lines, "STRETCH", 150)


def frame(keys, atoms=WATER, *, shift=0.0, end=""):
    rows = atoms.splitlines()
    first = rows[0].split()
    rows[0] = f"{first[0]} {float(first[1]) - shift} {first[2]} {first[3]}"
    rows = [f"{row}{end}" for row in rows]
    return f"{len(rows)}\n{keys}\n" + "".join(f"{row}\n" for row in rows)


def alike(path, out, *, rule=None, parts=None, **options):
    """Convert a file, compare it with what reading it gives, and return it."""
    convert_to_native(path, out, **options)
    whole, joined = read(path, **options), read(out)
    assert_equal_sets(joined, whole)
    assert joined.metadata.get("set_aside") == whole.metadata.get("set_aside")
    for level in whole.levels:
        ours, theirs = joined.levels[level], whole.levels[level]
        assert ours.reference_energies == theirs.reference_energies
    if rule is not None:
        assert joined.metadata["identity_rule"] == whole.metadata["identity_rule"] == rule
    if parts is not None:
        assert len(open_native(out)) == parts
    return joined


#: Keys and atoms of frames; the rule; each file changes its ways late.
FILES = {
    "one order": ([("energy=-1.0", WATER)] * 7, "ordered"),
    "another order late": ([("energy=-1.0", WATER)] * 5 + [("energy=-1.0", MIRROR)], "graph"),
    "names": ([(f"mol_id=m{i // 2}", WATER) for i in range(7)], "identifier"),
    "a name is missing late": ([("mol_id=m", WATER)] * 5 + [("", WATER)], "ordered"),
    "a name stands for two": (
        [("mol_id=m", WATER)] * 5 + [("mol_id=m", "H 0 0 0\nH 0 0 0.74\n")], "graph"
    ),
    "SMILES": ([("smiles=O", WATER), ('smiles="[H]O[H]"', MIRROR)] * 3, "identifier"),
    "names end, SMILES go on": ([("mol_id=a smiles=O", WATER)] * 4 + [("smiles=O", WATER)],
                                "identifier"),
    "SMILES come late": ([("", WATER)] * 5 + [("smiles=O", WATER)], "ordered"),
    "periodic late": (
        [("energy=-1.0", WATER)] * 5 + [('Lattice="9 0 0 0 9 0 0 0 9"', WATER)], "formula"
    ),
    "the steadiest comes late": (
        [("energy=-1.0", BROKEN)] * 3 + [("energy=-2.0", WATER)] * 2, "ordered"
    ),
    "a number becomes a word": ([("tag=7", WATER)] * 5 + [("tag=x", WATER)], None),
    "a number becomes three": ([("tag=7", WATER)] * 5 + [('tag="1 2 3"', WATER)], None),
    "an integer becomes a real": ([("tag=7", WATER)] * 5 + [("tag=7.5", WATER)], None),
    "a key comes late": ([("", WATER)] * 5 + [("tag=7", WATER)], None),
    "isolated atoms late": (
        [("energy=-1.0", WATER)] * 5 + [("energy=-0.5", "H 0 0 0\n"), ("energy=-9.5", "O 0 0 0\n")],
        "ordered",
    ),
    "one geometry with two energies": (
        [("energy=-1 same=1", WATER), *[("energy=-1", WATER)] * 5, ("energy=-2 same=1", WATER)],
        "ordered",
    ),
    "isolated atoms alone": (
        [("energy=-0.5", "H 0 0 0\n"), ("energy=-9.5", "O 0 0 0\n")] * 2, None
    ),
    "bad values late": (
        [("energy=-1.0", WATER)] * 5 + [("energy=nan", WATER)] * 3, "ordered"
    ),
    "bad values early": ([("energy=nan", WATER)] * 5 + [("energy=-1.0", WATER)] * 3, "ordered"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_extended_xyz_converts_to_what_reading_gives(tmp_path, name):
    told, rule = FILES[name]
    path = tmp_path / "a.xyz"
    path.write_text(
        "".join(frame(k, a, shift=0 if "same" in k else i / 1000) for i, (k, a) in enumerate(told))
    )
    assert streams(path)
    alike(path, tmp_path / "out", rule=rule)


def test_chunks_are_shards(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("".join(frame("energy=-1", shift=i / 1000) for i in range(7)))
    shares = []
    done = convert_to_native(path, tmp_path / "out", progress=shares.append)
    assert done == (7, 0)
    assert [shard["n_conformers"] for shard in open_native(tmp_path / "out").shards] == [2, 2, 2, 1]
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert shares[-1] == 1.0


@pytest.mark.parametrize("late", ["", "energy=-2.0"])
def test_a_level_is_named_as_where_all_is_read(tmp_path, late):
    path = tmp_path / "a.xyz"
    keys = ["REF_energy=-1.0"] * 5 + [f"REF_energy=-1.0 {late}"]
    path.write_text("".join(frame(k, shift=i / 1000) for i, k in enumerate(keys)))
    made = alike(path, tmp_path / "out", level="pbe")
    assert set(made.levels) == ({"pbe", "REF"} if late else {"pbe"})


def test_columns_of_words_and_numbers_are_joined_as_words(tmp_path):
    path = tmp_path / "a.xyz"
    head = "Properties=species:S:1:pos:R:3:note:{}:1"
    kinds = ["I"] * 5 + ["S"]
    path.write_text(
        "".join(frame(head.format(k), shift=i / 1000, end=" 7") for i, k in enumerate(kinds))
    )
    assert alike(path, tmp_path / "out").atom_extras["note"].values.tolist() == ["7"] * 18


@pytest.mark.parametrize("rule", ["ordered", "graph", "formula", "identifier"])
def test_a_rule_can_be_named(tmp_path, rule):
    path = tmp_path / "a.xyz"
    keys = "inchi=x " if rule == "identifier" else ""
    path.write_text("".join(frame(keys + "energy=-1", shift=i / 1000) for i in range(5)))
    alike(path, tmp_path / "out", identity=rule, rule=rule)


@pytest.mark.parametrize(
    ("rule", "last", "what"),
    [("ordered", ("mol_id=m", MIRROR), "atom order"), ("identifier", ("", WATER), "by identifier")],
)
def test_a_rule_that_fails_late_leaves_nothing(tmp_path, rule, last, what):
    path = tmp_path / "a.xyz"
    told = [("mol_id=m", WATER)] * 5 + [last]
    path.write_text("".join(frame(k, a, shift=i / 1000) for i, (k, a) in enumerate(told)))
    with pytest.raises(DataError, match=what):
        convert_to_native(path, tmp_path / "out", identity=rule)
    assert [p.name for p in tmp_path.iterdir()] == ["a.xyz"]
    with pytest.raises(ConfigurationError, match="no identity rule"):
        convert_to_native(path, tmp_path / "out", identity="no")


def test_a_fault_late_leaves_nothing_and_can_be_skipped(tmp_path):
    path = tmp_path / "a.xyz"
    good = [frame("energy=-1", shift=i / 1000) for i in range(6)]
    path.write_text("".join([*good[:5], good[5].replace("O ", "Xx "), good[0], good[1][:-20]]))
    with pytest.raises(DataError, match=r"record 5 \(line 28\): unknown element"):
        convert_to_native(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    made = alike(path, tmp_path / "out", skip_bad=True)
    assert len(made) == 6
    assert len(made.metadata["set_aside"]) == 2
    with pytest.raises(BreadthError, match="exists already"):
        convert_to_native(path, tmp_path / "out")


def test_no_usable_record_and_contrary_atoms_are_errors(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(frame("energy=nan") * 5)
    with pytest.raises(DataError, match=r"no record that can be used.*not finite"):
        convert_to_native(path, tmp_path / "out")
    atoms = [frame(f"energy={e}", "H 0 0 0\n") for e in (-0.5, -0.5, -0.5, -0.7)]
    path.write_text("".join(atoms))
    with pytest.raises(DataError, match="two energies"):
        convert_to_native(path, tmp_path / "out")


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(conformer_sets(max_conformers=6), st.sampled_from([".xyz", ".db"]))
def test_sets_that_were_written_convert_to_themselves(tmp_path_factory, made, suffix):
    folder = tmp_path_factory.mktemp("set")
    write(made, folder / f"a{suffix}")
    convert_to_native(folder / f"a{suffix}", folder / "out")
    assert_equal_sets(read(folder / "out"), read(folder / f"a{suffix}"))


def test_a_database_converts_to_what_reading_gives(tmp_path):
    path = tmp_path / "a.db"
    random = np.random.default_rng(0)
    with ase.db.connect(path) as database:
        for i in range(11):
            atoms = Atoms("OH2", random.normal(size=(3, 3)) * 0.05 + np.eye(3))
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0 - i, forces=np.eye(3) * i)
            data = {"weights": np.ones(4 if i == 9 else 3), "dipoles": np.ones(3) * i}
            database.write(atoms, split=i % 3, data=data)
        del database[4]
    assert streams(path)
    shares = []
    made = alike(path, tmp_path / "out", parts=5)
    assert made.record.tolist() == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert set(made.atom_extras) == {"dipoles"}
    convert_to_native(path, tmp_path / "again", progress=shares.append)
    assert shares[-1] == 1.0
    # The ninth row's weights are not of atoms, and not as long as others: it began again, twice.
    assert shares.count(0.25) == 3
    assert not streams(_as_json(tmp_path, read(path)))


def _as_json(folder, made):
    write(made, folder / "a.json")
    return folder / "a.json"


def archive(path, **changes):
    random = np.random.default_rng(0)
    arrays = {
        "nuclear_charges": np.array([8, 1, 1, 1]),
        "coords": random.normal(size=(7, 4, 3)) + np.arange(12).reshape(4, 3),
        "energies": random.normal(size=7),
        "forces": random.normal(size=(7, 4, 3)),
        "old_indices": np.arange(7.0),
        "theory": np.array("pbe"),
        **changes,
    }
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


@pytest.mark.parametrize(
    "changes",
    [{}, {"energies": None, "forces": None}, {"energies": np.zeros((7, 1))},
     {"coords": np.arange(84, dtype=np.float32).reshape(7, 4, 3)}, {"kind": np.array(["a"] * 7)}],
)  # fmt: skip
def test_an_archive_converts_to_what_reading_gives(tmp_path, changes):
    path = archive(tmp_path / "a.npz", **changes)
    assert streams(path)
    made = alike(path, tmp_path / "out", parts=4, rule="ordered")
    assert made.record.tolist() == list(range(7))


@pytest.mark.parametrize(
    "changes",
    [{"energies": np.zeros(6)}, {"coords": None}, {"coords": np.zeros((7, 3, 3))},
     {"coords": np.asfortranarray(np.ones((7, 4, 3)))}],
)  # fmt: skip
def test_an_archive_that_does_not_fit_is_left_to_the_reader_of_whole_files(tmp_path, changes):
    assert not streams(archive(tmp_path / "a.npz", **changes))


def test_a_damaged_archive_is_an_error_that_leaves_nothing(tmp_path):
    path = archive(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    place = content.index(b"coords.npy") + 250
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(DataError, match="truncated, damaged"):
        convert_to_native(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_CONFORMERS", 40)
    monkeypatch.setattr(extxyz_lines, "STRETCH", 10_000)
    chain = "".join(f"C {1.5 * k} 0.0 0.25\n" for k in range(40))
    peaks = []
    for times in (1, 1, 4):  # what the first conversion imports does not count
        path = tmp_path / "a.xyz"
        path.write_text(
            "".join(frame("energy=-1", chain, shift=i / 999) for i in range(120)) * times
        )
        tracemalloc.start()
        convert_to_native(path, tmp_path / f"out{len(peaks)}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]
