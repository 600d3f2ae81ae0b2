"""Features of a potential as a featurizer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from breadth.diversity.conformers import ConformerSet
from breadth.diversity.protocols import Featurizer
from breadth.training import build_potential, save_potential
from breadth.training.features import PotentialFeaturizer


def turned(data: ConformerSet) -> ConformerSet:
    """Return the set rotated and moved."""
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    return replace(data, positions=data.positions.astype(float) @ rotation.T + 3.0)


def test_features_are_invariant_and_do_not_depend_on_chunks(
    toy: ConformerSet, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    potential = build_potential("painn", levels=["a"], cutoff=4.0).double()
    save_potential(tmp_path / "one", potential)
    featurizer = PotentialFeaturizer(tmp_path / "one", batch_size=5)
    assert isinstance(featurizer, Featurizer)
    assert featurizer.name == "model:one"
    whole = list(featurizer.iter_features(toy, 1000))
    assert len(whole) == 1
    X, offsets = whole[0]
    assert X.shape[0] == toy.n_atoms
    assert X.std() > 0
    np.testing.assert_array_equal(offsets, toy.offsets)
    parts = np.concatenate([x for x, _ in featurizer.iter_features(toy, 3)])
    np.testing.assert_allclose(parts, X, atol=1e-6)
    moved = np.concatenate([x for x, _ in featurizer.iter_features(turned(toy), 1000)])
    np.testing.assert_allclose(moved, X, atol=1e-5)
