"""Options of `breadth train` beside data, folder and configuration."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

SMALL = ("potential.name=schnet", "potential.n_features=8", "potential.n_layers=1")
QUICK = (*SMALL, "training.n_updates=6", "training.batch_size=4", "n_validation=2")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Twelve pairs of atoms on a spring."""
    found = []
    for r in np.linspace(0.6, 1.0, 12):
        pull = 3.0 * (r - 0.8)
        atoms = Atoms("OH", [(0, 0, 0), (r, 0, 0)])
        forces = np.array([(pull, 0, 0), (-pull, 0, 0)])
        atoms.calc = SinglePointCalculator(atoms, energy=1.5 * (r - 0.8) ** 2, forces=forces)
        found.append(atoms)
    path = tmp_path_factory.mktemp("frames") / "pairs.xyz"
    write(path, found)
    return path


def train(run_breadth, frames, out, *options):
    return run_breadth("train", frames, "--out", out, *options, "--set", *QUICK)


def test_a_profile_is_printed_and_part_of_the_json(frames, tmp_path, run_breadth):
    printed = train(run_breadth, frames, tmp_path / "a", "--profile").stdout
    for words in (
        "where the time went",
        "double backward",
        "6 updates,",
        "atoms/s",
        "form: eager: on a CPU",
        "device: cpu, 1 thread",
        "peak memory",
        "reading the clock took about",
    ):
        assert words in printed
    told = json.loads(train(run_breadth, frames, tmp_path / "b", "--profile", "--json").stdout)
    assert told["profile"]["updates"] == 6
    assert told["profile"]["stages"]["double backward"]["seconds"] > 0
    plain = json.loads(train(run_breadth, frames, tmp_path / "c", "--json").stdout)
    assert "profile" not in plain
    assert plain["loss"] == told["loss"]


def test_a_profile_of_a_fit_that_had_ended_says_so(frames, tmp_path, run_breadth):
    train(run_breadth, frames, tmp_path)
    again = train(run_breadth, frames, tmp_path, "--profile").stdout
    assert "no update was made: the fit had ended" in again
    assert "form:" not in again


def test_compilation_is_an_option_and_a_key(frames, tmp_path, run_breadth, monkeypatch):
    from breadth.training.updates import compilation

    monkeypatch.setattr(compilation, "BACKEND", "eager")  # captured, and not translated to C++
    asked = train(run_breadth, frames, tmp_path / "a", "--compile", "always", "--profile").stdout
    assert "form: compiled: asked for" in asked
    file = tmp_path / "train.yaml"
    file.write_text("training:\n  compile: always\n")
    by_key = train(run_breadth, frames, tmp_path / "b", "--config", file, "--profile").stdout
    assert "form: compiled: asked for" in by_key
    over = train(
        run_breadth, frames, tmp_path / "c", "--config", file, "--compile", "never", "--profile"
    )
    assert "form: eager: asked for" in over.stdout
    told = json.loads((tmp_path / "a" / "potential.json").read_text())
    assert told["meta"]["configuration"]["training"]["compile"] == "always"
    refused = run_breadth("train", frames, "--out", "x", "--compile", "maybe", check=False)
    assert refused.returncode
    # The folder of a fit in the other form is that of another fit.
    other = run_breadth("train", frames, "--out", tmp_path / "a", "--set", *QUICK, check=False)
    assert 'config.compile "always" there and not set here' in " ".join(other.stderr.split())


def test_messages_go_to_stderr(frames, tmp_path, run_breadth):
    random = ("--set", *QUICK, "training.random_cutoff=[4.0, 6.0]", "potential.cutoff=5.0")
    done = run_breadth("train", frames, "--out", tmp_path, "--compile", "always", "--json", *random)
    assert "with random cutoffs every update would be another graph" in done.stderr
    assert json.loads(done.stdout)["updates"] == 6
