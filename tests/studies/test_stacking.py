"""Fits that a study trains at once: which go together, and that nothing else changes."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import xarray as xr

from breadth.analysis import measure_errors
from breadth.diversity import BreadthError, ConfigurationError, ConformerSet, write
from breadth.diversity.tables import Labels, Molecules
from breadth.studies.configuration import load
from breadth.studies.executor import GPU_KINDS, run_unit, run_units
from breadth.studies.models import divergence, fit_unit, predictions_unit, read_predictions
from breadth.studies.plan import open_plan
from breadth.studies.pool import selection_unit
from breadth.studies.predictions import Evaluation, gather_predictions
from breadth.studies.report.making import _updates
from breadth.studies.specs import DesignSpec
from breadth.studies.stacking import in_stacks, planned_stack
from breadth.studies.store import Store
from breadth.studies.tradeoff import TradeoffConfiguration, run_tradeoff
from breadth.studies.tradeoff.diverged import diverged_models, with_diverged
from breadth.studies.tradeoff.fits import fit_seconds, training_curves
from breadth.studies.tradeoff.run import estimate
from breadth.studies.units import Unit
from breadth.training import TrainingConfig

TRAINING = TrainingConfig(n_updates=30, batch_size=4, checkpoint_every=4, device="cpu")
POTENTIAL = {"name": "factorised_painn", "n_features": 8, "n_layers": 1}
#: The last conformer's energy is more than any float32 holds.
N, ABSURD = 30, 29


def springs():
    """Return triangles whose atoms attract each other, E = Σ (r − 1)² in eV."""
    rng = np.random.default_rng(0)
    x = np.array([[0, 0, 0], [1.1, 0, 0], [0.4, 0.9, 0]]) + 0.1 * rng.normal(size=(N, 3, 3))
    apart = x[:, :, None] - x[:, None]
    r = np.linalg.norm(apart, axis=-1) + np.eye(3)
    forces = -2 * ((1 - 1 / r)[..., None] * apart).sum(2)
    energy = ((r - 1) ** 2).sum((1, 2)) / 2 - 100.0
    energy[ABSURD] = 1e60
    return ConformerSet(
        molecules=Molecules(key=np.array(["a"])),
        molecule=np.zeros(N, dtype=int),
        numbers=np.tile([8, 1, 1], N),
        positions=x.reshape(-1, 3),
        offsets=np.arange(0, 3 * N + 1, 3),
        levels={"springs": Labels(energy=energy, forces=forces.reshape(-1, 3),
                                  reference_energies={1: -10.0, 8: -80.0})},
    )  # fmt: skip


@pytest.fixture(scope="module")
def pool():
    return springs()


class Study:
    """A store with a pool, and the units of fits on it, as a study plans them."""

    def __init__(self, root, pool):
        self.store, self.pool = Store(root), Unit("pool", 1)
        with self.store.writing(self.pool) as folder:
            write(pool, folder / "set")
        self.ids = pool.id.astype("U32")
        self.monitor, self.test = self.selection(range(3)), self.selection(range(20, 25))

    def selection(self, rows):
        unit = selection_unit(self.ids[list(rows)].tolist())
        run_unit(self.store.root, unit)
        return unit

    def fit(self, rows, seed=0, **changes):
        return fit_unit(
            pool=self.pool, train=self.selection(rows), monitor=self.monitor, potential=POTENTIAL,
            training=TRAINING.model_copy(update=changes), level="springs", threads=1, seed=seed,
        )  # fmt: skip

    def predictions(self, fit):
        return predictions_unit(fit=fit, pool=self.pool, test=self.test, threads=1)

    def run(self, *units):
        with ThreadPoolExecutor(1) as executor:
            run_units(self.store, units, executor)


@pytest.fixture
def study(tmp_path, pool):
    return Study(tmp_path / "study", pool)


# -- which go together --------------------------------------------------------------------------


def test_with_one_at_a_time_nothing_changes(study):
    fits = [study.fit(range(8), seed) for seed in (0, 1)]
    assert in_stacks(fits, 1) == (fits, [])


def test_fits_of_one_shape_go_together_in_the_plans_order(study):
    long = [study.fit(range(8 + k), k) for k in range(5)]
    short = [study.fit(range(8 + k), k, n_updates=7) for k in range(2)]
    alone = study.fit(range(9), 4, n_updates=3)
    fits = [long[0], short[0], *long[1:], alone, short[1], long[0]]
    models, stacks = in_stacks(fits, 4)
    # Five models in stacks of four are three and two; what has no equal is a fit as ever.
    assert [len(stack.parameters["seeds"]) for stack in stacks] == [3, 2, 2]
    assert models[6] == alone
    assert models[0] == models[-1], "one fit that two designs share is one model"
    assert [m.parameters["member"] for m in models[:6]] == [0, 0, 1, 2, 0, 1]
    for model, fit in zip(models, fits, strict=True):
        assert model.seed == fit.seed
        assert model.inputs.items() >= fit.inputs.items()
        if "member" in model.parameters:
            stack = next(s for s in stacks if s.key == model.inputs["stack"])
            place = model.parameters["member"]
            assert stack.parameters["seeds"][place] == fit.seed
            assert stack.inputs[f"train/{place:03d}"] == fit.inputs["train"]
            assert stack.parameters["training"] == fit.parameters["training"]
    assert in_stacks(fits, 4) == (models, stacks)
    assert fit_seconds(stacks[0]) == pytest.approx(3 * fit_seconds(long[0]))
    counted = {unit.key: _updates(unit.parameters) for unit in (*models, *stacks)}
    assert sum(counted.values()) == 5 * 30 + 2 * 7 + 3, "the report counts each model once"
    assert "stack" in GPU_KINDS


# -- what comes out -----------------------------------------------------------------------------


def test_models_of_a_stack_are_those_fitted_alone(study):
    fits = [study.fit(range(8), 0), study.fit(range(4, 18), 1)]
    models, stacks = in_stacks(fits, 2)
    both = [*fits, *models]
    study.run(*both, *stacks, *map(study.predictions, both))
    for fit, model in zip(fits, models, strict=True):
        one, other = (read_predictions(study.store, study.predictions(u).key) for u in (fit, model))
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1], other[1], atol=1e-4)
        np.testing.assert_allclose(one[2], other[2], atol=1e-4)
        with (
            xr.open_dataset(study.store.folder(fit.key) / "curve.nc") as a,
            xr.open_dataset(study.store.folder(model.key) / "curve.nc") as b,
        ):
            xr.testing.assert_allclose(a, b, rtol=1e-3)


@pytest.mark.parametrize("size", [1, 3])
def test_a_model_that_diverges_is_told_and_the_study_goes_on_without_it(study, size):
    fits = [study.fit(range(8), 0), study.fit(range(22, N), 0), study.fit(range(10), 1)]
    models, stacks = in_stacks(fits, size)
    assert len(stacks) == (size > 1)
    predictions = [study.predictions(model) for model in models]
    study.run(*stacks, *models, *predictions)
    assert [divergence(study.store, unit.key) is None for unit in predictions] == [
        True,
        False,
        True,
    ]
    assert divergence(study.store, models[1].key) == (
        "Training diverged: the loss is inf at update 1 of 30. Lower `learning_rate` (now 0.006), "
        "or look for absurd labels in the training set."
    )
    assert not (study.store.root / "partial").exists() or not any(
        (study.store.root / "partial").iterdir()
    ), "it is finished: begun again it would diverge again"
    designs = [DesignSpec("fixed_budget", 1, c) for c in (8, 10)]
    ids = tuple(study.ids[20:25])
    found = [
        (Evaluation(unit.key, designs[d], r, 1.0, {"unseen_molecules": ids}), model)
        for unit, model, (d, r) in zip(predictions, models, ((0, 0), (0, 1), (1, 0)), strict=True)
    ]
    gathered = gather_predictions(
        study.store, springs(), [one for one, _ in found], designs, level="springs", prior=None
    )
    np.testing.assert_array_equal(gathered["model_of"], [[0, -1], [1, -1]])
    diverged = diverged_models(study.store, found)
    results = with_diverged(measure_errors(gathered), diverged, designs)
    np.testing.assert_array_equal(results["diverged"], [[False, True], [False, False]])
    np.testing.assert_array_equal(
        np.isfinite(results["force_mae"].isel(test_set=0)), [[True, False], [True, False]]
    )
    assert results.attrs["n_diverged"] == 1
    first, named = json.loads(results.attrs["warnings"])
    assert first.startswith("Models that diverged: 1.")
    assert named.startswith("1 × 8, replicate 1: Training diverged: the loss is inf at update 1")
    assert training_curves(study.store, found).sizes["model"] == 2
    with pytest.raises(BreadthError, match=r"All 1 models diverged.*1 × 8, replicate 1"):
        diverged_models(study.store, found[1:2])


def test_neighbours_of_a_member_that_diverges_keep_their_bits(study):
    fits = [study.fit(range(8), 0), study.fit(range(22, N), 0), study.fit(range(10), 1)]
    models, stacks = in_stacks(fits, 3)
    predictions = [study.predictions(model) for model in models]
    study.run(*stacks, *models, *predictions)
    sound = Study(study.store.root.parent / "sound", springs())
    fits[1] = sound.fit(range(8, 16), 0)
    others, again = in_stacks([sound.fit(range(8), 0), fits[1], sound.fit(range(10), 1)], 3)
    sound.run(*again, *others, *map(sound.predictions, others))
    for k in (0, 2):
        one = read_predictions(study.store, predictions[k].key)
        other = read_predictions(sound.store, sound.predictions(others[k]).key)
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[2], other[2])


def test_killed_within_a_stack_it_ends_with_the_same_bits(tmp_path, pool):
    studies = [Study(tmp_path / name, pool) for name in ("whole", "torn")]
    for study in studies:
        fits = [study.fit(range(8), 0, n_updates=80), study.fit(range(12), 1, n_updates=80)]
        models, stacks = in_stacks(fits, 2)
        state = study.store.partial(stacks[0]) / "state.safetensors"
        if study is studies[1]:
            child = os.fork()
            if child == 0:
                run_unit(study.store.root, stacks[0])
                os._exit(0)
            deadline = time.monotonic() + 60
            while not state.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
            os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            assert state.exists()
            assert not study.store.has(stacks[0])
        study.run(*stacks, *models)
        assert not state.exists()
    for model in models:
        for name in ("potential/weights.safetensors", "curve.nc"):
            one, other = (study.store.folder(model.key) / name for study in studies)
            if name.endswith(".nc"):
                with xr.open_dataset(one) as a, xr.open_dataset(other) as b:
                    xr.testing.assert_identical(a, b)
            else:
                assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_study_in_stacks_finds_the_same_errors(smoke, tmp_path, run_breadth):
    alone, _ = smoke
    out = tmp_path / "stacks"
    run_breadth("study", "tradeoff", "--preset", "smoke", "--out", out, "--set", "stack=2")
    assert json.loads((out / "plan.json").read_text())["configuration"]["stack"] == 2
    assert len(list(out.glob("units/stack-*"))) == 6
    assert not list(out.glob("units/fit-*"))
    with xr.open_dataset(alone / "results.nc") as a, xr.open_dataset(out / "results.nc") as b:
        assert set(a.variables) == set(b.variables)
        for name in ("force_mae", "energy_mae_per_atom", "conformational_energy_mae"):
            np.testing.assert_allclose(a[name], b[name], rtol=0.01)


# -- the plan -----------------------------------------------------------------------------------


def planned(out, asked="auto", workers=1, **training):
    config = TrainingConfig(**training)
    return planned_stack(asked, out, potential=POTENTIAL, training=config, heavy=8, workers=workers)


def test_auto_is_fixed_when_the_plan_is_made(tmp_path, monkeypatch):
    assert planned(None) == planned(None, 1) == "auto", "one at a time, where no GPU is"
    assert planned(None, 3) == 3
    smoke = load(TradeoffConfiguration, preset="smoke")
    assert smoke.models_at_once == 1
    assert estimate(smoke, workers=1)["models_at_once"] == 1
    open_plan(tmp_path, "tradeoff", smoke)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**28, 2**30))
    count = planned(None)
    assert count > 2
    # Workers share what is free.
    assert planned(None, workers=2) == count // 2
    assert planned(None, workers=count) == "auto"
    assert planned(None, 3, workers=count) == 3
    assert planned(None, device="cpu") == "auto"
    assert planned(None, random_cutoff=(4.0, 6.0)) == "auto"
    # A folder made without a GPU goes on one at a time, one made with it in as large stacks.
    assert planned(tmp_path) == "auto"
    with_gpu = tmp_path / "with"
    with_gpu.mkdir()
    open_plan(with_gpu, "tradeoff", smoke.model_copy(update={"stack": count}))
    assert planned(with_gpu, workers=4) == count
    monkeypatch.undo()
    assert planned(with_gpu) == count


def test_plans_of_older_runs_go_on(tmp_path):
    smoke = load(TradeoffConfiguration, preset="smoke")
    open_plan(tmp_path, "tradeoff", smoke)
    plan = json.loads((tmp_path / "plan.json").read_text())
    del plan["configuration"]["stack"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert planned(tmp_path) == "auto"
    open_plan(tmp_path, "tradeoff", smoke)
    with pytest.raises(ConfigurationError, match="stack: 'auto' there, 2 asked"):
        open_plan(tmp_path, "tradeoff", smoke.model_copy(update={"stack": 2}))


def test_another_number_is_refused_by_both_numbers(tmp_path):
    smoke = load(TradeoffConfiguration, preset="smoke")
    open_plan(tmp_path, "tradeoff", smoke.model_copy(update={"stack": 3}))
    for asked in (1, 2):
        stack = planned(tmp_path, asked)
        with pytest.raises(ConfigurationError, match=f"stack: 3 there, {asked} asked"):
            open_plan(tmp_path, "tradeoff", smoke.model_copy(update={"stack": stack}))
    open_plan(tmp_path, "tradeoff", smoke.model_copy(update={"stack": planned(tmp_path)}))


def test_what_cannot_be_stacked_is_refused_before_any_work(tmp_path):
    out = tmp_path / "none"
    for override, told in (
        ("hold_outs.largest_trained=21", "65 atoms"),
        ("training.random_cutoff=[4.0, 6.0]", "random cutoffs"),
    ):
        asked = load(TradeoffConfiguration, preset="smoke", overrides=["stack=2", override])
        with pytest.raises(ConfigurationError, match=told):
            run_tradeoff(asked, out)
    assert not out.exists()
    for wrong in ("0", "many"):
        with pytest.raises(ConfigurationError, match="stack"):
            load(TradeoffConfiguration, preset="smoke", overrides=[f"stack={wrong}"])
