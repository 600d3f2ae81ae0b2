"""The command line as a user meets it: results, JSON, refusals without tracebacks."""

import json
import re
import resource
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from breadth.diversity import read, write
from breadth.studies.cli.console import table

SHARED = Path(__file__).parents[3] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets in ../shared/data")


@pytest.fixture(scope="module")
def pool(tmp_path_factory, run_breadth):
    """A small labelled pool, made by the command."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "mine.smi").write_text("CCO ethanol\nCCN ethylamine\nCC=O acetaldehyde\nCOC ether\n")
    arguments = ("molecules=" + str(folder / "mine.smi"), "n_molecules=4", "n_conformers=12")
    out = folder / "run"
    result = run_breadth("pool", "--out", out, "--json", "--set", *arguments)
    return out, json.loads(result.stdout), arguments


def test_help_is_quick_and_names_every_command(run_breadth):
    start = time.monotonic()
    text = run_breadth("--help").stdout
    assert time.monotonic() - start < 1.5  # 0.2 s by itself; the suite shares the cores
    for command in (
        "pool",
        "convert",
        "describe",
        "measure",
        "compare",
        "select",
        "map",
        "design",
        "train",
        "evaluate",
        "study",
        "figures",
    ):
        assert command in text
        assert "Example" in run_breadth(command, "--help").stdout or command == "study"
    assert "Example" in run_breadth("study", "tradeoff", "--help").stdout


def test_tables_show_smiles_that_look_like_markup(capsys):
    table(["molecule", "[nH]"], [["c1cc[nH]c1", "[bold]x"]])
    shown = capsys.readouterr().out
    assert shown.split()[:2] == ["molecule", "[nH]"]
    assert "c1cc[nH]c1" in shown
    assert "[bold]x" in shown


def test_pool_is_labelled_and_not_made_twice(pool, run_breadth):
    out, made, arguments = pool
    assert (made["n_molecules"], made["n_conformers"]) == (4, 48)
    conformers = read(out / "pool")
    assert set(conformers.levels) == {"gfn2", "mmff94"}
    assert conformers.labels("gfn2").reference_energies.keys() == {1, 6, 7, 8}
    before = sorted(p.stat().st_mtime_ns for p in out.rglob("*.safetensors"))
    run_breadth("pool", "--out", out, "--json", "--set", *arguments)
    assert before == sorted(p.stat().st_mtime_ns for p in out.rglob("*.safetensors"))


def test_convert_there_and_back(pool, tmp_path, run_breadth):
    out, _, _ = pool
    for name in ("all.xyz", "all.db"):
        run_breadth("convert", out / "pool", tmp_path / name)
        result = run_breadth("convert", tmp_path / name, tmp_path / f"back-{name[4:]}")
        again, first = read(tmp_path / name), read(out / "pool")
        assert again.id.tolist() == first.id.tolist()
        np.testing.assert_array_equal(again.labels("gfn2").forces, first.labels("gfn2").forces)
        assert "48 conformers" in result.stdout
    result = run_breadth("convert", out / "pool", tmp_path / "all.xyz", check=False)
    assert result.returncode == 1
    assert "exists already" in result.stderr


def test_design_is_exact_and_disjoint(pool, tmp_path, run_breadth):
    out, _, _ = pool
    result = run_breadth(
        *("design", out / "pool", "--budget", "7", "--n-molecules", "3"),
        *("--n-validation", "1", "--out", tmp_path / "design", "--json"),
    )
    parts = json.loads(result.stdout)["parts"]
    assert (parts["train"]["n_conformers"], parts["validation"]["n_conformers"]) == (6, 1)
    train = read(tmp_path / "design" / "train.xyz")
    assert (len(train), train.n_molecules) == (6, 3)
    ids = json.loads((tmp_path / "design" / "design.json").read_text())["ids"]
    assert set(ids["train"]) == set(train.id.astype("U32").tolist())
    held = run_breadth(
        *("design", out / "pool", "--n-conformers", "2", "--n-molecules", "2", "--dry-run"),
        *("--unseen-molecules", "1", "--test-conformers", "10", "--out", tmp_path / "no", "--json"),
    )
    assert json.loads(held.stdout)["parts"]["unseen_molecules"]["n_molecules"] == 1
    assert not (tmp_path / "no").exists()


def test_a_design_adds_to_what_is_given(pool, tmp_path, run_breadth):
    out, _, _ = pool
    breadth = partial(run_breadth, cwd=tmp_path)
    breadth("design", out / "pool", "--budget", "6", "--n-molecules", "3", "--out", "first")
    asked = ("--given", "first/train.xyz", "--budget", "5", "--n-molecules", "2", "--json")
    held = ("--unseen-molecules", "1", "--test-conformers", "3")
    more = breadth(
        *("design", out / "pool", *asked, *held, "--grow", "conformers", "--out", "second"),
        *("--n-validation", "1", "--export", "export", "--export-level", "gfn2"),
    )
    told = json.loads(more.stdout)["given"]
    assert told["before"] == {"n_molecules": 3, "n_conformers": 6}
    assert told["after"] == {"n_molecules": 3, "n_conformers": 10}
    assert (told["new_molecules"], told["more_conformers"]) == (0, 4)
    first, second = (read(tmp_path / name / "train.xyz") for name in ("first", "second"))
    assert not np.isin(second.id, first.id).any()
    assert np.isin(second.molecules.key, first.molecules.key).all()
    unseen = read(tmp_path / "second" / "unseen_molecules.xyz")
    assert not np.isin(unseen.molecules.key, first.molecules.key).any()
    # What other packages train on is both.
    exported = read(tmp_path / "export" / "train.xyz")
    assert sorted(exported.id) == sorted([*first.id, *second.id])
    one = ("--budget", "5", "--n-molecules", "1", "--grow", "molecules", "--dry-run", "--json")
    fresh = breadth("design", out / "pool", "--given", "first/train.xyz", *one, "--out", "x")
    assert json.loads(fresh.stdout)["given"]["new_molecules"] == 1
    alone = ("design", out / "pool", "--grow", "both", "--budget", "5", "--n-molecules", "2")
    assert "--given" in run_breadth(*alone, "--out", tmp_path / "x", check=False).stderr


def test_a_design_that_the_pool_cannot_fill(pool, tmp_path, run_breadth):
    out, _, _ = pool
    result = run_breadth(
        *("design", out / "pool", "--budget", "100", "--n-molecules", "4"),
        *("--out", tmp_path / "design"),
        check=False,
    )
    assert result.returncode == 1
    assert "short" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "design").exists()


def test_describe_draws_the_audit(pool, tmp_path, run_breadth):
    out, _, _ = pool
    told = json.loads(
        run_breadth("describe", out / "pool", "--figures", tmp_path / "audit", "--json").stdout
    )
    assert {Path(path).name for path in told["figures"]} >= {"labels.png", "nearest_frames.pdf"}
    assert all(Path(path).stat().st_size > 2000 for path in told["figures"])
    assert told["torsional_regions"]["n_torsions"] == 0  # of ethanol and its like
    refused = run_breadth("describe", out / "pool", "--no-audit", "--figures", "x", check=False)
    assert "--no-audit" in refused.stderr


def test_train_evaluate_and_go_on_after_an_end(pool, tmp_path, run_breadth):
    out, _, _ = pool
    model = tmp_path / "model"
    options = ("--level", "gfn2", "--json", "--threads", "1", "--set", "training.n_updates=30")
    learned = json.loads(
        run_breadth(
            *("train", out / "pool", "--out", model),
            *options,
            "n_validation=5",
            "potential.n_features=16",
        ).stdout
    )
    assert (learned["n_train"], learned["n_validation"], learned["updates"]) == (43, 5, 30)
    result = run_breadth("evaluate", model, out / "pool", "--json")
    errors = json.loads(result.stdout)
    assert errors["level"] == "gfn2"
    assert 0 < errors["force_mae"] < errors["zero_force_mae"]
    assert errors["conformational_energy_mae"] > 0
    assert "force MAE" in run_breadth("evaluate", model, out / "pool").stdout


@shared
def test_describe_says_what_the_sources_state(run_breadth):
    aspirin = SHARED / "rmd17" / "rmd17_aspirin_train_01.npz"
    content = json.loads(run_breadth("describe", aspirin, "--json").stdout)
    assert content["n_conformers"] == 1000
    assert content["n_molecules"] == 1
    assert content["n_atoms"] == 21000
    assert content["identity_rule"]
    assert content["elements"] == ["H", "C", "O"]
    assert content["energy_range"][0] < content["energy_range"][1] < -17000  # eV
    assert 1 < content["force_range"][1] < 20  # eV/Å
    choline = SHARED / "umlip_bias" / "choline_naive" / "50.xyz"
    acac = SHARED / "acac" / "train_600K.xyz"
    several = json.loads(run_breadth("describe", choline, acac, "--json").stdout)
    both = several["files"]
    assert [pair["conformers"] for pair in several["leakage"]] == [0]
    assert (both[0]["n_conformers"], both[0]["n_reference_atoms"]) == (50, 7)
    assert (both[1]["n_conformers"], both[1]["n_molecules"]) == (500, 1)


def test_describe_ends_with_a_verdict(tmp_path, run_breadth):
    frame = "3\nenergy={} {}Properties=species:S:1:pos:R:3{}\n"
    water = ("O 0 0 0", "H 0.96 0 0", "H -0.24 0.93 0")
    bare = frame.format(-2080.0, "", "") + "\n".join(water) + "\n"
    pushed = frame.format(-2080.0, "multiplicity=2 ", ":forces:R:3")
    pushed += "\n".join(f"{atom} 0.1 0 0" for atom in water) + "\n"
    (tmp_path / "a.xyz").write_text(bare + bare)
    (tmp_path / "b.xyz").write_text(pushed)
    told = json.loads(run_breadth("describe", "a.xyz", "--json", cwd=tmp_path).stdout)
    audit = {entry["check"]: entry for entry in told["audit"]}
    assert (audit["missing_labels"]["count"], audit["missing_labels"]["passed"]) == (2, False)
    assert audit["exact_duplicates"]["worst"][0]["record"].endswith("a.xyz#1")
    assert audit["energy_forces"]["passed"] is None
    shown = run_breadth("describe", "a.xyz", "b.xyz", cwd=tmp_path).stdout
    for words in ("missing labels", "2 of 2", "(then #1)", "100 meV/Å", "multiplicity 2", "share"):
        assert words in shown
    quick = json.loads(run_breadth("describe", "a.xyz", "b.xyz", "--json", "--no-audit",
                                   cwd=tmp_path).stdout)  # fmt: skip
    assert "audit" not in quick["files"][0]
    assert "leakage" not in quick
    twice = run_breadth("describe", "a.xyz", "a.xyz", cwd=tmp_path, check=False)
    assert "named twice" in twice.stderr


def _limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


REFUSED = {
    "no such file": (("describe", "absent.xyz"), "absent.xyz"),
    "garbage": (("describe", "garbage.xyz"), "garbage.xyz"),
    "truncated": (("describe", "truncated.xyz"), "truncated.xyz"),
    "wrong format": (("describe", "text.npz"), "text.npz"),
    "no labels": (("train", "bare.xyz", "--out", "m"), "label"),
    "unknown element": (("describe", "element.xyz"), "Xx"),
    "misspelt key": (
        ("train", "good.xyz", "--out", "m", "--set", "trainig.n_updates=3"),
        "training",
    ),
    "unparseable SMILES": (
        ("pool", "--out", "p", "--set", "molecules=bad.smi", "n_molecules=1"),
        "bad.smi",
    ),
    "no molecules file": (("pool", "--out", "q", "--set", "molecules=none.smi"), "none.smi"),
    "unknown engine": (
        ("pool", "--out", "r", "--set", "engine=dft", "n_molecules=1", "n_conformers=1"),
        "dft",
    ),
    "no potential": (("evaluate", "nowhere", "good.xyz"), "nowhere"),
    "not a study": (("figures", "empty"), "not the folder of a finished study"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_bad_input_is_one_paragraph_without_traceback(case, tmp_path, run_breadth):
    frame = "2\nenergy=-1.0 Properties=species:S:1:pos:R:3:forces:R:3\n"
    good = frame + "H 0 0 0 0 0 0.1\nH 0 0 0.74 0 0 -0.1\n"
    (tmp_path / "good.xyz").write_text(good * 3)
    (tmp_path / "garbage.xyz").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "truncated.xyz").write_text(good + good[:-20])
    (tmp_path / "text.npz").write_text("not an archive\n")
    (tmp_path / "bare.xyz").write_text("2\nbare\nH 0 0 0\nH 0 0 0.74\n")
    (tmp_path / "element.xyz").write_text(good.replace("H 0 0 0 ", "Xx 0 0 0 "))
    (tmp_path / "bad.smi").write_text("CCO ethanol\nC1CC broken\n")
    (tmp_path / "empty").mkdir()
    arguments, named = REFUSED[case]
    result = run_breadth(*arguments, cwd=tmp_path, check=False)
    assert result.returncode == 1, result.stdout
    assert named in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.strip().count("\n") == 0, "one paragraph"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--budget", "1.5"), "'1.5' is no whole number"),
        (("--budget", "0"), "0: it must be 1 or more"),
        (("--random-state", "-1"), "-1: it must be 0 or more"),
    ],
)
def test_counts_are_whole_numbers(pool, option, why, tmp_path, run_breadth):
    result = run_breadth(
        *("design", pool[0] / "pool", "--n-molecules", 2, "--out", tmp_path / "x", *option),
        check=False,
    )
    assert result.returncode == 2  # a fault of usage
    assert why in result.stdout + result.stderr


def test_commands_tell_which_records_they_go_without(pool, tmp_path, run_breadth):
    frames, level = tmp_path / "some.xyz", ("--level", "gfn2")
    write(read(pool[0] / "pool"), frames)
    frames.write_text(re.sub(r" energy=\S+", " energy=nan", frames.read_text(), count=1))
    result = run_breadth(
        *("train", frames, *level, "--out", tmp_path / "model"),
        *("--set", "potential.n_features=8", "training.n_updates=2", "n_validation=0"),
    )
    assert "left out" in result.stderr
    assert "left out" in run_breadth("evaluate", tmp_path / "model", frames, *level).stderr


def test_debug_shows_the_traceback(tmp_path, new_process):
    result = new_process("--debug", "describe", "absent.xyz", cwd=tmp_path)
    assert "Traceback" in result.stderr


def test_a_full_disk_harms_nothing(pool, tmp_path, new_process):
    out, _, _ = pool
    target = tmp_path / "all.xyz"
    result = new_process("convert", out / "pool", target, preexec_fn=_limit_file_size)
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [], "nothing half is left"
    write(read(out / "pool"), target)
    assert len(read(target)) == 48
