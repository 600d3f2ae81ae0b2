"""Checkpoints of other architectures, versions and fits are refused with what differs."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from breadth import __version__
from breadth.diversity.errors import ConfigurationError, DataError
from breadth.training import TrainingConfig, build_potential, fit, load_potential, save_potential
from breadth.training.fingerprint import Fingerprint, data_digest

SMALL = {"name": "schnet", "n_features": 8, "n_layers": 1, "n_basis": 4}
QUICK = TrainingConfig(n_updates=2, batch_size=4, device="cpu")


def refused(folder):
    with pytest.raises(DataError) as error:
        load_potential(folder)
    return str(error.value)


def rewrite(folder, **changes):
    path = folder / "potential.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def saved(tmp_path):
    save_potential(tmp_path, build_potential(**SMALL))
    return tmp_path


def test_weights_of_another_architecture_are_told_by_what_differs(saved, tmp_path):
    save_potential(tmp_path / "other", build_potential("painn", n_features=8))
    (saved / "weights.safetensors").write_bytes(
        (tmp_path / "other" / "weights.safetensors").read_bytes()
    )
    told = refused(saved)
    assert "another architecture than the schnet that potential.json describes" in told
    assert "missing, such as blocks.0.filter_in.weight" in told
    assert "not of it, such as messages.0.constant" in told


def test_weights_of_another_size_are_told_by_their_shapes(saved, tmp_path):
    save_potential(tmp_path / "other", build_potential(**SMALL | {"n_features": 6}))
    (saved / "weights.safetensors").write_bytes(
        (tmp_path / "other" / "weights.safetensors").read_bytes()
    )
    told = refused(saved)
    assert "of another shape, such as heads.0.0.weight (6 × 6, not 8 × 8)" in told
    assert "missing" not in told


def test_a_missing_tensor_is_told(saved):
    tensors = load_file(saved / "weights.safetensors")
    del tensors["embedding.weight"]
    save_file(tensors, saved / "weights.safetensors")
    assert "1 missing, such as embedding.weight." in refused(saved)


def test_another_version_is_told_by_both_versions(saved):
    rewrite(saved, format=7, breadth="9.1")
    told = refused(saved)
    assert f"written by breadth 9.1, and this is breadth {__version__}" in told
    assert "format 7, and this version reads format 1" in told


def test_a_potential_of_another_version_is_told(saved):
    rewrite(saved, name="hyperpainn", breadth="9.1")
    assert "potential 'hyperpainn', and this version has factorised_painn" in refused(saved)
    rewrite(saved, name="schnet", hyper={"n_features": 8, "n_heads": 3})
    assert "gives schnet the options 'n_heads', and this version knows cutoff" in refused(saved)


def test_what_was_written_before_versions_were_is_read(saved):
    path = saved / "potential.json"
    content = json.loads(path.read_text())
    del content["breadth"]
    path.write_text(json.dumps(content))
    assert load_potential(saved)[0].hyper == build_potential(**SMALL).hyper


CHANGES = {
    "seed 0 there and 1 here": {"seed": 1},
    "potential.n_features 8 there and 6 here": {"potential": SMALL | {"n_features": 6}},
    "config.learning_rate 0.006 there and 0.01 here": {
        "config": QUICK.model_copy(update={"learning_rate": 0.01})
    },
    'config.compile not set there and "always" here': {
        "config": QUICK.model_copy(update={"compile": "always"})
    },
    "other training conformers or their labels": {"train": np.arange(5)},
    "other validation conformers or their labels": {"validation": np.arange(3)},
    "frozen not set there and": {"frozen": ("embedding.weight",)},
}


@pytest.mark.parametrize("told", CHANGES)
def test_a_folder_of_another_fit_is_refused_with_what_differs(toy, tmp_path, told):
    asked = {"potential": SMALL, "train": np.arange(8), "config": QUICK, "level": "springs"}
    fit(data=toy, directory=tmp_path, **asked)
    with pytest.raises(ConfigurationError, match="another fit") as error:
        fit(data=toy, directory=tmp_path, **(asked | CHANGES[told]))
    assert told in str(error.value)
    # One thing differs, and one thing is told.
    assert ";" not in str(error.value)


def test_a_checkpoint_without_parts_is_of_an_older_version(toy):
    mine = Fingerprint.of(toy, "springs", np.arange(4), None, seed=0)
    assert mine.differences(None) == "other data, seed or options"
    assert mine.digest == data_digest(toy, "springs", np.arange(4), seed=0)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("prior", "other conformers, labels or weights of the prior"),
        ("replay", "other conformers, labels or weight of the replay"),
        ("start", "other weights to start from"),
    ],
)
def test_digests_are_told_in_words(toy, key, told):
    here, there = (Fingerprint.of(toy, "springs", np.arange(4), None, **{key: x}) for x in "ab")
    assert here.differences(there.parts) == told


def test_how_often_it_is_saved_and_where_it_runs_are_no_difference(toy, tmp_path):
    options = {"level": "springs", "train": np.arange(8), "directory": tmp_path}
    first = fit(SMALL, toy, config=QUICK, **options)
    often = QUICK.model_copy(update={"checkpoint_every": 1})
    again = fit(SMALL, toy, config=often, **options)
    for a, b in zip(first.potential.parameters(), again.potential.parameters(), strict=True):
        assert torch.equal(a, b)
