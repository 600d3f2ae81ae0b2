"""Fine-tuning of a universal potential: levels, weights that move, and what is stored of them."""

import numpy as np
import pytest
import torch

from breadth.diversity.tables import Labels
from breadth.sampling.geometries import GeometrySettings, sample_geometries
from breadth.sampling.molecules import Molecule
from breadth.training import (
    TrainingConfig,
    build_potential,
    load_potential,
    predict,
    save_potential,
)
from breadth.training.refinement import (
    adopt_level,
    fine_tune,
    fine_tuning_config,
    with_level,
)

pytest.importorskip("so3krates_torch")

SHORT = {"n_updates": 6, "batch_size": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def universal():
    return build_potential("so3lr")


@pytest.fixture(scope="module")
def world(universal):
    """Geometries whose labels are SO3LR's own, made 20 % softer, 400 eV per atom away."""
    settings = GeometrySettings(method="gaussian", sigma=0.05, max_minima=1)
    molecules = [Molecule(s, s) for s in ("CO", "C=O")]
    data, _ = sample_geometries(molecules, n_conformers=6, seed=0, settings=settings)
    own = predict(universal, data)
    labels = Labels(energy=0.8 * own.energy - 400 * data.counts, forces=0.8 * own.forces)
    return data.with_level("soft", labels)


def error(potential, data, level="soft"):
    return np.abs(predict(potential, data, level=level).forces - data.labels("soft").forces).mean()


def test_a_new_level_begins_as_its_own(universal, world):
    made = with_level(universal, "soft")
    assert made.levels == ("soft", "so3lr")
    new, own = (predict(made, world, level=level) for level in made.levels)
    old = predict(universal, world)
    for found in (new, own):
        np.testing.assert_allclose(found.energy, old.energy, atol=1e-4)
        np.testing.assert_allclose(found.forces, old.forces, atol=1e-5)
    moved = adopt_level(universal, world, level="soft")
    off = predict(moved, world, level="soft").energy - world.labels("soft").energy
    assert np.abs([off[world.molecule == m].mean() for m in (0, 1)]).max() < 1e-2


def test_few_structures_lower_the_error_by_the_defaults(universal, world, tmp_path):
    config = fine_tuning_config(universal).model_copy(update=SHORT)
    found = fine_tune(universal, world, level="soft", index=np.arange(6), config=config).potential
    assert error(found, world.select(np.arange(6, 12))) < 0.9 * error(
        universal, world.select(np.arange(6, 12)), "so3lr"
    )
    save_potential(tmp_path, found)
    again, _ = load_potential(tmp_path)
    np.testing.assert_array_equal(predict(again, world).energy, predict(found.eval(), world).energy)


@pytest.mark.parametrize("what", ["last:1", "low_rank:2"])
def test_parts_that_move_are_stored_plain(universal, world, what):
    config = TrainingConfig(**SHORT | {"n_updates": 1}, relative_energies=True)
    found = fine_tune(
        universal, world, level="soft", index=np.arange(4), what=what, config=config
    ).potential
    before, after = with_level(universal, "soft").state_dict(), found.state_dict()
    assert before.keys() == after.keys()
    moved = {k for k in before if not torch.equal(before[k], after[k])} - {"references", "seen"}
    assert any(k.startswith("heads.0.") for k in moved)
    assert not any(k.startswith("heads.1.") for k in moved)
    within = {"last:1": "layers.2.", "low_rank:2": "layers.0."}[what]
    assert any(k.startswith(within) for k in moved)
    if what != "low_rank:2":
        assert not any(k.startswith(("embedding.", "layers.0.", "layers.1.")) for k in moved)
