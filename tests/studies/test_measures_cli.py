"""`breadth measure`, `compare` and `select` as a user meets them."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read

from breadth.diversity import read, write

SHARED = Path(__file__).parents[3] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets in ../shared/data")


@pytest.fixture(scope="module")
def pool(tmp_path_factory, run_breadth):
    """A small labelled pool, made by the command."""
    folder = tmp_path_factory.mktemp("pool")
    names = ["CCO", "CCN", "CC=O", "COC", "OCCO", "CC(C)O", "c1ccoc1", "CC(=O)N"]
    (folder / "mine.smi").write_text("".join(f"{s} m{i}\n" for i, s in enumerate(names)))
    arguments = (f"molecules={folder / 'mine.smi'}", "n_molecules=8", "n_conformers=12")
    run_breadth("pool", "--out", folder / "run", "--set", *arguments)
    return folder / "run" / "pool"


@shared
def test_measure_tells_the_contract_of_all_ten_molecules(run_breadth, tmp_path):
    files = sorted((SHARED / "rmd17").glob("*_train_01.npz"))
    found = json.loads(run_breadth("measure", *files, "--json", "--out", tmp_path / "m").stdout)
    assert (found["n_molecules"], found["n_conformers"]) == (10, 10_000)
    parts = found["partition"]
    assert {"level", "bandwidth"} <= parts.keys()
    for term in ("conformational", "intramolecular", "structural", "total"):
        low, high = parts[term]["interval"]
        assert low < parts[term]["value"] < high
    assert parts["identity_error"] < 1e-6
    assert found["environments"]["entropy"]["standard_error"] > 0  # sampled, and says so
    # The entropy of the environments is the partition's total: two samples of one number.
    error = found["environments"]["entropy"]["standard_error"]
    assert abs(found["environments"]["entropy"]["value"] - parts["total"]["value"]) < 8 * error
    assert found["structural"]["richness"]["scaffolds"]["q0"] == 6
    assert found["structural"]["richness"]["elements"]["q0"] == 4
    assert json.loads((tmp_path / "m" / "measures.json").read_text())["files"] == found["files"]
    for figure in (path for path in found["figures"] if not path.endswith(".csv")):
        assert Path(figure).stat().st_size > 5000


def test_measure_prints_one_screen_for_people(run_breadth, pool):
    text = run_breadth("measure", pool).stdout
    for word in ("8 molecules", "Tanimoto", "scaffolds", "RMSD", "entropy", "structural"):
        assert word in text
    assert len(text.splitlines()) < 75
    assert "nan" not in text.lower().split()


def test_a_level_is_chosen_or_missed(run_breadth, pool):
    for level in ("gfn2", "mmff94"):
        found = json.loads(run_breadth("measure", pool, "--level", level, "--json").stdout)
        assert found["conformational"]["level"] == level
    arguments = ("compare", pool, pool.parent / "pool2", "--level", "mmff94", "--repeats", "1")
    write(read(pool).select(np.arange(48)), pool.parent / "pool2")
    found = json.loads(run_breadth(*arguments, "--json").stdout)
    assert {one["conformational"]["level"] for one in found["sets"].values()} == {"mmff94"}
    missed = run_breadth("measure", pool, "--level", "nothing", check=False)
    assert missed.returncode == 1
    assert "no level of theory 'nothing'" in missed.stderr


def test_limits_of_the_partition(run_breadth, pool, tmp_path):
    whole = read(pool)
    write(whole.select(np.flatnonzero(whole.molecule == 0)), tmp_path / "one.xyz")
    write(whole.select(np.unique(whole.molecule, return_index=True)[1]), tmp_path / "lone.xyz")
    one = json.loads(run_breadth("measure", tmp_path / "one.xyz", "--json").stdout)
    assert one["partition"]["structural"]["value"] == 0
    lone = json.loads(run_breadth("measure", tmp_path / "lone.xyz", "--json").stdout)
    assert lone["partition"]["conformational"]["value"] == 0


def test_compare_cuts_sets_to_one_size(run_breadth, pool, tmp_path):
    whole = read(pool)
    rows = np.flatnonzero(whole.molecule < 5)
    write(whole.select(rows), tmp_path / "few.xyz")
    arguments = ("compare", pool, tmp_path / "few.xyz", "--repeats", "2", "--out", tmp_path / "c")
    found = json.loads(run_breadth(*arguments, "--json").stdout)
    assert found["rarefied_to"] == {"n_molecules": 5, "n_conformers": 12, "repeats": 2}
    assert found["shared"][0]["sets"] == ["pool", "few.xyz"]
    assert found["shared"][0]["conformers"] == len(rows)
    assert found["shared"][0]["molecules"] == 5
    assert found["environments"][0]["b_in_a"]["pooled"]["overlap"]["value"] == 1.0
    assert found["environments"][0]["a_in_b"]["pooled"]["overlap"]["value"] < 1.0
    assert (tmp_path / "c" / "plane.png").exists()
    text = run_breadth("compare", pool, tmp_path / "few.xyz", "--repeats", "1").stdout
    assert "5 molecules × 12 conformers" in text


def test_select_writes_exactly_what_was_asked_whatever_the_order(run_breadth, pool, tmp_path):
    whole = read(pool)
    order = np.random.default_rng(0).permutation(len(whole))
    write(whole.select(order), tmp_path / "shuffled.xyz")
    options = ("--by", "fps", "--level", "structures", "--budget", "20")
    run_breadth("select", pool, *options, "--out", tmp_path / "a.xyz")
    run_breadth("select", tmp_path / "shuffled.xyz", *options, "--out", tmp_path / "b.xyz")
    frames = ase_read(tmp_path / "a.xyz", ":")
    assert len(frames) == 20
    assert all("breadth_record" in f.info and "breadth_source" in f.info for f in frames)
    a, b = read(tmp_path / "a.xyz"), read(tmp_path / "b.xyz")
    assert a.id.tolist() == b.id.tolist()
    assert set(a.id.tolist()) <= set(whole.id.tolist())


def test_select_adds_to_what_is_given(run_breadth, pool, tmp_path):
    options = ("--by", "maxmin", "--level", "molecules", "--budget", "3", "--json")
    first = json.loads(run_breadth("select", pool, *options, "--out", tmp_path / "1.xyz").stdout)
    then = json.loads(
        run_breadth(
            "select", pool, *options, "--given", tmp_path / "1.xyz", "--out", tmp_path / "2.xyz"
        ).stdout
    )
    assert first["n_molecules"] == then["n_molecules"] == 3
    assert set(first["ids"]).isdisjoint(then["ids"])


def test_select_conformers_of_each_molecule(run_breadth, pool, tmp_path):
    options = ("--by", "kmedoids", "--level", "conformers", "--budget", "4")
    run_breadth("select", pool, *options, "--out", tmp_path / "c")
    assert np.bincount(read(tmp_path / "c").molecule).tolist() == [4] * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "fsp", "--level", "structures", "--budget", "5"), "no selector 'fsp'"),
        (("--by", "fps", "--level", "structures", "--budget", "500"), "500"),
        (
            ("--by", "fps", "--level", "structures", "--budget", "5", "--set", "bins=3"),
            "no option 'bins'",
        ),
        (
            ("--by", "fps", "--level", "structures", "--budget", "5", "--descriptor", "sop"),
            "no featurizer 'sop'",
        ),
        (
            ("--by", "energy_strata", "--level", "structures", "--budget", "5"),
            "level",
        ),
    ],
)
def test_wrong_selections_are_refused_in_one_paragraph(
    arguments, message, run_breadth, pool, tmp_path
):
    result = run_breadth("select", pool, *arguments, "--out", tmp_path / "x.xyz", check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "x.xyz").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("select", "a.xyz", "--by", "fps", "--level", "structures", "--budget", "0", "--out", "b"),
        ("compare", "a.xyz", "b.xyz", "--repeats", "0"),
        ("measure", "a.xyz", "--random-state", "-1"),
    ],
)
def test_counts_are_refused_as_a_fault_of_usage(run_breadth, arguments):
    result = run_breadth(*arguments, check=False)
    assert result.returncode == 2
    assert "it must be" in result.stdout + result.stderr


def test_wrong_measures_are_refused(run_breadth, pool, tmp_path):
    one, atoms = tmp_path / "one.xyz", tmp_path / "atoms.xyz"
    write(read(pool).select([0, 1]), one)
    atoms.write_text("1\nProperties=species:S:1:pos:R:3 energy=-13.6\nH 0.0 0.0 0.0\n")
    for arguments, message in (
        (("measure",), "at least one file"),
        (("measure", tmp_path / "none.xyz"), "none.xyz"),
        (("measure", pool, "--bandwidth", "-1"), "bandwidth"),
        (("compare", pool), "two"),
        (("compare", pool, pool), "named twice"),
        (("compare", pool, one, "--n-molecules", "99"), "99 molecules"),
        (("measure", one, "--bandwidth", "1e-200"), "too small"),
        (("measure", one, "--out", one), "one.xyz is a file"),
        (("measure", atoms), "no conformer in " + str(atoms)),
        (("compare", one, atoms), "no conformer in " + str(atoms)),
    ):
        result = run_breadth(*arguments, check=False)
        assert result.returncode == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_what_cannot_be_written_is_said_before_the_choice(run_breadth, pool, tmp_path):
    options = ("--by", "fps", "--level", "structures", "--budget", "5")
    for out, message in (("none/x.xyz", "There is no folder"), ("x.foo", "suffix '.foo'")):
        result = run_breadth("select", pool, *options, "--out", tmp_path / out, check=False)
        assert result.returncode == 1
        assert message in result.stderr


def test_records_left_out_are_told(run_breadth, pool, tmp_path):
    write(read(pool).select(np.arange(12)), tmp_path / "a.xyz")
    lines = (tmp_path / "a.xyz").read_text().splitlines()
    words = lines[2].split()
    lines[2] = " ".join([words[0], "nan", *words[2:]])
    (tmp_path / "bad.xyz").write_text("\n".join(lines) + "\n")
    chosen = ("--by", "fps", "--level", "structures", "--budget", "3", "--out", tmp_path / "s.xyz")
    for command in (
        ("measure", tmp_path / "bad.xyz"),
        ("compare", tmp_path / "a.xyz", tmp_path / "bad.xyz", "--out", tmp_path / "c"),
        ("map", tmp_path / "bad.xyz", "--method", "pca", "--out", tmp_path / "m"),
        ("select", tmp_path / "bad.xyz", *chosen),
    ):
        said = run_breadth(*command).stderr
        assert "bad.xyz: record 0 (line 1): a position is not finite" in said
    assert json.loads((tmp_path / "c" / "comparison.json").read_text())["sets"]


def test_a_dash_in_a_table_has_its_reason_below(run_breadth, tmp_path):
    path = tmp_path / "helium.xyz"
    path.write_text("".join(f"2\n\nHe 0 0 0\nHe 0 0 {8 + i / 10}\n" for i in range(3)))
    text = run_breadth("measure", path).stdout
    assert (
        "torsion entropy; torsions: 30° bins visited: no molecule whose torsions are known" in text
    )
    assert "– bond lengths: no molecule with bonds" in text
    assert "none: no molecule's structure is known" in text


def test_design_takes_a_selector_along_each_axis(run_breadth, pool, tmp_path):
    size = ("--n-molecules", "5", "--n-conformers", "4")
    plain = json.loads(run_breadth("design", pool, *size, "--out", tmp_path / "a", "--json").stdout)
    assert plain["n_labels_read"] == 0
    chosen = ("--molecules-by", "maxmin", "--conformers-by", "fps")
    run_breadth("design", pool, *size, *chosen, "--out", tmp_path / "b")
    a, b = read(tmp_path / "a" / "train.xyz"), read(tmp_path / "b" / "train.xyz")
    assert len(a) == len(b) == 20
    assert np.bincount(b.molecule).tolist() == [4] * 5
    assert set(a.id.tolist()) != set(b.id.tolist())

    by_energy = ("--conformers-by", "energy_strata", "--json")
    refused = run_breadth("design", pool, *size, *by_energy, "--out", tmp_path / "c", check=False)
    assert refused.returncode == 1
    assert "not free" in refused.stderr
    cheap = run_breadth(
        "design", pool, *size, *by_energy, "--prior-level", "mmff94", "--out", tmp_path / "d"
    )
    assert json.loads(cheap.stdout)["n_labels_read"] == 0
