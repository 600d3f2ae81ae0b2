"""The compiled form of a fit. Most tests capture graphs and leave out their translation to C++."""

import numpy as np
import pytest
import torch

from breadth.diversity.errors import BreadthError
from breadth.training import POTENTIALS, PriorTask, TrainingConfig, fit
from breadth.training.configuration import learning_rate
from breadth.training.preparing import prepare
from breadth.training.state import TrainingState
from breadth.training.updates import compilation as form
from breadth.training.updates import eager
from breadth.training.updates.compilation import CompiledUpdates
from breadth.training.updates.eager import EagerUpdates
from breadth.training.updates.forms import batch_shapes, choose

from .conftest import make_set

SMALL = {"name": "schnet", "n_features": 8, "n_layers": 1, "n_basis": 4}
QUICK = TrainingConfig(n_updates=12, batch_size=4, device="cpu")
ALWAYS = QUICK.model_copy(update={"compile": "always"})


@pytest.fixture
def captured(monkeypatch):
    """Capture whole graphs, and compute them as they are."""
    monkeypatch.setattr(form, "BACKEND", "eager")


@pytest.fixture(scope="module")
def one():
    """One molecule: batches have one shape."""
    return make_set(n_molecules=1)


def run(data, config, potential=SMALL, train=None, **options):
    train = np.arange(len(data)) if train is None else train
    return fit(potential, data, level="springs", train=train, config=config, **options)


def assert_same(a, b):
    a, b = a.potential.state_dict(), b.potential.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_forms_agree(data, potential, backend, n_updates=3, **options):
    """Make updates in both forms from equal weights; hold them to the module's docstring."""
    states, made = [], []
    for compiled in (False, True):
        ready = prepare(
            potential, data, level="springs", train=np.arange(len(data)), config=QUICK, **options
        )
        state = TrainingState(ready.potential, QUICK, ready.frozen)
        if compiled:
            task = ready.tasks[0][1]
            made.append(CompiledUpdates(state, task, ready.frozen, backend=backend))
        else:
            made.append(EagerUpdates(state, ready.tasks, 0, pytest.fail))
        states.append(state)
    a, b = states
    for update in range(n_updates):
        before = tensors(b)
        for mine, theirs in zip(tensors(a, copy=False), before, strict=True):
            mine.copy_(theirs)
        losses = [float(updates.advance(update + 1)) for updates in made]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        ours, theirs = tensors(a), tensors(b)
        # What a gradient g moves the first moment m by is a tenth of g − m.
        gradient = ours[2] - 0.9 * before[2]
        assert (ours[2] - theirs[2]).norm() < 1e-4 * gradient.norm()
        assert (ours[3] - theirs[3]).norm() < 2e-4 * ours[3].norm()
        # Adam's steps are as long as the rate, even where a gradient is nothing but rounding, such
        # as that of an offset that conformational energies do not see: few weights may differ.
        for i in (0, 1):
            off = (ours[i] - theirs[i]).square().mean().sqrt()
            assert off < 0.05 * learning_rate(QUICK, update)
    assert a.update == b.update == n_updates
    return states


def tensors(state, copy=True):
    """Return weights, mean and both moments."""
    return [x.clone() for x in state.tensors] if copy else list(state.tensors)


@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_the_functional_form_of_every_potential_agrees(make_toy, name, monkeypatch):
    # That it is one graph, the contract of the potentials tests.
    monkeypatch.setattr(form, "one_graph", lambda step, backend: step)
    data = make_toy(n_molecules=1)
    potential = {"name": name, "n_features": 8, "n_layers": 1, "cutoff": 4.0}
    assert_forms_agree(data, potential, "eager")


def test_a_captured_graph_agrees(make_toy):
    assert_forms_agree(make_toy(n_molecules=1), SMALL, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_every_potential_is_compiled(make_toy, name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    data = make_toy(n_molecules=1)
    potential = {"name": name, "n_features": 16, "n_layers": 2, "cutoff": 4.0}
    assert_forms_agree(data, potential, "inductor", n_updates=8)
    assert any(tmp_path.rglob("*.so")), "nothing was compiled"


def test_conformational_energies_and_frozen_weights_are_the_same_in_both_forms(toy):
    frozen = ("embedding.weight",)
    states = assert_forms_agree(toy, SMALL, "eager", conformational=True, frozen=frozen)
    before = prepare(SMALL, toy, level="springs", train=np.arange(len(toy)), config=QUICK)
    for state in states:
        kept = state.potential.embedding.weight
        assert torch.equal(kept, before.potential.embedding.weight)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_goes_on_half_way_with_the_same_bits(one, tmp_path, monkeypatch, backend):
    monkeypatch.setattr(form, "BACKEND", backend)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setitem(eager.LOOK, "cpu", 5)  # as on CUDA, several updates between looks
    options = {"validation": np.arange(4), "train": np.arange(4, len(one)), "monitor_at": (8,)}
    options["monitor"] = lambda update, potential: {"n": float(potential.training)}
    often = ALWAYS.model_copy(update={"checkpoint_every": 4, "validate_every": 3})
    seen = []

    def stop(update, total, loss):
        seen.append(update)
        if update == 7:
            raise KeyboardInterrupt

    folder = tmp_path / "fit"
    with pytest.raises(KeyboardInterrupt):
        run(one, often, directory=folder, progress=stop, **options)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    resumed = run(one, often, directory=folder, **options)
    straight = run(one, often, **options)
    assert_same(resumed, straight)
    for name, values in straight.history.items():
        np.testing.assert_array_equal(resumed.history[name], values)
    # The other form sees the same updates, and agrees.
    other = run(one, often.model_copy(update={"compile": "never"}), **options)
    assert other.history.keys() == straight.history.keys()
    for name, values in other.history.items():
        np.testing.assert_allclose(straight.history[name], values, rtol=1e-4)


def test_checkpoints_hold_the_same_tensors_in_both_forms(one, tmp_path, captured):
    from safetensors.torch import load_file

    shapes = []
    for name in ("always", "never"):
        run(one, QUICK.model_copy(update={"compile": name}), directory=tmp_path / name)
        tensors = load_file(tmp_path / name / "state.safetensors")
        shapes.append({k: (v.shape, v.dtype) for k, v in tensors.items()})
    assert shapes[0] == shapes[1]


def test_divergence_is_told_with_its_update(one, captured, monkeypatch):
    wild = ALWAYS.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    told = []
    for look in (1, 12):
        monkeypatch.setitem(eager.LOOK, "cpu", look)
        with pytest.raises(BreadthError, match="at update") as error:
            run(one, wild)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_without_a_compiler_a_fit_is_eager_and_says_so(toy):
    import torch._inductor.config as inductor

    told = []
    with inductor.patch({"cpp.cxx": ("/nowhere/g++",)}):
        found = run(toy, ALWAYS, tell=told.append)
    assert len(told) == 1
    assert "no C++ compiler" in told[0]
    assert_same(found, run(toy, QUICK))


def test_a_fit_begun_without_a_compiler_stays_eager_where_one_turns_up(one, tmp_path, monkeypatch):
    often = ALWAYS.model_copy(update={"checkpoint_every": 4})
    train = np.arange(len(one))

    def stop(update, total, loss):
        if update == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(form, "compiler_missing", lambda device: "there is no compiler")
    with pytest.raises(KeyboardInterrupt):
        run(one, often, directory=tmp_path, progress=stop, train=train, tell=lambda _: None)
    monkeypatch.undo()
    monkeypatch.setattr(form, "BACKEND", "eager")
    resumed = run(one, often, directory=tmp_path, train=train)
    assert_same(resumed, run(one, often.model_copy(update={"compile": "never"}), train=train))


def test_what_cannot_be_compiled_is_eager_and_says_so(with_prior):
    data = with_prior()
    told = []
    prior = PriorTask(level="soft", train=np.arange(len(data)))
    found = run(data, ALWAYS, prior=prior, tell=told.append)
    assert told == [
        "Compilation was asked for, but a prior or replay beside the main task is not compiled: "
        "the fit is eager."
    ]
    assert_same(found, run(data, QUICK, prior=prior, tell=pytest.fail))
    random = {"random_cutoff": (4.0, 6.0)}
    with pytest.warns(UserWarning, match="random cutoffs"):
        run(data, ALWAYS.model_copy(update=random))


def test_the_choice_weighs_the_fit_against_its_compilation():
    counts = np.full(100, 21)
    hyper = {"n_layers": 2}

    def chosen(device, n_updates=8000, compile="auto", **options):
        config = TrainingConfig(n_updates=n_updates, compile=compile)
        return choose(config, hyper, counts, device, **options)

    assert not chosen("cpu").compiled
    assert chosen("cpu", compile="always").compiled
    assert chosen("cuda", 100_000).compiled
    assert not chosen("cuda", 100).compiled
    assert not chosen("cuda", 100_000, compile="never").compiled
    assert not chosen("cuda", compile="always", obstacle="it is raining").compiled
    assert str(chosen("cuda", 100)).startswith("eager: 100 updates save about 1 s")


def test_batches_have_few_shapes():
    assert batch_shapes(np.full(50, 21)) == (21,)
    assert batch_shapes(np.array([20, 21])) == (21,)
    assert batch_shapes(np.arange(1, 61)) == (21, 41, 60)
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = rng.integers(1, 60, size=rng.integers(1, 40))
        shapes = batch_shapes(counts)
        assert 1 <= len(shapes) <= 3
        assert shapes[-1] == counts.max()
        assert (np.diff(shapes) > 0).all()


def test_plain_configurations_are_written_as_before_there_was_the_option():
    assert "compile" not in QUICK.model_dump()
    assert ALWAYS.model_dump()["compile"] == "always"
    assert TrainingConfig(**ALWAYS.model_dump(mode="json")) == ALWAYS


def test_a_training_set_smaller_than_a_batch_works(toy, captured):
    few = np.array([0, 20, 30])
    config = ALWAYS.model_copy(update={"batch_size": 8})
    compiled = run(toy, config, train=few)
    plain = run(toy, config.model_copy(update={"compile": "never"}), train=few)
    assert compiled.updates == plain.updates == 12
    np.testing.assert_allclose(compiled.history["loss"], plain.history["loss"], rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_graphs_are_replayed_on_cuda(make_toy, tmp_path):
    data = make_toy(n_molecules=3)
    cuda = {"device": "cuda", "n_updates": 80, "checkpoint_every": 30, "learning_rate": 1e-4}
    config = ALWAYS.model_copy(update=cuda)
    straight = run(data, config, tell=pytest.fail)
    other = run(data, config.model_copy(update={"compile": "never"}))
    np.testing.assert_allclose(straight.history["loss"], other.history["loss"], rtol=1e-3)

    def stop(update, total, loss):
        if update == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, config, directory=tmp_path, progress=stop)
    assert_same(run(data, config, directory=tmp_path), straight)
