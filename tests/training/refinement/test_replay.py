import numpy as np
import pytest
import torch

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.training import TrainingConfig, fit, predict
from breadth.training.refinement import (
    FINE_TUNING,
    Replay,
    fine_tune,
    forgetting,
    pseudo_labels,
)

SMALL = {"name": "painn", "n_features": 16, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
SHORT = FINE_TUNING.model_copy(
    update={"n_updates": 30, "learning_rate": 6e-3, "batch_size": 8, "device": "cpu"}
)


@pytest.fixture(scope="module")
def learnt():
    return {}


@pytest.fixture
def world(with_prior, learnt):
    """Make a potential of two molecules at `springs`; a third has labels of `soft`, far off.

    It is fine-tuned to these, with and without replay of every other structure of the two.
    """
    data = with_prior(offsets=(1.0, -2.0, 3.0))
    known, new = np.flatnonzero(data.molecule < 2), np.flatnonzero(data.molecule == 2)
    if not learnt:
        config = TrainingConfig(n_updates=60, batch_size=6, device="cpu")
        start = fit(SMALL, data, level="springs", train=known, config=config).potential
        replay = Replay(pseudo_labels(start, data.select(known[::2])), "springs")
        options = {"level": "soft", "index": new, "config": SHORT}
        learnt["start"] = start
        learnt["plain"] = fine_tune(start, data, **options).potential
        learnt["replay"] = fine_tune(start, data, replay=replay, **options).potential
    return data, learnt, known, new


def test_replay_keeps_what_was_known(world):
    data, learnt, known, new = world
    start, held = learnt["start"], data.select(known[1::2])
    truth = data.select(new).labels("soft").forces
    lost = {}
    for name in ("plain", "replay"):
        lost[name] = forgetting(start, learnt[name], held, labelled=False)
        errors = [
            np.abs(predict(p, data.select(new)).forces - truth).mean()
            for p in (start, learnt[name])
        ]
        assert errors[1] < 0.9 * errors[0]
    assert lost["plain"].before == lost["replay"].before == 0
    assert lost["replay"].reference == "untouched"
    assert lost["replay"].after < 0.6 * lost["plain"].after


def test_references_of_the_replayed_level_stay_and_energies_count(world):
    data, learnt, known, _ = world
    start, found = learnt["start"], learnt["replay"]
    assert torch.equal(found.references[found.level_index("springs")], start.references[0])
    old = data.select(known)
    off = [
        np.abs(predict(p, old, level="springs").energy - predict(start, old).energy).mean()
        for p in (learnt["plain"], found)
    ]
    assert off[1] < 0.6 * off[0]


def test_of_one_level_both_sets_move_the_references(with_prior):
    data = with_prior(atoms=False)
    known, new = np.flatnonzero(data.molecule < 2), np.flatnonzero(data.molecule == 2)
    config = TrainingConfig(n_updates=30, batch_size=6, relative_energies=True, device="cpu")
    start = fit(SMALL, data, level="springs", train=known, config=config).potential
    replay = Replay(data=data, level="springs", index=known)
    found = fine_tune(
        start, data, level="springs", index=new, replay=replay, config=SHORT
    ).potential
    off = predict(found, data).energy - data.labels("springs").energy
    assert np.abs(off).max() < 1.0


def test_forgetting_against_stored_labels(world):
    data, learnt, known, _ = world
    start, found = learnt["start"], learnt["plain"]
    old = data.select(known)
    lost = forgetting(start, found, old)
    truth = old.labels("springs").forces
    assert lost.reference == "labels"
    by_hand = [
        np.mean([
            np.mean([
                np.abs(predict(p, old, level=level).forces - truth)[old.atoms_slice(i)].mean()
                for i in np.flatnonzero(old.molecule == m)
            ])
            for m in (0, 1)
        ])
        for p, level in ((start, "springs"), (found, "springs"), (found, "soft"))
    ]  # fmt: skip
    np.testing.assert_allclose([lost.before, lost.after, lost.after_new_head], by_hand, rtol=1e-6)


def test_what_cannot_be_replayed(world):
    data, learnt, _, new = world
    start = learnt["start"]
    with pytest.raises(ConfigurationError, match="not 'soft'"):
        fine_tune(start, data, level="springs", index=new, replay=Replay(data=data, level="soft"))
    with pytest.raises(ConfigurationError, match="above 0"):
        Replay(data=data, level="springs", weight=0.0)
    none = Replay(data=data, level="springs", index=new[:0])
    with pytest.raises(DataError, match="no conformer to replay"):
        fine_tune(start, data, level="soft", index=new, replay=none)
    with pytest.raises(ConfigurationError, match="Not every structure"):
        forgetting(start, start, data, level="other", labelled=True)
