"""Committees: `breadth train --committee`, and the commands that know what one is."""

import json
import os
import signal
import time

import numpy as np
import pytest

from breadth.diversity import BreadthError, ConfigurationError, DataError, read
from breadth.studies.committees import each_potential, evaluate_committee, members_of
from breadth.studies.configuration import load
from breadth.studies.registry import potential
from breadth.studies.shifting import shift_sets
from breadth.studies.single import TrainConfiguration, train_potential
from breadth.training import load_potential, predict

from .test_train_options import QUICK, frames  # noqa: F401

WEIGHTS = "weights.safetensors"


def train(data, out, *changes, committee=3):
    asked = load(TrainConfiguration, overrides=[*QUICK, f"committee={committee}", *changes])
    return train_potential(data, out, asked)


@pytest.fixture(scope="module")
def data(frames):  # noqa: F811
    return read(frames)


@pytest.fixture(scope="module")
def committee(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "three"
    return out, train(data, out, "seed=5")


def test_members_are_the_models_of_their_seeds(data, committee, tmp_path):
    out, told = committee
    assert [path.name for path in members_of(out)] == ["seed-5", "seed-6", "seed-7"]
    assert told["members"] == [str(path) for path in members_of(out)]
    assert (told["models_at_once"], told["n_train"], told["n_validation"]) == (1, 10, 2)
    asked = load(TrainConfiguration, overrides=[*QUICK, "seed=5"])
    train_potential(data, tmp_path, asked)
    assert (tmp_path / WEIGHTS).read_bytes() == (out / "seed-5" / WEIGHTS).read_bytes()
    facts = [load_potential(path)[1] for path in members_of(out)]
    assert [one["seed"] for one in facts] == [5, 6, 7]
    # The same conformers are held out from all.
    assert told["validation_loss"] > 0


def test_at_once_they_are_the_same_to_rounding(data, committee, tmp_path):
    out, one_by_one = committee
    told = train(data, tmp_path, "seed=5", "stack=2")
    assert told["models_at_once"] == 2
    assert told["loss"] == pytest.approx(one_by_one["loss"], rel=1e-3)
    for one, other in zip(members_of(out), members_of(tmp_path), strict=True):
        forces = [predict(load_potential(path)[0], data).forces for path in (one, other)]
        np.testing.assert_allclose(*forces, atol=1e-4)


@pytest.mark.parametrize("stack", [1, 3])
def test_killed_it_goes_on_to_the_same_bits(data, tmp_path, stack):
    long = ("training.n_updates=24", "training.checkpoint_every=4", f"stack={stack}")
    train(data, tmp_path / "whole", *long)
    torn = tmp_path / "torn"
    child = os.fork()
    if child == 0:
        train(data, torn, *long)
        os._exit(0)
    # In a stack the first checkpoint; one by one, with a member finished and one begun.
    began = torn / ("seed-1" if stack == 1 else "stack-0") / "state.safetensors"
    deadline = time.monotonic() + 120
    while not began.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with pytest.raises(DataError, match="is not finished: run its command again"):
        members_of(torn)
    train(data, torn, *long)
    for one, other in zip(members_of(tmp_path / "whole"), members_of(torn), strict=True):
        assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


def test_the_command_and_what_evaluate_and_shift_tell(frames, data, tmp_path, run_breadth):  # noqa: F811
    out = tmp_path / "two"
    made = run_breadth(
        "train", frames, "--out", out, "--committee", 2, "--profile", "--json", "--set", *QUICK
    )
    told = json.loads(made.stdout)
    assert [path.rsplit("/", 1)[1] for path in told["members"]] == ["seed-0", "seed-1"]
    assert told["diverged"] is None
    assert told["profile"]["updates"] == 2 * 6
    found = json.loads(run_breadth("evaluate", out, frames, "--json").stdout)
    forces = np.stack([predict(load_potential(path)[0], data).forces for path in members_of(out)])
    truth = next(iter(data.levels.values())).forces
    # One molecule of equal frames: means within a molecule are means over all components.
    assert found["n_members"] == 2
    assert found["force_mae"] == pytest.approx(np.abs(forces.mean(0) - truth).mean(), rel=1e-5)
    assert found["force_spread"] == pytest.approx(forces.std(0, ddof=1).mean(), rel=1e-5)
    assert found == {**evaluate_committee(out, data), "data": str(frames)}
    assert "force spread, meV/Å" in run_breadth("evaluate", out, frames).stdout
    measures = [
        shift_sets(data, data, models=models)["measures"] for models in ([out], members_of(out))
    ]
    assert measures[0]["committee_variance"] == measures[1]["committee_variance"]
    assert each_potential([out, tmp_path]) == [*members_of(out), tmp_path]


def test_a_member_that_diverges_is_left_out(data, tmp_path):
    said = []
    asked = load(
        TrainConfiguration, overrides=[*QUICK, "committee=2", "training.learning_rate=1e30"]
    )
    with pytest.raises(BreadthError, match="Of 2 members 2 diverged, and a committee needs two"):
        train_potential(data, tmp_path, asked, tell=said.append)
    assert len(said) == 2
    assert said[1].startswith("seed 1 is left out of the committee: Training diverged")


def test_folders_of_other_fits_and_what_cannot_be(data, committee, tmp_path):
    out, _ = committee
    for changes, told in (
        (("seed=4",), "seeds 5 to 7, 1 fitted at once; asked are seeds 4 to 6, 1 at once"),
        (("seed=5", "stack=2"), "1 fitted at once; asked are seeds 5 to 7, 2 at once"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            train(data, out, *changes)
    with pytest.raises(ConfigurationError, match="holds a committee"):
        train(data, out, committee=1)
    with pytest.raises(DataError, match="is a committee: name one of its members"):
        potential(str(out))
    with pytest.raises(ConfigurationError, match="holds a single potential"):
        train(data, out / "seed-5")
    with pytest.raises(ConfigurationError, match="a single model is no stack"):
        train(data, tmp_path, "stack=2", committee=1)
    with pytest.raises(ConfigurationError, match="cannot be fitted at once: a prior"):
        train(data, tmp_path / "prior", "stack=2", "prior=gfn1")
    (tmp_path / "committee.json").write_text("[")
    with pytest.raises(DataError, match=r"committee.json is damaged"):
        members_of(tmp_path)
