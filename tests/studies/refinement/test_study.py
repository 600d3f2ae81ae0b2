"""The study of shift and refinement, whole: as a user runs it, and in its smallest form."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ase.formula import Formula

from breadth.diversity import ConfigurationError
from breadth.studies.cli.refinement import gains
from breadth.studies.configuration import load
from breadth.studies.refinement import RefinementConfiguration, run_refinement
from breadth.studies.results import load as load_results

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is not there")
#: Seconds of work: enough to see that every number is where it belongs.
TINY = (
    *("replicates=2", "training.n_updates=5", "training.batch_size=2"),
    *("potential.n_features=8", "test_time.n_steps=3", "test_time.batch_size=2"),
    *("potential.name=factorised_painn", "potential.n_layers=1", "potential.cutoff=4.0"),
)
SHIFTS = {"in_distribution", "new_element", "larger", "high_force", "new_scaffold", "stretched"}


def configuration(*overrides):
    return load(RefinementConfiguration, overrides=[*TINY, *overrides])


@pytest.fixture(scope="module")
def refined(tmp_path_factory, run_breadth):
    """The finished smoke study and what the command printed."""
    out = tmp_path_factory.mktemp("refinement") / "smoke"
    return out, run_breadth("study", "refinement", "--preset", "smoke", "--out", out, "--json")


def test_results_have_the_contracts_names(refined):
    out, _ = refined
    results, shift = load_results(out / "results.nc"), load_results(out / "shift.nc")
    for name in ("force_mae", "gain"):
        assert results[name].dims == ("system", "method", "replicate")
        assert results[f"{name}_interval"].dims == ("system", "method", "bound")
    assert set(results["shift"].values.tolist()) == SHIFTS
    methods = results["method"].values.tolist()
    assert {"none", "joint", "pretrain_freeze", "radius", "test_time", "both", "delta"} <= set(
        methods
    )
    assert {"prior", "test_time_wrong_prior", "fine_tune_1", "test_time_uff"} <= set(methods)
    assert np.isfinite(results["force_mae"]).all()
    assert np.isfinite(results["prior_force_mae"]).all()
    assert (results["prior_force_mae"] > 0).all()
    assert shift["shift_score"].dims == ("system", "measure", "replicate")
    assert {"composition", "elements", "size", "knn", "mahalanobis", "predicted_force_norm",
            "committee_variance", "connectivity", "force_norm"} <= set(
        shift["measure"].values.tolist()
    )  # fmt: skip
    # 60 updates learn little; nothing is worse than three times the forces themselves but priors.
    ratio = (results["force_mae"] / results["zero_force_mae"]).sel({"method": "none"})
    assert (ratio < 3).all()


def test_gains_are_against_none_and_against_the_same_model_without_steps(refined):
    out, _ = refined
    results = load_results(out / "results.nc")
    error = results["force_mae"]
    bases = dict(zip(results["method"].values, results["base_of_method"].values, strict=True))
    assert bases["test_time"] == bases["both"] == bases["test_time_wrong_prior"] == "joint"
    assert bases["radius"] == bases["fine_tune_1"] == "none"
    assert bases["test_time_uff"] == "joint_uff"
    assert bases["delta"] == bases["prior"] == bases["joint"] == ""
    for method, base in bases.items():
        own = error.sel({"method": method})
        np.testing.assert_allclose(
            results["gain"].sel({"method": method}), error.sel({"method": "none"}) - own, atol=1e-9
        )
        if base:
            np.testing.assert_allclose(
                results["gain_steps"].sel({"method": method}),
                error.sel({"method": base}) - own,
                atol=1e-9,
            )


def test_the_new_element_is_scored_as_unknown(refined):
    out, _ = refined
    shift, results = load_results(out / "shift.nc"), load_results(out / "results.nc")
    unknown = shift["shift_score"].sel(measure="elements").mean("replicate").values
    new = results["shift"].values == "new_element"
    assert (unknown[new] > 0).all()
    assert (unknown[~new] == 0).all()
    larger = results["shift"].values == "larger"
    symbols = [Formula(f).count() for f in results["formula"].values.astype(str)]
    heavy = np.array([sum(n for s, n in one.items() if s != "H") for one in symbols])
    assert heavy[larger].min() > 8
    assert heavy[~larger & ~new].max() <= 8
    assert all(("F" in one) == is_new for one, is_new in zip(symbols, new, strict=True))


def test_every_prediction_is_kept_and_gives_the_errors_again(refined):
    from breadth.analysis.refinement import refinement_errors

    out, _ = refined
    predictions = load_results(out / "predictions.nc")
    again = refinement_errors(predictions, minimum_conformers=5)
    results = load_results(out / "results.nc")
    for name in ("force_mae", "gain", "gain_interval", "force_mae_adapted", "group_gain"):
        np.testing.assert_array_equal(again[name], results[name])


def test_no_model_saw_what_it_is_tested_on(refined):
    out, _ = refined
    predictions = load_results(out / "predictions.nc")
    tested = set(predictions["conformer_id"].values.astype(str).tolist())
    fits = list(out.glob("units/arm-*/unit.json"))
    assert len(fits) == 2 * 5  # replicates × none, joint by two priors, pretrain_freeze, delta
    for path in fits:
        train = json.loads(path.read_text())["inputs"]["train"]
        ids = json.loads((out / "units" / train / "unit.json").read_text())["parameters"]["ids"]
        assert ids
        assert not tested & set(ids)
    of, adapted = predictions["system_of"].values, predictions["adapted"].values
    for system in range(predictions.sizes["system"]):
        assert 2 <= adapted[of == system].sum() <= (~adapted[of == system]).sum()


@pytest.mark.slow
def test_what_was_lost_is_made_again_bit_for_bit_by_other_workers(refined, tmp_path, run_breadth):
    out, _ = refined
    again = tmp_path / "again"
    shutil.copytree(out, again)
    for name in ("finished.json", "predictions.nc", "results.nc"):
        (again / name).unlink()
    for unit in [*again.glob("units/refinement-*"), *again.glob("units/shift_scores-*")]:
        shutil.rmtree(unit)
    shutil.rmtree(next(iter(again.glob("units/arm-*"))))
    run_breadth("study", "refinement", "--preset", "smoke", "--out", again, "--workers", "1")
    for name in ("predictions", "shift"):
        first, second = (load_results(folder / f"{name}.nc") for folder in (out, again))
        xr.testing.assert_equal(first, second)


def test_json_is_one_object_and_the_finished_study_is_not_run_again(refined, run_breadth):
    out, result = refined
    told = json.loads(result.stdout)
    assert {row["method"] for row in told["groups"]} >= {"none", "test_time"}
    assert {row["group"] for row in told["groups"]} == {f"pools: {shift}" for shift in SHIFTS}
    assert told["warnings"] == []
    before = (out / "results.nc").stat().st_mtime_ns
    result = run_breadth("study", "refinement", "--preset", "smoke", "--out", out)
    assert "won against none" in result.stdout
    assert (out / "results.nc").stat().st_mtime_ns == before


def test_figures_are_drawn_and_drawn_again(refined, tmp_path, run_breadth):
    out, _ = refined
    names = {path.stem for path in (out / "figures").glob("*.pdf")}
    assert {"error_against_shift_pools", "gain_against_shift_pools", "spectra"} <= names
    assert names == {path.stem for path in (out / "figures" / "double").glob("*.pdf")}
    run_breadth("figures", out, "--out", tmp_path / "again")
    assert names == {path.stem for path in (tmp_path / "again").glob("*.pdf")}


def test_a_plan_is_told_without_work(tmp_path, run_breadth):
    out = tmp_path / "none"
    result = run_breadth(
        "study", "refinement", "--preset", "paper", "--out", out, "--dry-run", "--json"
    )
    plan = json.loads(result.stdout)
    assert plan["fits"] > 10
    assert plan["core_hours"] > 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("methods=[none,test_tim]", "test_tim"),
        ("pools.priors=[mmff95]", "mmff95"),
        ("pools.new_elements=[Xy]", "Xy"),
        ("rmd17.path=nowhere", "rmd17=null"),
        ("models.run=nowhere", "trade-off"),
        ("fine_tuning.n=[1]", "fine_tune"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_work(tmp_path, override, words):
    with pytest.raises(ConfigurationError, match=words):
        run_refinement(configuration(override), tmp_path / "x")
    assert not (tmp_path / "x" / "units").exists()


@pytest.mark.slow
def test_every_model_of_a_tradeoff_study_is_refined(smoke, tmp_path):
    run, _ = smoke
    asked = configuration(
        f"models.run={run}", "models.n_tested=2", "models.methods=[none,radius,test_time,prior]"
    )
    results = run_refinement(asked, tmp_path / "refined", workers=2)
    assert results["gain"].dims == ("design", "system", "method", "replicate")
    # One row for a design that stands in both of its experiments.
    theirs = load_results(run / "predictions.nc")
    sizes = [theirs[name].values.tolist() for name in ("n_molecules", "n_conformers")]
    n = len(set(zip(*sizes, strict=True)))
    assert results.sizes["design"] == n
    error = results["force_mae"].transpose("design", "replicate", "method", "system").values
    inside = results["shift"].values == "in_distribution"
    # Molecules that are trained on are each replicate's own; all others are everyone's.
    assert np.isfinite(error[..., ~inside]).all()
    assert (np.isfinite(error[:, :, 0][..., inside]).sum(-1) == 2).all()
    scores = results["shift_score"].sel(measure="knn").transpose("design", "replicate", "system")
    np.testing.assert_array_equal(np.isfinite(scores), np.isfinite(error[:, :, 0]))
    # `none` is the stored model, bit for bit.
    mine = load_results(tmp_path / "refined" / "predictions.nc")
    place = {name: row for row, name in enumerate(theirs["conformer_id"].values.tolist())}
    starts = np.concatenate([[0], np.cumsum(theirs["n_atoms"].values)])
    own = np.concatenate([[0], np.cumsum(mine["n_atoms"].values)])
    model_of = theirs["model_of"].values
    for design in range(n):
        sizes = mine["n_molecules"].values[design], mine["n_conformers"].values[design]
        row = next(
            d
            for d in range(theirs.sizes["design"])
            if (theirs["n_molecules"].values[d], theirs["n_conformers"].values[d]) == sizes
        )
        found = mine["forces"].sel({"method": "none"}).isel(design=design, replicate=1).values
        known = theirs["forces"].isel(model=model_of[row, 1]).values
        for i, name in enumerate(mine["conformer_id"].values.tolist()):
            k = place[name]
            if np.isnan(found[own[i]]).any():
                continue
            np.testing.assert_allclose(
                found[own[i] : own[i + 1]], known[starts[k] : starts[k + 1]], atol=1e-5
            )


@pytest.mark.slow
@needs_data
def test_triples_stand_in_the_place_of_replicates(tmp_path):
    asked = configuration(
        "pools=null", f"rmd17.path={SHARED / 'rmd17'}", "rmd17.n_triples=3",
        "rmd17.n_trained=4", "rmd17.n_structures=4", "rmd17.prior=mmff94",
        "methods=[none,prior,radius]",
    )  # fmt: skip
    results = run_refinement(asked, tmp_path / "triples", workers=2)
    error = results["force_mae"].sel({"method": "none"})
    known = np.isfinite(error.values)
    inside = results["shift"].values == "in_distribution"
    assert results.sizes["replicate"] == 3
    assert (known[inside].sum(0) == 3).all()
    assert (known[~inside].sum(0) == 7).all()
    names = results["system"].values
    first = {name.split(",")[0] for name in names[inside & known[:, 0]]}
    assert first == {"benzene", "uracil", "aspirin"}
    assert not first & set(names[~inside & known[:, 0]])


@pytest.mark.slow
@needs_data
def test_scans_have_profile_errors_alone(tmp_path):
    asked = configuration(
        "pools=null", f"acac.path={SHARED / 'acac'}", "acac.n_trained=8", "acac.n_structures=24",
        "acac.prior=mmff94", "methods=[none,joint,prior]",
    )  # fmt: skip
    results = run_refinement(asked, tmp_path / "acac", workers=2)
    scans = results["shift"].values == "scan"
    assert scans.sum() == 2
    force, energy = (results[n].values for n in ("force_mae", "conformational_energy_mae"))
    assert np.isnan(force[scans]).all()
    assert np.isfinite(force[~scans]).all()
    assert np.isfinite(energy).all()
    (told,) = {row["group"] for row in gains(results) if "conformational_energy_mae" in row}
    assert told == "acac: scan"


def test_a_model_named_twice_or_unknown_is_no_configuration():
    with pytest.raises(ConfigurationError, match="no method"):
        configuration("pools.methods=[nothing]")
    with pytest.raises(ConfigurationError, match="one of pools"):
        configuration("pools=null")
