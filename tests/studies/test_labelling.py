"""`breadth label` and what pools and labels cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity import (
    ConfigurationError,
    ConformerSet,
    DataError,
    Labels,
    concat,
    read,
    write,
)
from breadth.sampling import Gfn1, Gfn2, Mmff94, Molecule, label_chunk, sample_geometries
from breadth.studies import costs, pricing
from breadth.studies.costs import CostModel, chunks, law, seconds, size
from breadth.studies.labelling import LabelConfiguration, label_set, plan_labels
from breadth.studies.plan import open_plan
from breadth.studies.pool import geometry_units, label_unit
from breadth.studies.pooling import PoolConfiguration, make_pool, plan_pool
from breadth.studies.units import Unit

SMILES = ["CCO", "CCCN", "CC=O", "OCC(O)CO"]


@pytest.fixture(scope="module")
def data():
    """Four molecules with MMFF94 labels, and one geometry twice."""
    found, _ = sample_geometries([Molecule(s, s) for s in SMILES], n_conformers=6, seed=2)
    found = found.with_level("mmff94", Mmff94()(found))
    return found.select([*range(len(found)), 3])


def test_a_subset_is_labelled_and_levels_stay(data, tmp_path: Path) -> None:
    asked = LabelConfiguration(engine="gfn1", subset=9, by="random")
    told = label_set(data, asked, tmp_path / "out")
    made = read(tmp_path / "out" / "labelled")
    assert made.id.tolist() == data.id.tolist()
    assert np.array_equal(made.labels("mmff94").energy, data.labels("mmff94").energy)
    labels = made.labels("gfn1")
    rows = np.flatnonzero(labels.has_forces)
    assert told["n_labelled"] == 9 == len(set(made.id[rows].tolist()))
    assert set(labels.reference_energies) == {1, 6, 7, 8}
    bare = replace(data, levels={})
    expected = label_chunk(bare.select(rows), Gfn1())
    assert np.array_equal(labels.select(rows, _atoms(made, rows)).forces, expected.forces)
    assert np.array_equal(labels.energy[rows], expected.energy)
    # What is there is not done again, and the rest can follow.
    rest = label_set(made, LabelConfiguration(engine="gfn1"), tmp_path / "rest")
    assert rest["n_labelled_before"] == 9
    whole = read(tmp_path / "rest" / "labelled").labels("gfn1")
    assert whole.has_forces.all()
    assert np.array_equal(whole.energy, label_chunk(bare, Gfn1()).energy)
    with pytest.raises(DataError, match=r"All 24 conformers .* have labels at level 'gfn1'"):
        label_set(
            read(tmp_path / "rest" / "labelled"),
            LabelConfiguration(engine="gfn1"),
            tmp_path / "none",
        )


def _atoms(conformers, rows):
    return np.concatenate(
        [np.arange(conformers.offsets[i], conformers.offsets[i + 1]) for i in rows]
    )


def test_failures_are_told_and_masked(data, tmp_path: Path) -> None:
    positions = data.positions.copy()
    positions[data.atoms_slice(0)][1] = positions[data.atoms_slice(0)][0] + 0.01
    broken = replace(data, positions=positions, levels={})
    told = label_set(broken, LabelConfiguration(engine="gfn1"), tmp_path / "out")
    assert told["n_failed"] == 1
    assert sum(told["failures"].values()) == 1
    (record,) = told["first_failures"]
    assert record == broken.id[0].decode()
    assert "atoms on top of each other" in told["first_failures"][record]
    labels = read(tmp_path / "out" / "labelled").labels("gfn1")
    assert np.flatnonzero(~labels.has_energy).tolist() == [0]


def test_crystals_get_stresses(tmp_path: Path) -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.6)
    crystal.rattle(0.05, seed=1)
    made = ConformerSet.from_ase([crystal])
    label_set(made, LabelConfiguration(engine="gfn1"), tmp_path / "out")
    labels = read(tmp_path / "out" / "labelled").labels("gfn1")
    assert labels.has_stress.tolist() == [True]
    assert np.array_equal(labels.stress, Gfn1()(replace(made, levels={})).stress)


def test_other_data_or_another_level_do_not_go_on(data, tmp_path: Path) -> None:
    label_set(data, LabelConfiguration(engine="uff", subset=2), tmp_path / "out")
    with pytest.raises(ConfigurationError, match="engine: 'uff' there, 'gfn1' asked"):
        label_set(data, LabelConfiguration(engine="gfn1", subset=2), tmp_path / "out")
    with pytest.raises(ConfigurationError, match="data: "):
        label_set(
            data.select([0, 1, 2]), LabelConfiguration(engine="uff", subset=2), tmp_path / "out"
        )
    with pytest.raises(ConfigurationError, match="no label engine 'dft'"):
        label_set(data, LabelConfiguration(engine="dft"), tmp_path / "other")


def test_killed_labelling_goes_on_with_the_same_labels(tmp_path: Path, run_breadth) -> None:
    big = Molecule("big", "CCCCCCCCCCCC(=O)OCCCCCCCC")
    found, _ = sample_geometries([big], n_conformers=24, seed=2)
    write(found, tmp_path / "data")
    out = tmp_path / "out"
    command = ["label", tmp_path / "data", "--engine", "gfn2", "--out", out, "--workers", "1"]
    script = Path(os.sys.executable).with_name("breadth")
    with subprocess.Popen([script, *map(str, command)], start_new_session=True) as process:
        while not list((out / "units").glob("labels-*")) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    kept = {path.name: path.stat().st_ino for path in (out / "units").glob("labels-*")}
    assert 0 < len(kept) < costs.FEWEST
    assert not (out / "labelled").exists()
    told = json.loads(run_breadth(*command, "--json").stdout)
    assert told["n_labelled"] == 24
    for name, number in kept.items():  # were not made again
        assert (out / "units" / name).stat().st_ino == number
    first, expected = read(out / "labelled").labels("gfn2"), label_chunk(found, Gfn2())
    assert np.array_equal(first.energy, expected.energy)
    assert np.array_equal(first.forces, expected.forces)


def test_dry_runs_tell_the_cost_and_write_nothing(data, tmp_path: Path, run_breadth) -> None:
    made = plan_labels(data, LabelConfiguration(engine="gfn2"), workers=2)
    assert made["labels"] == 24
    low, middle, high = (made["seconds_per_label"][k] for k in ("least", "median", "most"))
    assert 0 < low <= middle <= high
    assert made["core_hours"] * 3600 == pytest.approx(middle * 24, rel=0.6)
    pool = plan_pool(PoolConfiguration(n_molecules=5, n_conformers=4), workers=2)
    assert (pool["molecules"], pool["labels"]) == (5, 20)
    assert pool["core_hours"] > pool["label_core_hours"] > 0
    hot = PoolConfiguration(n_molecules=5, n_conformers=4, method="langevin", surface="gfn2")
    assert plan_pool(hot, workers=2)["geometry_core_hours"] > 5 * pool["geometry_core_hours"]
    write(data, tmp_path / "data")
    result = run_breadth(
        *("label", tmp_path / "data", "--engine", "gfn1", "--out", tmp_path / "out"),
        *("--subset", "5", "--by", "fps", "--dry-run", "--json"),
    )
    assert json.loads(result.stdout)["labels"] == 5
    assert not (tmp_path / "out").exists()


def test_laws_grow_and_know_basis_sets() -> None:
    water, phenol = np.array([8, 1, 1]), np.array([6] * 6 + [8] + [1] * 6)
    for level in ("gfn2", "mmff94", "b3lyp/6-31g*", "orca:b3lyp/def2-svp", "xtb:gfn2"):
        assert 0 < seconds(level, water) < seconds(level, phenol), level
    assert size("gfn2", water) == 10
    assert seconds("xtb:gfn2", water) > seconds("gfn2", water)
    assert law("orca:b3lyp/def2-svp") == law("b3lyp-d3bj/6-31g*")
    pytest.importorskip("pyscf")
    assert size("b3lyp/6-31g*", water) == 18  # cartesian d functions are not counted
    assert size("b3lyp/nothing-like-it", water) == 20


class Clocked:
    """An engine whose labels take what a function of the electrons says, by its own clock."""

    name = "clocked"

    def __init__(self, takes):
        self.takes, self.now = takes, 0.0

    def __call__(self, conformers):
        for i in range(len(conformers)):
            self.now += self.takes(conformers.numbers[conformers.atoms_slice(i)])
        there = np.ones(len(conformers), dtype=bool)
        return Labels(
            energy=np.zeros(len(conformers)),
            forces=np.zeros((conformers.n_atoms, 3)),
            has_energy=there,
            has_forces=there,
        )


def test_calibration_finds_a_power_law() -> None:
    engine = Clocked(lambda z: 2e-3 * seconds("b3lyp/6-31g*", z) ** 1.3)
    model = CostModel.calibrate("b3lyp/6-31g*", engine, clock=lambda: engine.now)
    large = np.array([6] * 10 + [1] * 22)
    assert model.power == pytest.approx(1.3)
    assert model.seconds(large) == pytest.approx(engine.takes(large), rel=1e-6)
    # Of an engine with a law of its own, only the machine is to be found out.
    engine = Clocked(lambda z: 3 * seconds("gfn2", z))
    model = CostModel.calibrate("gfn2", engine, clock=lambda: engine.now)
    assert model.power == 1.0
    assert model.seconds(large) == pytest.approx(3 * seconds("gfn2", large))
    # Dear probes end it early; one is enough.
    engine = Clocked(lambda z: 100.0)
    assert len(CostModel.calibrate("b3lyp/6-31g*", engine, clock=lambda: engine.now).measured) == 1


def test_an_engine_that_labels_no_probe_is_an_error() -> None:
    with pytest.raises(DataError, match="labels none of water"):
        CostModel.calibrate("broken", lambda c: Labels.empty(len(c), c.n_atoms))


@given(st.permutations(range(24)), st.booleans())
@settings(deadline=None, max_examples=20)
def test_chunks_hold_each_once_whatever_the_order(data, order, whole) -> None:
    unique = data.select(np.arange(24))
    found = chunks("gfn2", unique.select(list(order)), whole_molecules=whole)
    assert found == chunks("gfn2", unique, whole_molecules=whole)
    assert sorted(i for chunk in found for i in chunk) == sorted(unique.id.astype("U32").tolist())
    assert len(found) == (4 if whole else costs.FEWEST)


def test_chunks_are_of_like_cost(data, monkeypatch: pytest.MonkeyPatch) -> None:
    long = sample_geometries([Molecule("l", "CCCCCCCCCCCC")], n_conformers=40, seed=2)[0]
    mixed = concat([replace(data.select(np.arange(24)), levels={}), long])
    price = {
        name: seconds("gfn2", mixed.numbers[mixed.atoms_slice(i)])
        for i, name in enumerate(mixed.id.astype("U32").tolist())
    }
    monkeypatch.setattr(costs, "CHUNK", 0.05)
    loads = [sum(price[i] for i in chunk) for chunk in chunks("gfn2", mixed)]
    assert len(loads) > costs.FEWEST
    piece = sum(loads) / (8 * len(loads))
    assert max(loads) - min(loads) <= max(piece, *price.values()) + 1e-12


def test_units_of_cheap_levels_are_what_they_were(data) -> None:
    made = replace(data.select(np.arange(24)), levels={})
    home = geometry_units([Molecule("a", "CCO")], n_conformers=2, settings=_plain(), seed=0)[0]
    assert home.kind == "geometries"
    units, told = pricing.label_units([home], [made], engine="gfn2", prior="mmff94")
    ids = made.id.astype("U32").tolist()
    assert [u.key for u in units] == [label_unit(home, ids, engine="gfn2", prior="mmff94").key]
    assert told[units[0].key] == pytest.approx(costs.set_seconds("gfn2", made))
    dear, told = pricing.label_units(
        [home, home], [concat([made] * 1), None], engine="b3lyp/def2-tzvpp", prior=None
    )
    assert len(dear) >= costs.FEWEST
    assert sorted(i for u in dear for i in u.parameters["ids"]) == sorted(ids)
    assert set(told) == {u.key for u in dear}


def _plain():
    return PoolConfiguration().settings()


def test_pools_of_other_methods_and_of_changed_molecules(tmp_path: Path) -> None:
    file = tmp_path / "mine.smi"
    file.write_text("CC(=O)[O-].[Na+] acetate\nCCCO propanol\n")
    asked = PoolConfiguration(
        molecules=file,
        n_molecules=2,
        n_conformers=3,
        method="nve",
        surface="mmff94",
        engine="mmff94",
        prior=None,
        dynamics={"equilibration": 5, "interval": 5},
    )
    told = make_pool(asked, tmp_path / "out")
    assert told["n_conformers"] == 6
    assert told["core_seconds"]["mmff94"] > 0
    assert told["changed_molecules"] == [
        {
            "name": "acetate",
            "written": "CC(=O)[O-].[Na+]",
            "sampled": "CC(=O)O",
            "changes": ["salt or solvate: [Na+] left out", "neutralised"],
        }
    ]
    pool = read(tmp_path / "out" / "pool")
    assert set(pool.source.tolist()) == {"nve dynamics"}
    assert (pool.trajectory >= 0).all()
    assert make_pool(asked, tmp_path / "out")["n_conformers"] == 6
    wrong = PoolConfiguration(method="nve", dynamics={"interval": 0.1})
    with pytest.raises(ConfigurationError, match="interval"):
        make_pool(wrong, tmp_path / "other")


def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps molsets"):
        make_pool(PoolConfiguration(molecules="moses"), tmp_path / "out")


def test_plans_go_on_where_keys_came_later(tmp_path: Path) -> None:
    asked = PoolConfiguration(n_molecules=3)
    open_plan(tmp_path, "pool", asked, molecules="x")
    plan = json.loads((tmp_path / "plan.json").read_text())
    for key in ("dynamics", "torsions", "stretching", "surface"):
        del plan["configuration"][key]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    open_plan(tmp_path, "pool", asked, molecules="x")
    other = PoolConfiguration(n_molecules=3, dynamics={"interval": 10})
    with pytest.raises(ConfigurationError, match=r"dynamics\.interval"):
        open_plan(tmp_path, "pool", other, molecules="x")
    plan["configuration"]["colour"] = "red"
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigurationError, match="colour"):
        open_plan(tmp_path, "pool", asked, molecules="x")


def test_keys_of_units_of_earlier_studies_stay() -> None:
    made = geometry_units([Molecule("a", "CCO")], n_conformers=2, settings=_plain(), seed=0)
    expected = Unit(
        "geometries",
        1,
        {
            "molecules": [["a", "CCO"]],
            "n_conformers": 2,
            "settings": {
                "method": "normal_modes",
                "temperature": 500.0,
                "sigma": 0.05,
                "softest": 200.0,
                "n_embeddings": 10,
                "max_minima": 5,
                "window": 0.4,
                "separation": 0.3,
            },
        },
    )
    assert [u.key for u in made] == [expected.key]
