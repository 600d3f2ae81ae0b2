"""Batches that do not fit in memory: a real limit, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from breadth.training import PriorTask, TrainingConfig, fit
from breadth.training.batches import FrameStore
from breadth.training.optimizer import Descent
from breadth.training.preparing import prepare
from breadth.training.splitting import Parts, out_of_memory
from breadth.training.state import TrainingState
from breadth.training.updates.eager import EagerUpdates

SMALL = {"name": "factorised_painn", "n_features": 16, "n_basis": 4}
CONFIG = TrainingConfig(n_updates=6, batch_size=7, device="cpu")


def updates(data, at_once, n_updates=3, **options):
    """Return losses and state after updates in parts of so many structures."""
    everything = np.arange(len(data))
    ready = prepare(SMALL, data, level="springs", train=everything, config=CONFIG, **options)
    state = TrainingState(ready.potential, CONFIG, ready.frozen)
    state.at_once = at_once
    return EagerUpdates(state, ready.tasks, 0, pytest.fail).advance(n_updates), state


@pytest.mark.parametrize("at_once", [1, 3, 4])
@pytest.mark.parametrize("conformational", [False, True])
def test_parts_have_the_loss_and_gradient_of_the_whole(toy, at_once, conformational):
    whole, a = updates(toy, None, conformational=conformational)
    parts, b = updates(toy, at_once, conformational=conformational)
    assert torch.allclose(whole, parts, rtol=1e-5)
    for one, other in zip(a.tensors[2:], b.tensors[2:], strict=True):
        assert not torch.equal(one, other), "nothing was split"
        assert (one - other).norm() < 1e-4 * one.norm()


@pytest.mark.parametrize("at_once", [2, 7])
def test_all_tasks_are_split(with_prior, at_once):
    data = with_prior()
    prior = PriorTask(level="soft", train=np.arange(12), weight=0.5)
    whole, a = updates(data, None, prior=prior)
    parts, b = updates(data, at_once, prior=prior)
    assert not torch.equal(a.first, b.first), "nothing was split"
    assert torch.allclose(whole, parts, rtol=1e-5)
    assert (a.first - b.first).norm() < 1e-4


def test_parts_as_large_as_a_batch_are_the_batch(toy):
    whole, _ = updates(toy, None)
    parts, _ = updates(toy, 7)
    assert torch.equal(whole, parts)


BEGIN = """
import json, resource, sys, warnings
import numpy as np, torch
sys.path[:0] = {paths!r}
torch.set_num_threads(1)
from conftest import make_set
from breadth.training import PriorTask, TrainingConfig, build_potential, fit, predict
from breadth.training.features import PotentialFeaturizer
from breadth.training.updates import compilation

# Every pair of atoms takes 40 kB in each of a dozen arrays, and there are few weights.
HUNGRY = {{"name": "schnet", "n_features": 8, "n_layers": 1, "n_basis": 10_000, "cutoff": 50.0}}

def allow(megabytes):
    lines = open("/proc/self/status").read().splitlines()
    now = next(int(line.split()[1]) for line in lines if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * now + 2**20 * megabytes, -1))
"""

LIMITED = """
compilation.BACKEND = "eager"  # captured, and not translated to C++

data = make_set(n_molecules=3)

def run(n_updates, batch_size, compile={form!r}, **options):
    config = TrainingConfig(
        n_updates=n_updates, batch_size=batch_size, compile=compile, device="cpu"
    )
    return fit(HUNGRY, data, level="springs", train=np.arange(len(data)), config=config, **options)

run(1, 1)  # code and threads that are loaded with the first update
allow({megabytes})
messages = []
found = run(2, {batch_size}, tell=messages.append, **{options!r})
resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
whole = run(2, {batch_size}, compile="never", validation={options!r}.get("validation"))
off = [
    float((a - b).abs().max())
    for a, b in zip(found.potential.parameters(), whole.potential.parameters(), strict=True)
]
print(json.dumps({{
    "messages": messages,
    "off": max(off),
    "losses": [found.history["loss"].tolist(), whole.history["loss"].tolist()],
    "validation": [x.history["validation_loss"].tolist() for x in (found, whole)],
}}))
"""


def limited(megabytes, batch_size, form="auto", **options):
    return alone(LIMITED, megabytes=megabytes, batch_size=batch_size, form=form, options=options)


def alone(what, **values):
    """Run a script in a process of its own."""
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[2] / "src")]
    script = BEGIN.format(paths=paths) + what.format(**values)
    # What is freed is given back, or a later array would by luck find room in it.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits data as Linux does")
def test_a_batch_that_does_not_fit_is_split_with_a_message(tmp_path):
    done = limited(16, 64, directory=str(tmp_path), validation=list(range(36)))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["messages"][0].startswith("Update 1: 64 structures of up to 4 atoms do not fit")
    sizes = [int(m.split(": ")[1].split()[0]) for m in told["messages"]]
    assert sizes == [64 // 2**i for i in range(len(sizes))]
    np.testing.assert_allclose(*told["losses"], rtol=1e-5)
    np.testing.assert_allclose(*told["validation"], rtol=1e-5)
    assert told["off"] < 1e-4
    # The checkpoint keeps the size, so that a resumed fit has the same bits.
    from breadth.training.checkpoints import load_state

    _, facts = load_state(tmp_path)
    assert facts["at_once"] == sizes[-1] // 2


@pytest.mark.parametrize("conformational", [False, True])
def test_parts_have_the_validation_loss_of_the_whole(toy, conformational):
    everything = np.arange(len(toy))
    ready = prepare(
        SMALL, toy, level="springs", train=everything, validation=everything, config=CONFIG,
        conformational=conformational,
    )  # fmt: skip
    whole = ready.held.mean_loss(ready.potential)
    assert ready.held.mean_loss(ready.potential, 5) == pytest.approx(whole, rel=1e-6)


def test_parts_have_one_cutoff(toy, monkeypatch):
    random = CONFIG.model_copy(update={"random_cutoff": (3.0, 5.0)})
    monkeypatch.setitem(globals(), "CONFIG", random)
    whole, a = updates(toy, None)
    parts, b = updates(toy, 3)
    assert torch.allclose(whole, parts, rtol=1e-5)
    one, other = a.first, b.first
    assert (one - other).norm() < 1e-4 * one.norm()


NAMED = """
small, large = np.arange(12), np.array([50])
data = make_set(n_molecules=5)
data = data.with_level("soft", data.labels("springs"))
told = []

def run(**options):
    config = TrainingConfig(n_updates=1, batch_size=1, device="cpu")
    try:
        fit(HUNGRY, data, level="springs", train=small, config=config, tell=told.append, **options)
    except Exception as error:
        told.append(f"{{type(error).__name__}}: {{error}}")

run()  # code and threads that are loaded with the first update
allow(2)
run()
allow(7)
run(prior=PriorTask(level="soft", train=large))
print(json.dumps(told))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits data as Linux does")
def test_a_structure_that_does_not_fit_by_itself_is_named():
    done = alone(NAMED)
    assert done.returncode == 0, done.stderr
    single, *both = json.loads(done.stdout.splitlines()[-1])
    assert single.startswith("BreadthError: Conformer ")
    assert ", 3 atoms) does not fit in memory by itself" in single
    # The two do not fit together; then each is tried by itself, and it is the prior's that fails.
    split, named = both
    assert split.startswith("Update 1: 2 structures of up to 7 atoms do not fit in memory together")
    assert named.startswith("BreadthError: Conformer 50 (id ")
    assert ", 7 atoms) does not fit in memory by itself" in named


PREDICTED = """
potential = build_potential(**HUNGRY, levels=["springs"])
data = make_set(n_molecules=3)
whole = predict(potential, data)
(features, _), = PotentialFeaturizer(potential).iter_features(data, 99)
allow(12)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    parts = predict(potential, data)
    (found, _), = PotentialFeaturizer(potential).iter_features(data, 99)
off = [np.abs(a - b).max() for a, b in (
    (whole.energy, parts.energy), (whole.forces, parts.forces), (features, found)
)]
scales = [np.abs(x).max() for x in (whole.forces, features)]
print(json.dumps({{
    "told": [str(w.message) for w in told],
    "off": [float(x) for x in off],
    "scales": [float(x) for x in scales],
}}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits data as Linux does")
def test_predictions_and_features_that_do_not_fit_are_split_with_a_warning():
    done = alone(PREDICTED)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["told"]) == 2, "each tells once"
    for message in found["told"]:
        assert message.startswith("36 structures of up to 5 atoms do not fit in memory together")
    assert max(found["off"]) < 1e-4
    assert min(found["scales"]) > 1e-2


def test_parts_are_halved_and_stay_small(toy):
    store = FrameStore(toy)
    sizes = []

    def compute(batch):
        sizes.append(len(batch.numbers))
        if len(batch.numbers) > 5:
            raise MemoryError
        return batch.numbers.sum(1)

    told = []
    parts = Parts(store, compute, 20, told.append)
    found = []
    for rows in (np.arange(12), np.arange(35, 11, -1)):
        for some, batch, sums in parts(rows):
            assert torch.equal(batch.numbers, store.batch(some).numbers)
            found += zip(some.tolist(), sums.tolist(), strict=True)
    assert sizes == [12, 6, 3, 3, 3, 3, *[3] * 8]
    assert found == [(i, int(toy.numbers[toy.atoms_slice(i)].sum())) for i, _ in found]
    assert [i for i, _ in found] == [*range(12), *range(35, 11, -1)]
    assert len(told) == 1
    assert "12 structures of up to 3 atoms" in told[0]
    assert "at most 3 " in told[0]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits data as Linux does")
def test_a_compiled_update_that_does_not_fit_goes_on_eagerly():
    done = limited(64, 64, form="always")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["messages"][0].startswith("The compiled update does not fit in memory (")
    assert told["messages"][1].startswith("Update 1: 64 structures")
    np.testing.assert_allclose(*told["losses"], rtol=1e-5)


def test_a_resumed_fit_goes_on_in_parts(toy, tmp_path):
    config = CONFIG.model_copy(update={"checkpoint_every": 2})
    train = np.arange(len(toy))
    ready = prepare(SMALL, toy, level="springs", train=train, config=config)
    state = TrainingState(ready.potential, config, ready.frozen)
    run = EagerUpdates(state, ready.tasks, 0, pytest.fail)
    losses = run.advance(1).tolist()
    state.at_once = 4  # what a second update that did not fit would have left
    losses += run.advance(3).tolist()
    state.losses[:3] = losses
    state.save(tmp_path, ready.fingerprint)
    losses += run.advance(6).tolist()
    resumed = fit(SMALL, toy, level="springs", train=train, config=config, directory=tmp_path)
    assert resumed.history["loss"].tolist() == losses
    assert torch.equal(state.mean, Descent(resumed.potential, config).flat(resumed.potential))


def test_other_errors_pass(toy):
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator") as real:
        torch.empty(2**52)
    assert out_of_memory(real.value)

    def fail(update, total, loss):
        raise RuntimeError("the callback's own")

    with pytest.raises(RuntimeError, match="the callback's own"):
        fit(
            SMALL, toy, level="springs", train=np.arange(4), config=CONFIG,
            progress=fail, tell=pytest.fail,
        )  # fmt: skip
