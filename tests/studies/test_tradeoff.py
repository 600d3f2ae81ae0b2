"""The study of structural against conformational diversity, whole."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.diversity import ConfigurationError, ShortageError, read
from breadth.sampling import sample_geometries
from breadth.studies.configuration import load
from breadth.studies.pool import by_id, read_set
from breadth.studies.specs import DesignSpec
from breadth.studies.store import Store
from breadth.studies.tradeoff import TradeoffConfiguration
from breadth.studies.tradeoff.cells import choose_molecules, hold_out, plan_cells
from breadth.studies.tradeoff.cells import test_ids as ids_of_tests
from breadth.studies.tradeoff.labelling import label_cells
from breadth.studies.tradeoff.question import SelectorSection

BREADTH = Path(sys.executable).with_name("breadth")
SMOKE = ("study", "tradeoff", "--preset", "smoke")
#: A study that takes seconds: enough to be killed in, too small for anything else.
TINY = (
    *("--set", "training.n_updates=12", "pool.n_molecules=18", "hold_outs.n_molecules=2"),
    "fixed_molecules=null",
)


def test_results_have_the_contracts_names(smoke):
    out, _ = smoke
    with xr.open_dataset(out / "results.nc") as results:
        assert {"design", "replicate", "test_set"} <= set(results.dims)
        for name in ("experiment", "n_molecules", "n_conformers"):
            assert results[name].dims == ("design",)
        assert set(results["experiment"].values) == {"fixed_budget", "fixed_molecules"}
        for name, units in (
            ("force_mae", "eV/angstrom"),
            ("energy_mae_per_atom", "eV"),
            ("conformational_energy_mae", "eV"),
        ):
            assert results[name].dims == ("design", "replicate", "test_set")
            assert results[name].attrs["units"].startswith(units.split("/")[0])
            assert np.isfinite(results[name].sel(test_set="unseen_molecules")).all()
            assert (f"{name}_interval") in results
        assert results["undertrained"].dims == ("design", "test_set")
        # No fit of 60 updates is good, none is worse than twice the forces themselves.
        ratio = (results["force_mae"] / results["zero_force_mae"]).values
        assert (ratio[np.isfinite(ratio)] < 2).all()
        names = {"seen_conformers", "own_conformers", "unseen_molecules", "unseen_scaffolds"}
        assert names | {"larger_molecules"} <= set(results["test_set"].values.tolist())


def test_measures_stand_beside_the_errors(smoke):
    out, _ = smoke
    with xr.open_dataset(out / "results.nc") as results:
        assert results["measure_value"].dims == ("design", "replicate", "measure")
        assert results["measure_units"].dims == ("measure",)
        assert results["measure_error_correlation"].dims == ("measure", "test_set")
        measures = results["measure_value"]
        size = results["n_molecules"].values * results["n_conformers"].values
        for name, expected in (
            ("n_molecules", results["n_molecules"].values),
            ("n_conformers", size),
        ):
            found = measures.sel(measure=name).values
            np.testing.assert_array_equal(found, np.repeat(expected[:, None], 2, axis=1))
        np.testing.assert_array_equal(results["n_train"], results["n_labels"])
        np.testing.assert_array_equal(results["n_train"].values[:, 0], size)
        # An environment is told from others by conformation, by site or by molecule.
        parts = [
            measures.sel(measure=f"partition.{part}").values
            for part in ("conformational", "intramolecular", "structural")
        ]
        entropy = measures.sel(measure="environments.entropy").values
        np.testing.assert_allclose(sum(parts), entropy, rtol=1e-5)
        # Three distinct designs support no correlation.
        assert results["measure_error_correlation"].isnull().all()


def test_every_prediction_is_kept_and_gives_the_errors_again(smoke):
    from breadth.analysis import measure_errors

    out, _ = smoke
    with (
        xr.open_dataset(out / "predictions.nc") as predictions,
        xr.open_dataset(out / "results.nc") as results,
    ):
        again = measure_errors(predictions.load())
        for name in ("force_mae", "energy_mae_per_atom", "force_mae_interval", "undertrained"):
            np.testing.assert_array_equal(again[name], results[name])


def test_pool_reads_and_holds_only_what_is_needed(smoke):
    out, _ = smoke
    pool = read(out / "pool")
    with xr.open_dataset(out / "predictions.nc") as predictions:
        tested = set(predictions["conformer_id"].values.tolist())
    ids = set(pool.id.astype("U32").tolist())
    assert tested <= ids
    trained = {
        i
        for path in out.glob("units/fit-*/unit.json")
        for i in json.loads(
            (
                out / "units" / json.loads(path.read_text())["inputs"]["train"] / "unit.json"
            ).read_text()
        )["parameters"]["ids"]
    }
    assert ids == tested | trained
    assert pool.labels("gfn2").has_energy.all()
    assert set(pool.labels("gfn2").reference_energies) == set(pool.elements.tolist())


def test_no_fit_sees_what_it_is_tested_on(smoke):
    out, _ = smoke
    fits = [json.loads(p.read_text()) for p in out.glob("units/predictions-*/unit.json")]
    assert fits

    def ids(key):
        return set(json.loads((out / "units" / key / "unit.json").read_text())["parameters"]["ids"])

    for predictions in fits:
        fit = json.loads((out / "units" / predictions["inputs"]["fit"] / "unit.json").read_text())
        assert not ids(fit["inputs"]["train"]) & ids(predictions["inputs"]["test"])


def test_figures_are_drawn_in_both_widths(smoke):
    out, result = smoke
    names = {p.stem for p in (out / "figures").glob("*.pdf")}
    assert {
        "error_against_molecules",
        "error_against_conformers",
        "map",
        "parity",
        "pool",
        "training_curves",
    } <= names
    assert names == {p.stem for p in (out / "figures").glob("*.png")}
    assert names == {p.stem for p in (out / "figures" / "double").glob("*.pdf")}
    assert str(out / "figures" / "map.png") in result.stdout
    assert "[95 %]" in result.stdout
    assert result.stderr == "", "a piped run is quiet"


def test_a_finished_study_is_not_run_again(smoke, run_breadth):
    out, first = smoke
    before = (out / "results.nc").stat().st_mtime_ns
    start = time.monotonic()
    again = run_breadth(*SMOKE, "--out", out)
    assert time.monotonic() - start < 10
    assert again.stdout == first.stdout
    assert (out / "results.nc").stat().st_mtime_ns == before


def test_another_study_in_the_folder_is_refused(smoke, run_breadth):
    out, _ = smoke
    result = run_breadth(*SMOKE, "--out", out, "--set", "training.n_updates=61", check=False)
    assert result.returncode == 1
    assert "holds another study" in result.stderr
    assert "training.n_updates: 60 there, 61 asked" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_killed_by_the_command_it_ends_with_the_same_values(tmp_path, run_breadth):
    # In tests/reliability three kills run with the others, without processes of their own.
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    run_breadth(*SMOKE, *TINY, "--out", whole)
    for stage in ("units/geometries-*", "units/labels-*", "units/fit-*", "predictions.nc"):
        process = subprocess.Popen(
            [str(BREADTH), *SMOKE, *TINY, "--out", str(torn)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while process.poll() is None and not list(torn.glob(stage)):
            time.sleep(0.01)
        assert process.poll() is None, f"it ended before {stage}: {process.stderr.read()}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (torn / "finished.json").exists()
    run_breadth(*SMOKE, *TINY, "--out", torn)
    for name in ("predictions.nc", "results.nc", "pool.nc", "curves.nc"):
        with xr.open_dataset(whole / name) as one, xr.open_dataset(torn / name) as other:
            xr.testing.assert_identical(one, other)
    # Fits that were running at the kill went on from their checkpoint or began anew; none is left.
    assert list((torn / "partial").glob("*/*")) == []


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path, run_breadth):
    one, two = tmp_path / "one", tmp_path / "two"
    run_breadth(*SMOKE, *TINY, "--out", one, "--workers", "1")
    run_breadth(*SMOKE, *TINY, "--out", two, "--workers", "2")
    with xr.open_dataset(one / "predictions.nc") as a, xr.open_dataset(two / "predictions.nc") as b:
        xr.testing.assert_identical(a, b)


def test_dry_run_costs_nothing_and_tells_the_plan(tmp_path, run_breadth):
    out = tmp_path / "none"
    result = run_breadth(*SMOKE, "--out", out, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["fits"] == 12
    assert plan["minutes"] > 0
    assert not out.exists()


@pytest.fixture(scope="module")
def planned():
    asked = load(TradeoffConfiguration, preset="smoke", overrides=["pool.n_conformers=40"])
    geometries, _ = sample_geometries(
        choose_molecules(asked), n_conformers=asked.pool.n_conformers, seed=0
    )
    partition = hold_out(asked, geometries)
    return asked, partition, plan_cells(asked, partition)


def test_within_a_replicate_designs_are_nested(planned):
    asked, _, cells = planned
    for replicate in range(asked.replicates):
        size = {c.spec.cell[:2]: c for c in cells if c.replicate == replicate}
        assert set(size[4, 2].train) < set(size[4, 6].train)
        molecules = _molecules(planned, size[4, 6])
        assert molecules < _molecules(planned, size[12, 2])
    first = [set(c.train) for c in cells if c.spec.cell[:2] == (12, 2)]
    assert first[0] != first[1], "replicates draw their own molecules and conformers"


def test_budgets_are_exact_and_hold_outs_are_drawn_once(planned):
    _, _, cells = planned
    for cell in cells:
        size = cell.spec.n_molecules * cell.spec.n_conformers
        assert len(set(cell.train)) == len(cell.train) == size
    for name in ("unseen_molecules", "unseen_scaffolds", "larger_molecules"):
        assert len({cell.tests[name] for cell in cells}) == 1
    per_replicate = {(c.replicate, c.tests["seen_conformers"]) for c in cells}
    assert len(per_replicate) == 2, "seen conformers are those of molecules all designs share"
    assert any("unseen_minima" in c.tests for c in cells)


def test_a_budget_that_does_not_divide_is_met(planned):
    asked, partition, _ = planned
    odd = asked.model_copy(
        update={"fixed_budget": asked.fixed_budget.model_copy(update={"n_molecules": (5, 12)})}
    )
    cells = [c for c in plan_cells(odd, partition) if c.spec.n_molecules == 5]
    assert [len(c.train) for c in cells] == [24, 24]


@pytest.fixture(scope="module")
def selected(planned):
    asked, partition, _ = planned
    section = SelectorSection(
        n_molecules=6,
        n_conformers=3,
        molecules=("maxmin", "kmedoids"),
        conformers=("fps", "minima"),
    )
    both = asked.model_copy(update={"selectors": section})
    return both, {(c.spec, c.replicate): c for c in plan_cells(both, partition)}


def test_selectors_have_random_choice_beside_them(planned, selected):
    asked, cells = selected
    for spec in asked.designs():
        if spec.experiment not in ("molecule_selectors", "conformer_selectors"):
            continue
        if spec.cell[2:] == ("random", "random"):
            spec = spec._replace(experiment="molecule_selectors")
        for replicate in range(asked.replicates):
            cell = cells[spec, replicate]
            random = cells[DesignSpec("molecule_selectors", 6, 3), replicate]
            assert len(set(cell.train)) == len(cell.train) == cell.n_labels == 18
            same = _molecules(planned, cell) == _molecules(planned, random)
            assert same == (spec.molecule_selector == "random")
            if spec != random.spec:
                assert set(cell.train) != set(random.train)
            assert ("seen_conformers" in cell.tests) == (spec.molecule_selector == "random")
            assert "own_conformers" in cell.tests


def test_selectors_change_no_other_design(planned, selected):
    _, _, plain = planned
    _, cells = selected
    for cell in plain:
        other = cells[cell.spec, cell.replicate]
        assert (other.train, other.tests) == (cell.train, cell.tests)


#: A study of one selector that reads labels.
BOLTZMANN = (
    *("fixed_budget=null", "fixed_molecules=null", "pool.n_molecules=18"),
    *("hold_outs.n_molecules=2", "training.n_updates=4"),
    "selectors={n_molecules: 4, n_conformers: 2, molecules: [], conformers: [boltzmann]}",
)


@pytest.mark.slow
def test_a_study_of_selectors_alone_reads_the_priors_labels(tmp_path, run_breadth):
    out = tmp_path / "selectors"
    result = run_breadth(*SMOKE, "--out", out, "--set", *BOLTZMANN)
    assert "conformers by boltzmann" in result.stdout
    with xr.open_dataset(out / "results.nc") as results:
        assert results["experiment"].values.tolist() == ["conformer_selectors"] * 2
        assert results["conformer_selector"].values.tolist() == ["random", "boltzmann"]
        assert (results["n_labels"] == 8).all()
        difference = results["force_mae_difference"].sel(test_set="unseen_molecules")
        assert np.isfinite(difference[1, 0])
    refused = run_breadth(
        *(*SMOKE, "--out", tmp_path / "no", "--set", *BOLTZMANN, "pool.prior=null"), check=False
    )
    assert refused.returncode == 1
    assert "reads reference labels" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_reference_labels_that_selectors_read_are_charged(tmp_path):
    asked = load(
        TradeoffConfiguration,
        preset="smoke",
        overrides=[*BOLTZMANN, "selectors.charge_labels=true"],
    )
    store = Store(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        cells, pool_unit = label_cells(asked, store, executor, lambda phase, done, total: None)
    pool = read_set(store, pool_unit.key)
    for cell in cells:
        chosen = by_id(pool, cell.train)
        candidates = pool.select(
            np.isin(pool.molecules.key[pool.molecule], chosen.molecules.key)
            & ~np.isin(pool.id.astype("U32"), sorted(ids_of_tests([cell])))
        )
        if cell.spec.conformer_selector == "random":
            assert cell.n_labels == len(chosen) == 8
        else:
            # What it chose from is labelled, and it is all that is charged.
            assert len(chosen) < cell.n_labels <= len(candidates)


def test_what_cannot_be_filled_says_what_is_short(planned):
    asked, partition, _ = planned
    greedy = asked.model_copy(
        update={"fixed_budget": asked.fixed_budget.model_copy(update={"budget": 400})}
    )
    with pytest.raises(ShortageError, match="conformers short"):
        plan_cells(greedy, partition)
    many = load(TradeoffConfiguration, preset="smoke", overrides=["pool.n_molecules=5000"])
    with pytest.raises(ShortageError, match="are missing"):
        choose_molecules(many)


def test_wrong_names_are_told_before_anything_is_made(tmp_path, run_breadth):
    for override, named in (("potential.n_feature=3", "n_feature"), ("pool.engine=dft", "dft")):
        result = run_breadth(*SMOKE, "--out", tmp_path / "x", "--set", override, check=False)
        assert result.returncode == 1
        assert named in result.stderr
        assert not (tmp_path / "x").exists()


def test_designs_that_would_be_two_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="two designs of 7 × 3 would differ"):
        load(
            TradeoffConfiguration,
            preset="smoke",
            overrides=[
                "fixed_budget.n_molecules=[7, 12]",
                "fixed_molecules.n_molecules=7",
                "fixed_molecules.n_conformers=[1, 3]",
            ],
        )


def _molecules(planned, cell):
    conformers = planned[1].conformers
    place = {i: row for row, i in enumerate(conformers.id.astype("U32").tolist())}
    rows = conformers.molecule[[place[i] for i in cell.train]]
    return set(conformers.molecules.key[rows].tolist())


def test_ctrl_c_ends_a_study_at_once_and_keeps_what_is_finished(tmp_path):
    out = tmp_path / "stopped"
    process = subprocess.Popen(
        [str(BREADTH), *SMOKE, "--out", str(out), "--set", "training.n_updates=100000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell without job control starts background jobs with SIGINT ignored, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(out.glob("partial/fit-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    try:
        _, said = process.communicate(timeout=20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert "Stopped" in said
    assert "Traceback" not in said
    assert list(out.glob("units/labels-*"))
