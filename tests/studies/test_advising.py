"""Advice as a user asks for it: `breadth advise`, and the grid that it rests on."""

import json
from collections import Counter

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.advice import advise_growth
from breadth.diversity import (
    ConfigurationError,
    ConformerSet,
    DataError,
    Molecules,
    ShortageError,
    read,
    write,
)
from breadth.studies.advising import _level, core_hours, next_labels, read_results
from breadth.studies.configuration import load
from breadth.studies.costs import seconds
from breadth.studies.results import save
from breadth.studies.tradeoff import TradeoffConfiguration

CELLS = np.array([(m, c) for m in (2, 4, 8) for c in (1, 2, 4)]).T


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with results of a grid: errors fall with molecules and with conformers."""
    random = np.random.default_rng(2)
    m, c = CELLS
    law = 0.05 + 0.4 * m**-0.7 + 0.3 * c**-0.8
    found = (law[:, None] * np.exp(0.01 * random.standard_normal((9, 3))))[..., None]
    cells = ("design", "replicate", "test_set")
    folder = tmp_path_factory.mktemp("advice")
    counts = dict(zip(("n_molecules", "n_conformers"), CELLS, strict=True))
    save(
        xr.Dataset(
            {
                "force_mae": (cells, found),
                "force_mae_interval": (
                    ("design", "test_set", "bound"),
                    found.mean(axis=1)[..., None] * np.array([0.98, 1.02]),
                ),
                "force_mae_quarter": (cells, 1.4 * found),
                "undertrained": (("design", "test_set"), np.zeros((9, 1), bool)),
            },
            coords={
                "experiment": ("design", ["grid"] * 9),
                **{name: ("design", values) for name, values in counts.items()},
                **{
                    f"{axis}_selector": ("design", ["random"] * 9)
                    for axis in ("molecule", "conformer")
                },
                "test_set": ["unseen_molecules"],
                "bound": ["lower", "upper"],
            },
            attrs={"level": "gfn2"},
        ),
        folder / "results.nc",
    )
    write(_conformers(3, 2), folder / "pool")
    return folder


def _conformers(n_molecules: int, n_conformers: int) -> ConformerSet:
    """Pairs of carbon atoms, the i-th conformer of a molecule the i-th distance."""
    n = n_molecules * n_conformers
    positions = np.zeros((2 * n, 3))
    positions[1::2, 0] = 1.2 + 0.01 * np.arange(n)
    return ConformerSet(
        molecules=Molecules(key=np.array([f"m{i:02d}" for i in range(n_molecules)])),
        molecule=np.repeat(np.arange(n_molecules), n_conformers),
        numbers=np.full(2 * n, 6),
        positions=positions,
        offsets=2 * np.arange(n + 1),
    )


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """What is there: 4 molecules with 4, 1, 1 and 1 conformers. Offered: 20 with 8 each."""
    folder = tmp_path_factory.mktemp("sets")
    offered = _conformers(20, 8)
    write(offered, folder / "offered")
    write(offered.select([0, 1, 2, 3, 8, 16, 24]), folder / "have")
    return folder


def test_one_json_object_has_the_contracts_names(run_breadth, results):
    told = json.loads(run_breadth("advise", results, "--budget", 100, "--json").stdout)
    assert {"n_molecules", "n_conformers", "errors", "alternatives", "supported", "reason"} <= set(
        told
    )
    assert told["n_molecules"] * told["n_conformers"] <= 100
    assert told["supported"] is True, told["reason"]
    low, high = told["n_molecules_interval"]
    assert low <= told["n_molecules"] <= high
    far = run_breadth("advise", results / "results.nc", "--budget", 1000, "--json")
    told = json.loads(far.stdout)
    assert told["supported"] is False
    assert "times the largest cell" in told["reason"]


def test_people_read_a_table_and_a_sentence(run_breadth, results, tmp_path):
    picture, kept = tmp_path / "drawn" / "advice.svg", tmp_path / "advice.json"
    asked = ("--budget", 100, "--figure", picture, "--out", kept)
    text = run_breadth("advise", results, *asked).stdout
    assert "Spend 100 labels on" in text
    assert "advised" in text
    assert picture.exists()
    assert json.loads(kept.read_text())["budget"] == 100


def test_core_hours_are_paid_by_size(run_breadth, results):
    one = seconds("gfn2", np.array([6, 6])) / 3600
    cost = core_hours("gfn2", read(results / "pool"))
    assert cost.per_label == pytest.approx(one)
    budget = 60 * (one + cost.per_molecule)
    found = run_breadth("advise", results, "--core-hours", budget, "--json")
    told = json.loads(found.stdout)
    assert told["unit"] == "core hours"
    assert told["cost"] <= budget


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "one of --budget"),
        (("--budget", 9, "--core-hours", 1), "one of --budget"),
        (("--have", "x", "--budget", 9), "belong together"),
        (("--budget", 99, "--weights", "unseen_molecule=1"), "did you mean 'unseen_molecules'"),
        (("--budget", 99, "--weights", "unseen_molecules=much"), "TEST_SET=WEIGHT"),
        (("--budget", 99, "--figure", "advice.jpg"), ".svg"),
        (("--core-hours", 1, "--from", "nowhere.xyz"), "nowhere.xyz"),
        (("--budget", 9, "--engine", "b3lyp/6-31g*"), "change no answer"),
        (("--budget", 9, "--molecules-by", "fps"), "give them with --have"),
        (("--have", "x", "--add", 1, "--from", "x", "--most-molecules", 9), "do not go with it"),
    ],
)
def test_faults_are_told_in_one_paragraph(run_breadth, results, arguments, text):
    refused = run_breadth("advise", results, *arguments, check=False)
    assert refused.returncode == 1
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr


def test_files_that_are_no_results_are_named(tmp_path):
    with pytest.raises(DataError, match=r"results\.nc"):
        read_results(tmp_path)
    (tmp_path / "results.nc").write_text("no NetCDF")
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path)


def test_more_labels_for_a_set_beyond_the_grid_are_not_supported(results):
    """The grid has 2 to 8 molecules with 1 to 4 conformers."""
    asked = {"results": read_results(results), "add": 8, "most_new": 0}
    near = advise_growth(n_molecules=8, n_conformers=56, **asked)
    assert near.supported, near.reason
    far = advise_growth(n_molecules=33, n_conformers=50, **asked)
    assert not far.supported
    assert "33 × 1.758" in far.reason
    asked["results"]["force_mae"][1:] = np.nan
    with pytest.raises(DataError, match="Fewer than two designs have an error"):
        advise_growth(n_molecules=8, n_conformers=56, **asked)


@pytest.mark.parametrize("add", [1, 9, 40])
def test_what_is_labelled_next_is_new_and_exact(results, sets, add):
    growth, chosen, told = next_labels(
        read_results(results), sets / "have", sets / "offered", add=add, conformers_by="random"
    )
    have = read(sets / "have")
    assert len(np.unique(chosen.id)) == len(chosen) == add
    assert not np.isin(chosen.id, have.id).any()
    known = np.isin(chosen.molecules.key[chosen.molecule], have.molecules.key)
    assert len(np.unique(chosen.molecule[~known])) == growth.n_new_molecules
    assert (int((~known).sum()), int(known.sum())) == (
        growth.new_conformers,
        growth.more_conformers,
    )
    assert told == {
        "n_conformers": add,
        "new_molecules": growth.n_new_molecules,
        "new_conformers": growth.new_conformers,
        "more_conformers": growth.more_conformers,
    }
    # The molecule that has most gets none before the others have as many.
    if add == 9:
        counts = Counter(chosen.molecules.key[chosen.molecule].tolist())
        assert counts["m00"] <= min(counts[f"m{i:02d}"] for i in (1, 2, 3))
    assert growth.force_mae < growth.force_mae_before


def test_molecules_without_candidates_leave_theirs_to_others(results, sets, tmp_path):
    offered = read(sets / "offered")
    write(offered.select(np.flatnonzero(offered.molecule >= 4)), tmp_path / "fresh")
    _, chosen, _ = next_labels(read_results(results), sets / "have", tmp_path / "fresh", add=12)
    assert len(chosen) == 12
    with pytest.raises(ShortageError, match="73 are missing"):
        next_labels(read_results(results), sets / "have", sets / "offered", add=226)
    with pytest.raises(ConfigurationError, match="reads labels"):
        next_labels(
            *(read_results(results), sets / "have", sets / "offered"),
            add=5,
            conformers_by="force_strata",
        )


def test_the_set_to_label_is_written(run_breadth, results, sets, tmp_path):
    asked = ("--have", sets / "have", "--add", 6, "--from", sets / "offered")
    found = run_breadth("advise", results, *asked, "--out", tmp_path / "next", "--json")
    told = json.loads(found.stdout)
    assert told["chosen"]["n_conformers"] == len(read(tmp_path / "next")) == 6
    assert told["chosen"]["new_conformers"] + told["chosen"]["more_conformers"] == 6


def test_levelling_gives_to_those_that_have_least():
    random = np.random.default_rng(0)
    have, room = random.integers(0, 9, 20), random.integers(0, 6, 20)
    added = _level(have=have, room=room, total=30)
    assert added.sum() == 30
    assert (added <= room).all()
    grown, able = have + added, added < room
    # Nobody who could have had more is two behind anybody who was given some.
    assert (grown[able].min(initial=99) >= grown[added > 0].max() - 1).all()


def test_a_grid_has_every_cell_and_shares_those_of_other_experiments():
    asked = load(TradeoffConfiguration, preset="pilot")
    assert len(asked.designs()) == 16
    assert {d.experiment for d in asked.designs()} == {"grid"}
    both = load(
        TradeoffConfiguration,
        preset="smoke",
        overrides=["grid.n_molecules=[4,12]", "grid.n_conformers=[2,6]"],
    )
    cells = [d.cell for d in both.designs()]
    assert len(cells) == 8
    assert len(set(cells)) == 4
    with pytest.raises(ConfigurationError, match=r"grid\.n_conformers needs at least two"):
        load(TradeoffConfiguration, preset="pilot", overrides=["grid.n_conformers=[4]"])


@pytest.mark.slow
def test_a_tiny_pilot_runs_and_is_advised_on(run_breadth, tmp_path):
    run_breadth(
        *("study", "tradeoff", "--preset", "smoke", "--out", tmp_path / "pilot"),
        *("--set", "fixed_budget=null", "fixed_molecules=null", "training.n_updates=12"),
        *("grid.n_molecules=[2,4,8]", "grid.n_conformers=[1,2,4]", "pool.n_molecules=20"),
    )
    assert (tmp_path / "pilot" / "figures" / "error_surface.png").exists()
    found = run_breadth("advise", tmp_path / "pilot", "--budget", 64, "--json")
    assert json.loads(found.stdout)["n_molecules"] >= 2
