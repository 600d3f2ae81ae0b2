import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from breadth.diversity.errors import BreadthError, ConfigurationError, DataError
from breadth.training import POTENTIALS, TrainingConfig, fit, predict
from breadth.training.batches import FrameStore
from breadth.training.optimizer import StepState, rates
from breadth.training.preparing import prepare
from breadth.training.stacks import Member, fit_stack
from breadth.training.stacks.memory import MOST, stack_size, update_bytes
from breadth.training.stacks.state import StackState, StackTensors
from breadth.training.stacks.updates import StackFrames, StackUpdates, stacked_step
from breadth.training.updates.step import pure_step, rest_of

SMALL = {"name": "painn", "n_features": 8, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
SMALLEST = {**SMALL, "n_layers": 1}
QUICK = TrainingConfig(n_updates=12, batch_size=4, device="cpu")
#: Of several sizes, one of them smaller than a batch.
MEMBERS = (Member(np.arange(0, 36, 2), 1), Member(np.arange(36), 2), Member(np.array([3, 14]), 1))


def weights(result):
    return {k: v.clone() for k, v in result.potential.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def stack(data, members=MEMBERS, config=QUICK, **options):
    return fit_stack(SMALL, data, members, level="springs", config=config, **options)


def alone(data, member, config=QUICK, potential=SMALL, **options):
    return fit(
        potential, data, level="springs", train=member.train, validation=member.validation,
        seed=member.seed, config=config, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def absurd(toy):
    """The toy world with one frame, 35, whose energy no float32 can hold."""
    labels = toy.labels()
    energy = labels.energy.copy()
    energy[35] = 1e60
    return toy.with_level("springs", replace(labels, energy=energy))


# -- a model in a stack is the model alone ----------------------------------------------------


@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_a_member_is_the_model_alone(toy, name):
    potential = {"name": name, "n_features": 8, "cutoff": 6.0}
    result = fit_stack(potential, toy, MEMBERS[:2], level="springs", config=QUICK)
    assert result.faults == {}
    for member, found in zip(MEMBERS, result.results, strict=False):
        expected = alone(toy, member, potential=potential)
        assert found.updates == expected.updates == 12
        # In float32, whose sums run in another order; Adam divides small gradients by themselves.
        for key in ("loss", "learning_rate"):
            np.testing.assert_allclose(found.history[key], expected.history[key], rtol=1e-3)
        a, b = predict(found.potential, toy), predict(expected.potential, toy)
        np.testing.assert_allclose(a.forces, b.forces, atol=1e-3)
        np.testing.assert_allclose(a.energy, b.energy, atol=1e-3)
        for name_, buffer in expected.potential.named_buffers():
            assert torch.equal(buffer, found.potential.get_buffer(name_)), name_


def test_after_hundreds_of_updates_too(toy):
    config = TrainingConfig(n_updates=200, batch_size=4, learning_rate=5e-3, device="cpu")
    result = fit_stack(SMALLEST, toy, MEMBERS[:2], level="springs", config=config)
    for member, found in zip(MEMBERS, result.results, strict=False):
        expected = alone(toy, member, config, SMALLEST)
        loss = expected.history["loss"]
        assert loss[-20:].mean() < 0.9 * loss[:20].mean()
        a, b = predict(found.potential, toy), predict(expected.potential, toy)
        np.testing.assert_allclose(a.forces, b.forces, atol=1e-5)
        error = [np.abs(x.forces - toy.labels().forces).mean() for x in (a, b)]
        assert error[0] == pytest.approx(error[1], rel=1e-5)


def test_in_double_precision_hundreds_of_updates_agree_to_nine_digits(toy):
    config = TrainingConfig(n_updates=200, batch_size=4, learning_rate=1e-3, device="cpu")
    ready, rows, frames = begun(toy, potential=SMALLEST, config=config)
    for r in ready:
        r.potential.double()
    frames.store = in_double(toy, np.unique(np.concatenate(rows)))
    run = StackState([r.potential for r in ready], config)
    first = run.state.weights.clone()
    updates = StackUpdates(run, frames, "springs")
    states = [StepState(*(x[k] for x in run.state[:4])) for k in range(2)]
    for until, tolerance in ((10, 1e-13), (200, 1e-9)):
        begin = run.update
        updates.advance(until)
        for k, (r, own) in enumerate(zip(ready, rows, strict=True)):
            step, rest, store = (
                pure_step(r.potential, "springs", config), rest_of(r.potential), in_double(toy, own)
            )  # fmt: skip
            for u in range(begin, until):
                batch, targets = store.labelled(r.tasks[0][1].order.batch(u))
                states[k], _ = step(states[k], rest, batch, targets, rates(config, u))
            assert (states[k].weights - first[k]).abs().max() > 1e-3
            for mine, theirs in zip(run.state, states[k], strict=False):
                torch.testing.assert_close(mine[k], theirs, rtol=0, atol=tolerance)


def in_double(data, rows):
    return FrameStore(data, rows, level="springs", dtype=torch.float64)


def begun(data, members=MEMBERS[:2], potential=SMALL, config=QUICK):
    """Return what a stack begins with: models made ready, their conformers and their frames."""
    ready = [
        prepare(potential, data, level="springs", train=m.train, config=config, seed=m.seed)
        for m in members
    ]
    rows = [r.tasks[0][1].rows for r in ready]
    return ready, rows, StackFrames(data, "springs", rows, ready, torch.device("cpu"))


def test_structures_of_several_sizes(make_toy):
    data = make_toy(n_molecules=5)
    members = [Member(np.arange(0, 24), 0), Member(np.arange(24, 60), 1)]
    for member, found in zip(members, stack(data, members).results, strict=True):
        expected = alone(data, member)
        np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-3)


def test_same_bits_in_any_record_order_and_the_global_generator_is_left_alone(toy):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = stack(toy)
    assert torch.equal(before, torch.get_rng_state())
    order = np.random.default_rng(0).permutation(len(toy))
    moved = [Member(np.flatnonzero(np.isin(order, m.train)), m.seed) for m in MEMBERS]
    again = stack(toy.select(order), moved)
    for a, b in zip(first.results, again.results, strict=True):
        assert_same(weights(a), weights(b))


# -- a member that diverges ---------------------------------------------------------------------


def test_a_diverging_member_is_told_as_if_it_were_alone(absurd):
    members = [Member(np.arange(12), 0), Member(np.arange(24, 36), 0), Member(np.arange(24), 1)]
    result = stack(absurd, members)
    with pytest.raises(BreadthError) as raised:
        alone(absurd, members[1])
    assert result.faults == {1: str(raised.value)}
    assert [r.updates for r in result.results] == [12, 0, 12]
    frozen = result.results[1].potential
    start = prepare(
        SMALL, absurd, level="springs", train=members[1].train, config=QUICK, seed=0
    ).potential
    for name, parameter in start.named_parameters():
        assert torch.equal(parameter, frozen.get_parameter(name)), name


@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_neighbours_of_a_diverging_member_keep_their_bits(toy, name):
    potential = {"name": name, "n_features": 8, "cutoff": 6.0}

    def run(poison):
        ready, _, frames = begun(toy, MEMBERS, potential)
        state = StackState([r.potential for r in ready], QUICK)
        updates = StackUpdates(state, frames, "springs")
        updates.advance(5)
        if poison is not None:
            state.state.weights[1] = poison
        updates.advance(12)
        return state

    sound = run(None)
    for poison in (float("nan"), 1e30):
        ill = run(poison)
        assert ill.state.moving.tolist() == [True, False, True]
        results, faults = ill.result()
        assert list(faults) == [1]
        assert "update 6 of 12" in faults[1]
        assert results[1].updates == 5
        for mine, theirs in zip(ill.state, sound.state, strict=True):
            assert torch.equal(mine[[0, 2]], theirs[[0, 2]])
        assert torch.equal(ill.losses[:, [0, 2]], sound.losses[:, [0, 2]])


def test_weights_that_become_infinite_are_not_taken_over(toy):
    def step(state, rest, batch, targets, now):
        return StepState(*(x * now for x in state)), state.weights.sum()

    ones = torch.ones(2, 3)
    large = ones * torch.tensor([[1.0], [1e38]])
    before = StackTensors(large, ones, ones, ones, torch.tensor([True, True]), torch.tensor([7, 7]))
    batch, targets = FrameStore(toy, level="springs").labelled(np.arange(2))
    after, losses = stacked_step(step)(before, {}, batch, targets, torch.tensor(4.0))
    assert torch.isfinite(losses).all()
    assert after.moving.tolist() == [True, False]
    assert after.done.tolist() == [8, 7]
    assert torch.equal(after.weights, large * torch.tensor([[4.0], [1.0]]))
    assert torch.equal(after.mean, ones * torch.tensor([[4.0], [1.0]]))


# -- what stands beside -------------------------------------------------------------------------


def test_monitor_validation_and_progress(toy):
    members = [*(replace(m, validation=np.array([5, 6, 20])) for m in MEMBERS[1:]), MEMBERS[0]]
    config = QUICK.model_copy(update={"validate_every": 5})
    calls, seen = [], []

    def monitor(member, update, potential):
        calls.append((member, update))
        return {"forces": float(np.abs(predict(potential, toy).forces).mean())}

    result = stack(
        toy, members, config, monitor=monitor, monitor_at=(3, 12),
        progress=lambda *told: seen.append(told),
    )  # fmt: skip
    assert calls == [(k, u) for u in (3, 12) for k in range(3)]
    assert [told[:2] for told in seen] == [(u, 12) for u in range(1, 13)]
    losses = [r.history["loss"] for r in result.results]
    np.testing.assert_allclose([told[2] for told in seen], np.mean(losses, 0), rtol=1e-6)
    for member, found in zip(members, result.results, strict=True):
        expected = alone(toy, member, config)
        watched = [] if member.validation is None else [5, 10, 12]
        assert found.history["validation_update"].tolist() == watched
        np.testing.assert_allclose(
            found.history["validation_loss"], expected.history["validation_loss"], rtol=1e-3
        )
        assert found.history["forces"].shape == (2,)


def test_members_stop_early_each_by_itself(toy):
    config = TrainingConfig(
        n_updates=120, batch_size=4, patience=1, validate_every=5, learning_rate=0.05,
        schedule="constant", device="cpu",
    )  # fmt: skip
    held = np.arange(1, 30, 3)
    members = [Member(np.arange(0, 30, 3), s, held) for s in range(3)]
    result = stack(toy, members, config)
    assert result.faults == {}
    for found in result.results:
        losses = found.history["validation_loss"]
        assert found.updates < 120
        assert found.updates == found.history["validation_update"][-1] == len(found.history["loss"])
        assert losses[-1] > losses.min()
        # The best weights are kept: their loss is the lowest that was seen.
        again = prepare(
            SMALL, toy, level="springs", train=members[0].train, validation=held, config=config
        ).held.mean_loss(found.potential)
        assert again == pytest.approx(losses.min(), rel=1e-6)
    assert len({found.updates for found in result.results}) > 1


SCRIPT = """
import sys, time, torch
sys.path[:0] = {paths!r}
torch.set_num_threads(1)
from conftest import make_set
from test_stacks import killed_stack
def slowly(update, total, loss):
    print(update, flush=True)
    time.sleep(0.005)
killed_stack({directory!r}, progress=slowly)
"""


def killed_stack(directory=None, **options):
    from conftest import make_set

    data = make_set()
    labels = data.labels()
    energy = labels.energy.copy()
    energy[35] = 1e60
    data = data.with_level("springs", replace(labels, energy=energy))
    held = np.arange(4)
    members = [
        Member(np.arange(20), 0, held), Member(np.arange(24, 36), 1, held),
        Member(np.arange(4, 24), 2, held),
    ]  # fmt: skip
    config = TrainingConfig(
        n_updates=40, batch_size=4, checkpoint_every=7, validate_every=10, device="cpu"
    )
    return stack(
        data, members, config, directory=directory, monitor_at=(5, 30),
        monitor=lambda member, update, potential: {"member": member}, **options,
    )  # fmt: skip


def test_killed_and_resumed_all_members_end_with_the_same_bits(tmp_path, monkeypatch):
    here = Path(__file__)
    monkeypatch.syspath_prepend(str(here.parent))
    paths = [str(here.parent), str(here.parents[2] / "src")]
    script = SCRIPT.format(paths=paths, directory=str(tmp_path / "run"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 24:
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    seen = []
    resumed = killed_stack(tmp_path / "run", progress=lambda u, n, x: seen.append(u))
    straight = killed_stack()
    assert seen[0] > 7, "nothing was resumed"
    assert seen[0] % 7 == 1
    assert resumed.faults == straight.faults
    assert list(straight.faults) == [1]
    for a, b in zip(resumed.results, straight.results, strict=True):
        assert_same(weights(a), weights(b))
        assert a.history.keys() == b.history.keys()
        for name, values in b.history.items():
            np.testing.assert_array_equal(a.history[name], values)
    # Once more: nothing is left to do.
    again = killed_stack(tmp_path / "run", progress=lambda *_: pytest.fail("it went on"))
    assert_same(weights(again.results[2]), weights(straight.results[2]))


# -- what is refused ----------------------------------------------------------------------------


def test_other_members_in_the_folder_are_refused(toy, tmp_path):
    stack(toy, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="another fit"):
        stack(toy, (*MEMBERS[:2], replace(MEMBERS[2], seed=9)), directory=tmp_path)
    with pytest.raises(ConfigurationError, match="another fit"):
        stack(toy, MEMBERS[::-1], directory=tmp_path)


def test_what_cannot_be_stacked_is_told(toy):
    with pytest.raises(ConfigurationError, match="at least one"):
        stack(toy, ())
    with pytest.raises(DataError, match="random cutoffs"):
        stack(toy, config=QUICK.model_copy(update={"random_cutoff": (4.0, 9.0)}))
    solid = replace(
        toy, pbc=np.ones((len(toy), 3), bool), cell=np.tile(9 * np.eye(3), (len(toy), 1, 1))
    )
    with pytest.raises(DataError, match="periodic"):
        stack(solid)
    with pytest.raises(DataError, match="no conformer"):
        stack(toy, [MEMBERS[0], Member(np.array([], dtype=int))])


def test_a_stack_that_does_not_fit_is_told(toy, monkeypatch):
    def advance(self, until):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(StackUpdates, "advance", advance)
    with pytest.raises(BreadthError, match="3 models at once do not fit in memory"):
        stack(toy)


# -- how many at once ---------------------------------------------------------------------------


def test_stacks_are_as_large_as_memory_allows():
    potential = {"name": "painn", "n_features": 16}
    each = update_bytes(potential, batch_size=16, n_atoms=12)
    assert update_bytes(potential, batch_size=16, n_atoms=24) > 2 * each
    assert update_bytes(potential, batch_size=32, n_atoms=12) > 1.8 * each
    sizes = {"batch_size": 16, "n_atoms": 12}
    assert stack_size(potential, **sizes, device="cpu") == 1
    asked = [stack_size(potential, **sizes, device="cuda", memory=m * each) for m in (1, 20, 10**6)]
    assert asked == [1, 6, MOST]
    assert stack_size(potential, batch_size=16, n_atoms=65, device="cuda", memory=2**40) == 1
    with pytest.raises(ConfigurationError, match="memory"):
        stack_size(potential, **sizes, device="cuda")
