"""`breadth study finetuning`: what it prints, and the smoke preset as a user runs it."""

import json

import numpy as np
import pytest

from breadth.studies.cli.finetuning import differences, models, show
from breadth.studies.results import load


def test_what_is_printed_are_the_results(studied, capsys):
    _, _, results = studied
    rows = models(results)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    one = next(r for r in rows if (r["arm"], r["iteration"], r["test_run"]) == ("chosen", 2, "own"))
    here = results.sel(arm="chosen", iteration=2, test_run="own")
    assert one["force_mae"] == pytest.approx(float(here["force_mae"].mean()))
    assert one["force_mae_interval"] == pytest.approx(here["force_mae_interval"].values.tolist())
    universal = [r for r in rows if r["arm"] == "universal"]
    assert {r["iteration"] for r in universal} == {0}
    assert all(r["q_residual"] is None for r in universal if "q_residual" in r)
    pairs = [r for r in differences(results) if r["test_run"] == "independent"]
    assert len(pairs) == 6  # of four arms
    for row in pairs:
        error = results["force_mae"].sel(iteration=2, test_run="independent")
        gap = error.sel(arm=row["arm"]) - error.sel(arm=row["other"])
        assert row["force_mae_difference"] == pytest.approx(float(gap.mean()), abs=1e-9)
    show(results)
    printed = capsys.readouterr().out
    assert "on its own run, mean of 2 replicates" in printed
    assert f"{1e3 * one['force_mae']:.3g}" in printed


@pytest.mark.slow
def test_the_smoke_preset_with_so3lr_has_equal_numbers_for_any_number_of_workers(
    tmp_path, run_breadth
):
    pytest.importorskip("so3krates_torch")
    told = {}
    for workers in ("1", "2"):
        out = tmp_path / workers
        result = run_breadth(
            *("study", "finetuning", "--preset", "smoke", "--out", out),
            *("--workers", workers, "--json"),
        )
        told[workers] = json.loads(result.stdout)
    one, two = (load(tmp_path / n / "predictions.nc") for n in ("1", "2"))
    assert one.identical(two)
    assert told["1"]["models"] == told["2"]["models"]
    assert len(told["1"]["figures"]) >= 16
    assert np.isfinite(load(tmp_path / "1" / "results.nc")["force_mae"]).all()
    # Drawn again from what was kept.
    run_breadth("figures", tmp_path / "1", "--out", tmp_path / "figures")
    assert (tmp_path / "figures" / "cross_tests.png").exists()
