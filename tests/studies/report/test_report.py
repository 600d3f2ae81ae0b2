"""The page holds what the run's files hold, names what is damaged, and lets nobody's text act."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.analysis.finetuning import finetuning_errors
from breadth.analysis.refinement import refinement_errors
from breadth.diversity import BreadthError, ConfigurationError, DataError
from breadth.studies.catalogue import study_named
from breadth.studies.cli.report import report as command_line
from breadth.studies.configuration import load
from breadth.studies.plan import finish, open_plan
from breadth.studies.report import opening, write_report
from breadth.studies.report.asked import command
from breadth.studies.report.blocks import Change, Table, bounds, number, signed
from breadth.studies.report.opening import open_run
from breadth.studies.report.page import drawn
from breadth.studies.report.references import _NAMES, _STUDIES, cited, entries_by_key
from breadth.studies.results import save
from breadth.studies.sweep import SweepPlan
from breadth.studies.sweep.points import sweep_points
from breadth.studies.tradeoff import TradeoffConfiguration

from ...analysis.finetuning.conftest import synthetic_finetuning
from ...analysis.refinement.conftest import synthetic_refinement
from .conftest import HOSTILE, UPDATES
from .tables import Tables


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    """The page of the finished study."""
    path = write_report(made, tmp_path_factory.mktemp("page") / "report.html")
    assert path.stat().st_size < 5e6
    return Tables(path.read_text())


def test_errors_are_those_of_the_results(page, results):
    rows = page.tables["Force MAE, meV/Å"]  # of the experiment that comes last
    fixed = np.flatnonzero(results["experiment"].values == "fixed_molecules")
    assert rows[0][1:] == [str(name).replace("_", " ") for name in results["test_set"].values]
    mean = 1e3 * results["force_mae"].mean("replicate").values[fixed]
    interval = 1e3 * results["force_mae_interval"].values[fixed]
    flags = results["undertrained"].values[fixed]
    assert len(rows) == 1 + len(fixed)
    for row, means, ends, marks in zip(rows[1:], mean, interval, flags, strict=True):
        for text, value, (low, high), mark in zip(row[1:], means, ends, marks, strict=True):
            said = f"{value:,.0f}{'*' if mark else ''} {low:,.0f}–{high:,.0f}"
            assert " ".join(text.split()) == said


def test_comparisons_have_the_sign_and_interval_of_the_results(page, results):
    rows = page.tables["Differences, paired by replicate and molecule"]
    ends = [row for row in rows[1:] if "ends" in row[2]]
    names = [str(name).replace("_", " ") for name in results["test_set"].values]
    assert [row[0] for row in ends] == names
    fixed = np.flatnonzero(results["experiment"].values == "fixed_molecules")
    first, last = fixed[np.argsort(results["n_conformers"].values[fixed])][[0, -1]]
    for row in ends:
        place = names.index(row[0])
        value = 1e3 * float(results["force_mae_difference"].values[last, first, place])
        low, high = 1e3 * results["force_mae_difference_interval"].values[last, first, place]
        said = f"{value:+.0f} {low:+.0f} to {high:+.0f}".replace("-", "−").replace("+0", "0")
        assert " ".join(row[3].split()).replace("+0", "0").replace("−0 ", "0 ") == said


def test_nothing_from_outside_acts(page, made, tmp_path):
    text = write_report(made, tmp_path / "report.html").read_text()
    assert "script" not in page.tags
    assert not {"i", "iframe", "object", "form"} & set(page.tags)
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3, "pool, reasons, audit"
    assert page.text.count(HOSTILE) >= 3
    assert made.name in page.text
    assert not re.search(r"\son\w+=", re.sub(r">[^<]*<", "><", text)), "no handlers"


def test_the_page_asks_for_nothing(page):
    outside = [a for a in page.addresses if not a.startswith(("#", "data:"))]
    assert outside == []
    assert all(image["alt"] for image in page.images)
    assert len(page.images) == 2
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in steps)


def test_it_tells_how_the_run_was_made(page):
    versions = dict(page.tables["Versions"][1:])
    assert {"python", "breadth", "numpy", "torch"} <= set(versions)
    made_in = page.tables["Time of units, each in one worker, its last beginning counted"]
    assert made_in[-1] == ["all", "4 min 30 s", "3"]
    text = " ".join(page.text.split())
    assert f"Updates of weights in all {sum(UPDATES)}" in text
    assert "A processor" in text
    assert "Worker processes 2" in text
    assert "Energy of the machine not measured" in text
    assert "breadth study tradeoff --preset smoke" in text
    aside = page.tables["Set aside while the data were made: 2 records, never trained or tested on"]
    assert aside[1:] == [["bond broken", "1"], [HOSTILE, "1"]]


def test_pictures_name_their_numbers_where_there_are_any(run):
    (run / "figures" / "of_my_own.csv").write_text("panel,series\n")
    told = [image["alt"] for image in Tables(write_report(run).read_text()).images]
    assert ["of_my_own.csv" in alt for alt in told] == [False, True]


def test_a_run_that_told_nothing_of_itself_is_not_made_to(run):
    (run / "record.json").unlink()
    for path in run.glob("units/*/record.json"):
        path.unlink()
    told = Tables(write_report(run).read_text())
    assert "Versions, machine and dates: not recorded" in told.text
    made_in = told.tables["Time of units, each in one worker, its last beginning counted"]
    assert [row[1] for row in made_in[1:]] == ["not recorded"] * 2


def test_an_unfinished_run_tells_how_far_it_is(run, monkeypatch):
    planned = {"fits": 30, "designs": ["a"], "minutes": 1.5}
    study = replace(study_named("tradeoff"), estimate=lambda asked, workers: planned)
    monkeypatch.setattr(opening, "study_in", lambda root: study)
    (run / "finished.json").unlink()
    (run / "results.nc").unlink()
    told = Tables(write_report(run).read_text())
    assert "This study is not finished" in told.text
    assert told.tables["Finished units; none of them is done again"][1:] == [
        ["fit", "2"],
        ["labels", "1"],
    ]
    assert "Fits 30" in " ".join(told.text.split()), "what the whole takes"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("finished.json", b""),
        ("record.json", b"{}"),
        ("results.nc", b"[]"),
        ("pool/manifest.json", b"[]"),
        ("advice.json", b'{"budget": 3}'),
        ("figures/error_against_molecules.png", b"\xff\x00[["),
        ("units/fit-*/record.json", b"{}"),
        ("units/fit-*/unit.json", b"[]"),
        ("units/labels-*/aside.json", b"[3]"),
        ("units/labels-*/cost.json", b'{"gfn2": "x"}'),
    ],
)
def test_a_damaged_file_is_named(run, name, content):
    path = next(iter(run.glob(name)), run / name)
    path.write_bytes(content)
    with pytest.raises(BreadthError, match="pool" if "pool" in name else path.name):
        write_report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(("folder", "option"), [("", ""), ("double", " --column double")])
def test_a_damaged_figure_is_told_with_the_command_that_draws_it(run, folder, option):
    path = run / "figures" / folder / "of_my_own.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"?")
    with pytest.raises(DataError, match=re.escape(f"breadth figures {run}{option}.")):
        write_report(run)


def test_missing_results_and_strange_folders_are_told(run, tmp_path):
    (run / "results.nc").unlink()
    with pytest.raises(DataError, match=r"results\.nc is missing"):
        write_report(run)
    with pytest.raises(ConfigurationError, match="not the folder of a study"):
        write_report(tmp_path)
    (run / "plan.json").write_text("[]")
    with pytest.raises(BreadthError, match=r"plan\.json"):
        write_report(run)


def test_advice_beside_the_run_stands_in_it(run):
    error = {"test_set": "unseen_molecules", "force_mae": 0.1, "interval": [0.08, None]}
    advice = {
        "n_molecules": 300, "n_conformers": 4, "n_molecules_interval": [200, 500],
        "n_conformers_interval": [2, 6], "budget": 1200.0, "unit": "labels",
        "weights": {"unseen_molecules": 0.5}, "force_mae": 0.1,
        "errors": [{**error, "form": "additive", "left_out_error": None}],
        "alternatives": [
            {"n_molecules": 20, "n_conformers": 60, "force_mae": 0.2, "loss": 0.1,
             "interval": [0.05, 0.2]},
        ],
        "supported": False, "reason": f"Too few cells {HOSTILE}.",
    }  # fmt: skip
    (run / "advice.json").write_text(json.dumps(advice))
    told = Tables(write_report(run).read_text())
    assert "For 1,200 labels: 300 molecules × 4 conformations" in told.text
    assert f"not supported. Too few cells {HOSTILE}." in told.text
    (row,) = told.tables["Other ways to spend the same, and what each is expected to lose"][1:]
    assert row[0] == "20 × 60"
    assert " ".join(row[2].split()) == "+100 +50 to +200"


@pytest.mark.parametrize(
    ("preset", "overrides", "short"),
    [
        ("smoke", (), True),
        ("demo", ("seed=3", "pool.elements=[H, C]", "training.n_updates=7"), True),
        ("demo", ("fixed_budget=null",), True),
        ("paper", tuple(f"training.{k}=1" for k in ("n_updates", "batch_size", "clip")), True),
        ("smoke", ("seed=9", "replicates=4", "n_monitor=3", "threads=2", "hold_outs.n_own=7",
                   "pool.n_molecules=77", "training.n_updates=9"), False),
    ],
)  # fmt: skip
def test_the_command_asks_for_the_same_study(run, preset, overrides, short):
    study = study_named("tradeoff")
    asked = study.load(preset=preset, overrides=overrides)
    plan = {"study": "tradeoff", "configuration": asked.model_dump(mode="json")}
    (run / "plan.json").write_text(json.dumps(plan))
    line = command(open_run(run))
    assert shlex.split(line)[-2:] == ["--out", f"runs/{run.name}"], "a name is no part of the shell"
    words = line.split(" --")
    told = {word.partition(" ")[0]: word.partition(" ")[2] for word in words[1:]}
    assert ("preset" in told) is short
    if short:
        again = study.load(preset=told["preset"], overrides=shlex.split(told.get("set", "")))
        assert again == asked


def test_a_sweep_is_reported_point_by_point(made, results, tmp_path):
    root = tmp_path / "sweep"
    root.mkdir()
    plan = SweepPlan(study="tradeoff", preset="smoke", over={"seed": [0, 1], "n_monitor": [3, 4]})
    open_plan(root, "sweep", plan)
    points = sweep_points(plan)
    for point in points[:3]:
        folder = root / "points" / point.name
        shutil.copytree(made, folder)
        for name in ("plan", "finished", "record"):
            (folder / f"{name}.json").unlink()
        shutil.move(folder, tmp_path / "aside")
        folder.mkdir()
        open_plan(folder, "tradeoff", point.asked)
        shutil.copytree(tmp_path / "aside", folder, dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "aside")
    for point in points[:2]:
        finish(root / "points" / point.name, workers=1, fits=3)
    told = Tables(write_report(root).read_text())
    rows = told.tables["Points of the sweep"]
    assert [row[:3] for row in rows[1:]] == [
        [p.name, str(p.values["seed"]), str(p.values["n_monitor"])] for p in points
    ]
    assert [row[3] for row in rows[1:]] == ["finished", "finished", "waiting", "waiting"]
    assert "4 configurations that differ in seed, n_monitor; 2 are finished." in told.text
    caption = "Force MAE on unseen molecules, meV/Å, by molecules × conformations"
    found = told.tables[caption]
    assert [row[0] for row in found[1:]] == [point.name for point in points[:2]]
    of = results.sel(test_set="unseen_molecules")
    first = 1e3 * float(of["force_mae"].mean("replicate")[0])
    assert found[1][1].strip().split("*")[0].split()[0] == f"{first:,.0f}"


def _finished(root, study, results):
    root.mkdir()
    open_plan(root, study, study_named(study).load(preset="smoke"))
    save(results, root / "results.nc")
    finish(root, workers=1, fits=3)
    return Tables(write_report(root).read_text())


METHODS = ("none", "joint", "test_time", "radius")


def test_refinement_tells_errors_and_gains_of_every_group(tmp_path):
    results = refinement_errors(synthetic_refinement(methods=METHODS), n_resamples=10)
    n = results.sizes["system"]
    told = {"system_level": "gfn2", "system_prior": "mmff94", "smiles": "C", "formula": "CH4"}
    results = results.assign_coords({k: ("system", np.full(n, v)) for k, v in told.items()})
    results["n_structures"] = ("system", np.full(n, 12))
    results.attrs["warnings"] = json.dumps([f"A warning {HOSTILE}"])
    told = _finished(tmp_path / "refined", "refinement", results)
    rows = told.tables["Force MAE and gains over no refinement, meV/Å"]
    groups = results["group"].values.astype(str)
    column = rows[0].index("won: test time")
    energies_alone = 0
    for row, group in zip(rows[1:], groups, strict=True):
        of = results.sel({"group": group, "method": "test_time"})
        value = float(of["group_gain"].mean())
        if np.isnan(value):  # a group of scans has no forces
            value = float(of["group_conformational_energy_gain"].mean())
            energies_alone += 1
        assert row[column].split()[0] == signed(1e3 * value)
    assert 0 < energies_alone < len(groups)
    assert f"A warning {HOSTILE}" in told.text


def test_finetuning_tells_errors_of_every_way(tmp_path):
    results = finetuning_errors(
        synthetic_finetuning(arms=("naive", "periodic"), n_iterations=2, n_original=6),
        n_resamples=10,
    )
    results.attrs["level"] = "gfn2"
    told = _finished(tmp_path / "tuned", "finetuning", results)
    assert "force MAE of the untouched universal potential" in " ".join(told.text.split())
    (rows,) = [t for c, t in told.tables.items() if c.startswith("Differences between the last")]
    test_run, arms = rows[1][0].replace(" ", "_"), rows[1][1].split(" − ")
    one = results["force_mae_difference"].isel(iteration=-1)
    value = 1e3 * float(one.sel(arm=arms[0], other=arms[1], test_run=test_run))
    assert rows[1][2].split()[0] == signed(value, 1)


def test_json_is_one_object(made, tmp_path, capsys):
    command_line(made, out=tmp_path / "x.html", json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "report": str(tmp_path / "x.html"),
        "bytes": (tmp_path / "x.html").stat().st_size,
    }


def test_every_reference_is_whole_and_every_name_has_one():
    entries = entries_by_key()
    keys = {key for found in _NAMES.values() for key in found} | set(_STUDIES.values())
    assert keys <= set(entries)
    for key, text in entries.items():
        assert text.count("{") == text.count("}"), key
        assert re.search(r"^  title = \{.+\},$", text, re.M), key
        assert re.search(r"^  author = \{.+\},$", text, re.M), key
        assert re.search(r"^  (doi|eprint|url|version) = \{.+\},$", text, re.M), key


def test_levels_and_potentials_of_the_configuration_are_cited(page):
    cited = page.text[page.text.index("What to cite", page.text.index("How it was made")) :]
    for key in ("breadth", "shenoy2023", "bannwarth2019", "halgren1996", "ramakrishnan2014"):
        assert re.search(rf"@\w+\{{{key},", cited), key
    assert "kreiman2025" not in cited
    asked = load(TradeoffConfiguration, preset="smoke")
    assert (asked.pool.engine, asked.pool.prior) == ("gfn2", "mmff94")


@pytest.mark.parametrize(
    ("asked", "by_pyscf"),
    [
        ({"pool": {"engine": "b3lyp-d3bj/def2-svp"}}, True),
        ({"pools": {"priors": ["mmff94", "pbe/sto-3g"]}}, True),
        ({"pool": {"engine": "orca:b3lyp/def2-svp"}}, False),
        ({"rmd17": {"path": "../data/rmd17"}}, False),
    ],
)
def test_a_path_is_no_level_of_density_functional_theory(asked, by_pyscf):
    study = study_named("refinement")
    run = SimpleNamespace(plan={"configuration": asked}, study=study, units={})
    assert ("sun2020" in cited(run)) is by_pyscf


finite = st.floats(-1e6, 1e6)


@given(st.lists(finite, min_size=3, max_size=3), st.floats(1e-3, 1e6))
def test_a_drawing_keeps_order_and_stays_within_its_frame(ends, reach):
    low, value, high = sorted(ends)
    change = Change(value, low, high)
    at = drawn(change, reach)
    assert 0 <= at["lower"] <= at["value"] <= at["upper"] <= at["width"]
    if change.verdict == "below":
        assert at["upper"] <= at["zero"]
    if change.verdict == "above":
        assert at["lower"] >= at["zero"]


@given(finite, st.integers(0, 3))
def test_numbers_read_back_as_they_were_shown(value, digits):
    for shown in (signed(value, digits), number(value, digits)):
        again = float(shown.replace("−", "-").replace(",", ""))
        assert abs(again - value) <= 0.5000001 * 10.0**-digits


def test_what_is_not_known_is_a_dash_or_nothing():
    nan = float("nan")
    assert (signed(nan), number(nan), bounds([nan, 1.0])) == ("–", "–", "")
    unknown = Change(1.0)
    assert (unknown.verdict, unknown.judged, unknown.interval) == ("undecided", "undecided", "")
    assert Change(1.0, 0.5, 2.0, good="above").judged == "better"
    assert Change(1.0, 0.5, 2.0, good="below").judged == "worse"
    assert Change(1.0, 0.5, 2.0, good="").judged == "undecided"
    assert Table(("a",), [["x"]], "none").reach == 1.0
