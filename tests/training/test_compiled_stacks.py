"""The compiled form of a stack: the numbers of the eager one, and the same care."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from breadth.training import Member, TrainingConfig, fit_stack
from breadth.training.updates import compilation, eager

SMALLEST = {"name": "painn", "n_features": 8, "n_layers": 1, "n_basis": 4, "cutoff": 8.0}
MEMBERS = (Member(np.arange(0, 36, 2), 1), Member(np.arange(36), 2))
QUICK = TrainingConfig(n_updates=12, batch_size=4, device="cpu")
COMPILED = QUICK.model_copy(update={"compile": "always"})


@pytest.fixture
def captured(monkeypatch):
    """Capture the graph as torch.compile does, and translate it to no other language: seconds."""
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    monkeypatch.setitem(eager.LOOK, "cpu", 5)  # as on CUDA, several updates between looks


def run(data, members=MEMBERS, config=COMPILED, **options):
    return fit_stack(SMALLEST, data, members, level="springs", config=config, **options)


def assert_same(a, b):
    theirs = b.potential.state_dict()
    for name, tensor in a.potential.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def test_it_is_the_eager_form_to_rounding_and_goes_on_with_the_same_bits(toy, captured, tmp_path):
    seen = []

    def stop(update, total, loss):
        seen.append(update)
        if update == 7:
            raise KeyboardInterrupt

    often = COMPILED.model_copy(update={"checkpoint_every": 3})
    with pytest.raises(KeyboardInterrupt):
        run(toy, config=often, directory=tmp_path, progress=stop)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    resumed, straight = run(toy, config=often, directory=tmp_path), run(toy)
    plain = run(toy, config=QUICK)
    for a, b, c in zip(resumed.results, straight.results, plain.results, strict=True):
        assert_same(a, b)
        np.testing.assert_array_equal(a.history["loss"], b.history["loss"])
        np.testing.assert_allclose(b.history["loss"], c.history["loss"], rtol=1e-4)


def test_a_diverging_member_is_frozen_there_too(make_toy, captured):
    data = make_toy(n_molecules=2)
    labels = data.labels()
    energy = labels.energy.copy()
    energy[20] = 1e60
    data = data.with_level("springs", replace(labels, energy=energy))
    members = [Member(np.arange(12), 0), Member(np.arange(12, 24), 1)]
    found = run(data, members)
    assert list(found.faults) == [1]
    assert "update 1 of 12" in found.faults[1]
    assert [result.updates for result in found.results] == [12, 0]
    assert np.isfinite(found.results[0].history["loss"]).all()


def test_without_a_compiler_it_is_eager_and_says_so(toy, monkeypatch):
    monkeypatch.setattr(compilation, "compiler_missing", lambda device: "there is no compiler")
    told = []
    found = run(toy, tell=told.append)
    assert told == ["Nothing could be compiled: there is no compiler. The stack is eager."]
    for a, b in zip(found.results, run(toy, config=QUICK).results, strict=True):
        assert_same(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("form", ["never", "always"])
def test_on_cuda_both_forms_are_that_of_a_cpu(toy, form):
    config = QUICK.model_copy(update={"compile": form, "device": "cuda"})
    for a, b in zip(run(toy, config=config).results, run(toy, config=QUICK).results, strict=True):
        np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-3)
