"""Where the time of a fit goes."""

import time

import numpy as np
import pytest
import torch

from breadth.training import Member, TrainingConfig, fit, fit_stack
from breadth.training.profiling import STAGES, UPDATE_STAGES, Profile, stage
from breadth.training.updates import compilation

SMALL = {"name": "schnet", "n_features": 8, "n_layers": 1, "n_basis": 4}
QUICK = TrainingConfig(
    n_updates=20, batch_size=4, validate_every=5, checkpoint_every=5, device="cpu"
)


def run(data, config=QUICK, **options):
    return fit(
        SMALL, data, level="springs", train=np.arange(8), validation=np.arange(8, 12),
        config=config, **options,
    )  # fmt: skip


def test_all_time_is_counted_once(toy, tmp_path):
    profile = Profile()
    start = time.perf_counter()
    run(toy, profile=profile, directory=tmp_path)
    taken = time.perf_counter() - start
    told = profile.summary()
    assert 0.9 * taken < told["seconds"] <= taken
    assert sum(part["share"] for part in told["stages"].values()) == pytest.approx(1)
    assert told["stages"].keys() <= set(STAGES)
    for name in (*UPDATE_STAGES[:-1], "preparation", "validation", "checkpoints", "the rest"):
        assert told["stages"][name]["seconds"] > 0, name
    # Frames 0 to 7 are of three atoms each.
    assert (told["updates"], profile.atoms) == (20, 20 * 4 * 3)
    in_updates = sum(profile.seconds[name] for name in UPDATE_STAGES)
    assert told["seconds_per_update"] == pytest.approx(in_updates / 20)
    assert told["atoms_per_second"] == pytest.approx(240 / in_updates)
    assert told["peak_memory_bytes"] > 2**26
    assert 0 < told["overhead_seconds"] < 0.5 * taken
    assert (told["device"], told["form"][:6]) == ("cpu", "eager:")
    # Of each of 20 updates once; validation's own forward passes are validation.
    assert profile.entries["forward"] == profile.entries["forces"] == 20
    assert profile.entries["double backward"] == profile.entries["optimizer and mean"] == 20
    assert profile.entries["validation"] > 4


def test_a_profiled_fit_has_the_same_bits(toy):
    profiled, plain = run(toy, profile=Profile()), run(toy)
    pairs = zip(profiled.potential.parameters(), plain.potential.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_compiled_update_is_one_stage(toy, monkeypatch):
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    profile = Profile()
    run(toy, QUICK.model_copy(update={"compile": "always"}), profile=profile)
    told = profile.summary()
    assert told["form"] == "compiled: asked for"
    assert told["stages"]["compiled updates"]["seconds"] > 0
    assert told["stages"]["compilation"]["seconds"] > 0
    assert "forward" not in told["stages"]
    assert told["updates"] == 20


def run_stack(data, profile, config=QUICK, **options):
    members = [Member(np.arange(8), seed, np.arange(8, 12)) for seed in range(3)]
    return fit_stack(
        SMALL, data, members, level="springs", config=config, profile=profile, **options
    )


def test_a_stack_has_the_stages_of_a_single_fit(toy, tmp_path):
    profile = Profile()
    start = time.perf_counter()
    found = run_stack(
        toy, profile, directory=tmp_path, monitor=lambda k, u, p: {"x": 1.0}, monitor_at=[20]
    )
    taken = time.perf_counter() - start
    told = profile.summary()
    assert 0.9 * taken < told["seconds"] <= taken
    for name in (*UPDATE_STAGES[:-1], "preparation", "validation", "monitor", "checkpoints"):
        assert told["stages"][name]["seconds"] > 0, name
    # An update of three models is three; the forward pass of all is one.
    assert (told["updates"], profile.atoms) == (3 * 20, 3 * 20 * 4 * 3)
    for name in ("batch assembly", "forward", "forces", "loss", "double backward"):
        assert profile.entries[name] == 20, name
    assert told["form"].startswith("3 models at once, eager:")
    plain = run_stack(toy, None)
    for one, other in zip(found.results, plain.results, strict=True):
        pairs = zip(one.potential.parameters(), other.potential.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_compiled_update_of_a_stack_is_one_stage(toy, monkeypatch):
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    profile = Profile()
    run_stack(toy, profile, QUICK.model_copy(update={"compile": "always"}))
    told = profile.summary()
    assert told["form"] == "3 models at once, compiled: asked for"
    assert told["stages"]["compiled updates"]["seconds"] > 0
    assert "forward" not in told["stages"]
    assert told["updates"] == 60


def test_the_form_is_the_one_that_was_taken(toy):
    import torch._inductor.config as inductor

    profile = Profile()
    with inductor.patch({"cpp.cxx": ("/nowhere/g++",)}):
        run(toy, QUICK.model_copy(update={"compile": "always"}), profile=profile, tell=str)
    assert profile.form.startswith("eager: there is no C++ compiler")


def test_a_fit_that_is_stopped_has_a_profile_too(toy):
    profile = Profile()

    def stop(update, total, loss):
        if update == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy, profile=profile, progress=stop)
    assert profile.summary()["updates"] == 3
    before = dict(profile.seconds)
    with stage("forward"):  # nobody is watching any more
        pass
    run(toy)
    assert profile.seconds == before


def test_inner_stages_count_for_themselves_and_validation_for_all(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0, 255.0, 511.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    profile = Profile()
    with profile:  # 0
        with stage("loss"), stage("forward"):  # 1; 3 to 7
            pass
        # 15
        with stage("validation"), stage("forward"):  # 31, 63, 127, 255
            pass
    # 511
    assert profile.seconds == {
        "the rest": 1 + 16 + 256,
        "loss": 2 + 8,
        "forward": 4,
        "validation": 32 + 64 + 128,
    }
