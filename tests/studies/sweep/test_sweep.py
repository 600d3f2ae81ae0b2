"""A sweep whole: shared units, what is set aside, what is left after a kill, and its status."""

import json
import shutil
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.diversity import ConfigurationError
from breadth.studies.record import sessions
from breadth.studies.results import load
from breadth.studies.store import Store
from breadth.studies.sweep import estimate_sweep, load_sweep, run_sweep, sweep_status
from breadth.studies.sweep import run as running

GRID = {"inner.rate": [1.0, 3.0], "seed": [0, 1, 2]}


def test_points_share_units_and_are_joined(study, asked, ran, tmp_path):
    made = run_sweep(asked(over=GRID), tmp_path / "out", workers=3)
    assert made["failed"] == {}
    assert len(ran) == len(set(ran)), "a unit that points share runs once"
    assert len([key for key in ran if key.startswith("term")]) == 3 * 2
    results = load(tmp_path / "out" / "results.nc")
    assert results["total"].dims == ("inner.rate", "seed", "factor")
    assert results["total"].attrs == {"units": "eV"}
    assert results["place"].dims == ("factor",)
    for point in made["points"].values():
        one = load(f"{point}/results.nc")
        rate, seed = (part.partition("=")[2] for part in point.rsplit("/", 1)[1].split(","))
        there = results.sel({"inner.rate": float(rate), "seed": int(seed)})
        np.testing.assert_array_equal(there["total"], one["total"])
        # 0 + 1, once and twice the rate.
        assert one["total"].values.tolist() == [float(rate), 2 * float(rate)]
        assert sessions(Path(point))[-1]["workers"] == 3


def test_a_finished_sweep_runs_nothing(study, asked, ran, tmp_path):
    first = run_sweep(asked(over=GRID), tmp_path, workers=1)
    ran.clear()
    assert run_sweep(asked(over=GRID), tmp_path, workers=2) == first
    assert ran == []
    with pytest.raises(ConfigurationError, match=r"over\.seed"):
        run_sweep(asked(over={**GRID, "seed": [0, 1]}), tmp_path, workers=1)


def test_workers_change_no_number(study, asked, tmp_path):
    for workers in (1, 2, 4):
        run_sweep(asked(over=GRID), tmp_path / str(workers), workers=workers)
    first = load(tmp_path / "1" / "results.nc")
    for workers in (2, 4):
        xr.testing.assert_identical(first, load(tmp_path / str(workers) / "results.nc"))


def test_a_unit_that_fails_again_and_again_is_set_aside_and_the_rest_goes_on(
    study, asked, ran, tmp_path
):
    plan = asked(points=[{"fails": "", "seed": 0}, {"fails": "always", "seed": 1}])
    made = run_sweep(plan, tmp_path, workers=2)
    assert list(made["failed"]) == ["fails=always,seed=1"]
    assert made["failed"]["fails=always,seed=1"]["state"] == "set aside"
    assert made["results"] is None
    (aside,) = made["set_aside"]
    assert ran.count(aside["unit"]) == 3
    kept = json.loads(Path(aside["file"]).read_text())
    assert len(kept["failures"]) == 3
    assert all("run_term" in text and "meant to fail: always" in text for text in kept["failures"])
    # What needs it is not run; the other total of the same point is.
    assert len([key for key in ran if key.startswith("total")]) == 3

    told = sweep_status(tmp_path)
    assert not told["at_work"]
    assert told["units"]["set_aside"] == 1
    assert told["points"]["fails=always,seed=1"]["state"] == "set aside"

    ran.clear()
    run_sweep(plan, tmp_path, workers=2)
    assert ran == [], "set aside until it is asked for again"
    (tmp_path / "mended").touch()
    again = run_sweep(plan, tmp_path, workers=2, again=True)
    assert again["failed"] == {}
    assert again["set_aside"] == []
    assert sorted(key.split("-")[0] for key in ran) == ["term", "total"]


def test_an_error_of_the_user_is_told_once_and_other_points_go_on(study, asked, ran, tmp_path):
    made = run_sweep(asked(over={"fails": ["user", ""]}), tmp_path, workers=1)
    assert made["failed"] == {"fails=user": {"state": "failed", "reason": "meant for the user"}}
    assert made["set_aside"] == []
    assert made["reason"] == "1 of 2 points have no results"


def test_shapes_that_differ_are_not_joined_and_it_is_said_why(study, asked, tmp_path, monkeypatch):
    made = run_sweep(asked(over={"terms": [1, 2]}), tmp_path / "same", workers=1)
    assert load(made["results"])["n_terms"].values.tolist() == [1, 2]

    def wider(asked, out, **options):
        results = study.run(asked, out, **options)
        if asked.seed:
            results = xr.concat(
                [results, results.assign_coords(factor=[3, 4])], "factor", data_vars="minimal"
            )
            results.to_netcdf(out / "results.nc", engine="h5netcdf")
        return results

    other = replace(study, run=wider)
    monkeypatch.setattr(running, "study_named", lambda name: other)
    made = run_sweep(asked(over={"seed": [0, 1]}), tmp_path / "other", workers=1)
    assert made["results"] is None
    assert "seed=0 and seed=1 have 2 and 4 along factor" in made["reason"]
    assert not (tmp_path / "other" / "results.nc").exists()


def test_every_point_is_checked_before_anything_is_made(study, asked, ran, tmp_path):
    for over, why in (
        ({"inner.rte": [1, 2]}, "did you mean 'inner.rate'"),
        ({"inner.rate": [1, "fast"]}, "inner.rate"),
        ({"inner.rate": [1, 1000]}, "too high"),
        ({"seed": [0, 0]}, "the same study"),
        ({"seed": [0, date(2026, 1, 2)]}, "seed: Input should be a valid integer"),
        ({"threads": [1, 2]}, "share their workers"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            run_sweep(asked(over=over), tmp_path / "out", workers=1)
        with pytest.raises(ConfigurationError, match=why):
            estimate_sweep(asked(over=over), workers=1)
    assert not (tmp_path / "out").exists()
    assert ran == []


def test_two_runs_on_one_folder_are_refused(study, asked, tmp_path):
    with (
        Store(tmp_path).locked(),
        pytest.raises(ConfigurationError, match="Another run is at work"),
    ):
        run_sweep(asked(over=GRID), tmp_path, workers=1)


def test_the_status_of_a_sweep_at_work(study, asked, tmp_path, monkeypatch):
    """A unit waits until it has been seen."""
    seen, met = threading.Event(), threading.Event()
    plain = study.run

    def slow(asked, out, **options):
        if asked.seed == 2:
            met.set()
            assert seen.wait(20)
        return plain(asked, out, **options)

    other = replace(study, run=slow)
    monkeypatch.setattr(running, "study_named", lambda name: other)
    made = {}
    work = threading.Thread(
        target=lambda: made.update(run_sweep(asked(over={"seed": [0, 2]}), tmp_path, workers=1))
    )
    work.start()
    assert met.wait(20)
    for _ in range(500):
        told = sweep_status(tmp_path)
        if told["points"].get("seed=0", {}).get("state") == "finished":
            break
        threading.Event().wait(0.02)
    assert told["at_work"]
    assert told["points"]["seed=2"]["state"] == "running"
    assert told["units"]["finished"] == 4
    assert told["core_seconds_left"] == 0
    seen.set()
    work.join()
    told = sweep_status(tmp_path)
    assert not told["at_work"]
    assert told["units"] == {"finished": 8, "running": 0, "waiting": 0, "set_aside": 0}
    assert told["results"] == str(tmp_path / "results.nc")


def test_what_a_killed_run_left_counts_as_nothing(study, asked, ran, tmp_path):
    run_sweep(asked(over=GRID), tmp_path / "whole", workers=1)
    out = tmp_path / "torn"
    run_sweep(asked(over=GRID), out, workers=1)
    # As a kill leaves it: a unit and a point gone, a marker and a torn file there.
    for path in (out / "points" / "rate=3.0,seed=1" / "finished.json", out / "finished.json"):
        path.unlink()
    lost = next((out / "units").glob("total-*"))
    for path in lost.iterdir():
        path.unlink()
    lost.rmdir()
    (out / "running" / "term-dead").write_text("{")
    (out / "state.json").write_text('{"points": {')
    assert sweep_status(out)["units"]["running"] == 0
    for folder in out.glob("points/*"):
        (folder / "finished.json").unlink(missing_ok=True)
    ran.clear()
    run_sweep(asked(over=GRID), out, workers=2)
    assert ran == [lost.name], "only what is missing runs again"
    shutil.rmtree(out / "points" / "rate=1.0,seed=2")
    run_sweep(asked(over=GRID), out, workers=2)
    assert ran == [lost.name], "a point that was removed is made of units that are there"
    whole = load(tmp_path / "whole" / "results.nc")
    xr.testing.assert_identical(whole, load(out / "results.nc"))
    assert list((out / "running").iterdir()) == []


def test_a_sweep_that_is_interrupted_lets_go_and_goes_on(study, asked, ran, tmp_path):
    def interrupt(phase, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(asked(over=GRID), tmp_path, workers=1, progress=interrupt)
    seen = []
    made = run_sweep(
        asked(over=GRID), tmp_path, workers=1, progress=lambda *told: seen.append(told)
    )
    assert made["failed"] == {}
    assert len(ran) == len(set(ran)), "nothing that was finished runs again"
    assert all(phase == "units" and done <= total for phase, done, total in seen)


def test_clocks_that_jump_change_nothing(study, asked, tmp_path, monkeypatch):
    import time

    begun = time.time()
    monkeypatch.setattr(time, "time", lambda: begun - 1e9 * (int(begun * 1e6) % 2 + 1))
    made = run_sweep(asked(over={"seed": [0, 1]}), tmp_path, workers=1)
    assert made["failed"] == {}
    told = sweep_status(tmp_path)
    assert 0 <= told["core_seconds"] < 60


def test_a_sweep_goes_on_without_its_file(study, asked, tmp_path):
    plan = asked(over={"seed": [0, 1]}, at_once=2, executor={"workers": 1})
    run_sweep(plan, tmp_path)
    assert load_sweep(None, tmp_path) == plan
    with pytest.raises(ConfigurationError, match="no sweep"):
        load_sweep(None, tmp_path / "points" / "seed=0")
    with pytest.raises(ConfigurationError, match="no sweep"):
        sweep_status(tmp_path / "points" / "seed=0")


def test_estimates_add_up(study, asked, tmp_path):
    told = estimate_sweep(asked(over={"terms": [1, 2]}), workers=2)
    assert told["fits_at_most"] == 3
    assert told["core_hours_at_most"] == pytest.approx(3 / 60, abs=1e-3)
    assert told["minutes_at_most"] == 2.0
    elsewhere = asked(
        over={"terms": [1, 2]}, executor={"kind": "address", "address": "tcp://127.0.0.1:1"}
    )
    assert estimate_sweep(elsewhere)["workers"] == 1
    with pytest.raises(ConfigurationError, match="leave --workers out"):
        run_sweep(elsewhere, tmp_path, workers=2)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_says_too_little_or_too_much(tmp_path):
    file = tmp_path / "plan.yaml"
    for text, why in (
        ("study: tradeoff", "needs values in over or zip"),
        ("study: trade\nover: {seed: [1]}", "no such study"),
        ("study: tradeoff\noverr: {seed: [1]}", "did you mean 'over'"),
        ("study: tradeoff\nover: {seed: []}", "seed has no values"),
        ("study: tradeoff\nover: {seed: [1]}\npoints: [{seed: 1}]", "or else points"),
        ("study: tradeoff\nzip: {seed: [1], replicates: [1, 2]}", "one length"),
        ("study: tradeoff\npoints: [{seed: 1}, {replicates: 1}]", "the same keys"),
        ("study: tradeoff\nover: {seed: [1]}\nexecutor: {kind: slurm}", "needs a number"),
        ("study: tradeoff\nover: {seed: [1]}\nexecutor: {kind: address}", "needs an address"),
        ("study: tradeoff\nover: {seed: [1]}\nexecutor: {wrkers: 2}", "executor.workers"),
        ("study: [", "not valid YAML"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=why):
            load_sweep(file, tmp_path)


def test_the_command(study, asked, tmp_path, capsys):
    from breadth.studies.cli.sweep import sweep

    file, out = tmp_path / "plan.yaml", tmp_path / "out"
    file.write_text(
        "study: tradeoff\nover: {fails: ['', user]}\nexecutor: {workers: 1}\nat_once: 1"
    )
    sweep(file, out=out, dry_run=True, json=True)
    assert json.loads(capsys.readouterr().out)["points"] == ["fails=no0", "fails=user"]
    assert not out.exists()
    for arguments in ({}, {"json": True}):
        with pytest.raises(SystemExit) as left:
            sweep(file, out=out, **arguments)
        assert left.value.code == 1
        said = capsys.readouterr().out
        assert "meant for the user" in said
    assert json.loads(said)["failed"]["fails=user"]["state"] == "failed"
    sweep(out=out, status=True)
    said = capsys.readouterr().out
    assert "The same command goes on" in said
    assert "finished" in said
    sweep(out=out, status=True, json=True)
    assert json.loads(capsys.readouterr().out)["at_work"] is False


def test_warnings_of_points_are_told_by_name(study, asked, tmp_path, capsys):
    from breadth.studies.cli.sweep import sweep

    file, out = tmp_path / "plan.yaml", tmp_path / "out"
    file.write_text("study: tradeoff\nover: {warns: ['', A model diverged.]}\nat_once: 1")
    for _ in range(2):  # the second time from what is finished
        sweep(file, out=out, workers=1, json=True)
        found = json.loads(capsys.readouterr().out)
        assert list(found["warnings"].values()) == [["A model diverged."]]
        assert found["results"] is not None
    sweep(file, out=out)
    (name,) = found["warnings"]
    assert f"{name}: warning: A model diverged." in capsys.readouterr().out
