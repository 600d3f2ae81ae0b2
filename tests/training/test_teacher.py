"""A potential as a teacher: its labels are its predictions, under its own name."""

import numpy as np
import torch

from breadth.diversity import LabelEngine
from breadth.sampling.labels import label_chunk
from breadth.training import build_potential, predict, save_potential
from breadth.training.teacher import Teacher

from .conftest import make_set


def test_labels_are_predictions_and_no_engine_knows_atoms_of_it():
    torch.manual_seed(0)
    potential = build_potential("painn", n_features=8, n_layers=1, cutoff=3.0)
    data = make_set(2, 3)
    engine = Teacher(potential, "model:mine")
    assert isinstance(engine, LabelEngine)
    assert engine.name == "model:mine"
    labels = label_chunk(data, engine)
    expected = predict(potential, data)
    np.testing.assert_array_equal(labels.energy, expected.energy)
    np.testing.assert_array_equal(labels.forces, expected.forces)
    assert labels.has_forces.all()


def test_the_registry_makes_a_teacher_of_a_folder(tmp_path):
    from breadth.studies.registry import label_engine

    torch.manual_seed(0)
    potential = build_potential("painn", n_features=8, n_layers=1, cutoff=3.0)
    save_potential(tmp_path / "mine", potential)
    engine = label_engine(f"model:{tmp_path / 'mine'}")
    data = make_set(1, 2)
    np.testing.assert_allclose(engine(data).energy, predict(potential, data).energy, rtol=1e-6)
    assert engine.name == f"model:{tmp_path / 'mine'}"
