"""Universal potentials by name, wherever a potential's folder can stand."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from breadth.diversity import ConfigurationError, ConformerSet, Labels, write
from breadth.studies.cli.potentials import evaluate
from breadth.studies.registry import featurizer, potential_and_facts
from breadth.studies.single import evaluate_potential
from breadth.training import predict

pytest.importorskip("so3krates_torch")


@pytest.fixture(scope="module")
def alcohols():
    random = np.random.default_rng(0)
    frames = [molecule(name) for name in 2 * ["CH3OH"] + 2 * ["CH3CH2OH"]]
    for atoms in frames:
        atoms.rattle(0.05, rng=random)
    return ConformerSet.from_ase(frames)


def test_by_name(alcohols):
    potential, facts = potential_and_facts("so3lr")
    assert facts == {}
    labels = predict(potential, alcohols)
    assert alcohols.n_molecules == 2
    # Of its own level energies compare between molecules, of another only within one.
    shifted = Labels(energy=labels.energy - 10.0 * alcohols.counts, forces=labels.forces)
    both = alcohols.with_level("so3lr", labels).with_level("pbe0", shifted)
    same = evaluate_potential("so3lr", both, level="so3lr")
    assert same["force_mae"] == pytest.approx(0.0, abs=1e-5)
    assert same["energy_mae_per_atom"] == pytest.approx(0.0, abs=1e-5)
    other = evaluate_potential("so3lr", both, level="pbe0")
    assert other["energy_mae_per_atom"] is None
    assert "another level" in other["energy_reason"]
    assert other["force_mae"] == same["force_mae"]


def test_features_by_name(alcohols):
    made = featurizer("model:so3lr")
    assert made.name == "model:so3lr"
    ((X, offsets),) = made.iter_features(alcohols, 10)
    assert X.shape == (alcohols.n_atoms, 128)
    np.testing.assert_array_equal(offsets, alcohols.offsets)


def test_neither_name_nor_folder():
    with pytest.raises(ConfigurationError, match=r"so3.*chgnet.*so3lr"):
        featurizer("model:so3")


def test_command_line(alcohols, tmp_path, capsys):
    potential, _ = potential_and_facts("so3lr")
    file = tmp_path / "alcohols.extxyz"
    write(alcohols.with_level("so3lr", predict(potential, alcohols)), file)
    evaluate(Path("so3lr"), file, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["potential"] == "so3lr"
    assert found["force_mae"] < 1e-4
