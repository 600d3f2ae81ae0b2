import numpy as np
import pytest
import torch

from breadth.diversity.errors import DataError
from breadth.training import PriorTask, TrainingConfig, fit, predict
from breadth.training.refinement import FINE_TUNING, fine_tune, pretrain_freeze, representation

SMALL = {"name": "painn", "n_features": 16, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
#: By AdamW, which is ahead in so few updates.
QUICK = TrainingConfig(
    n_updates=40, optimizer="adamw", batch_size=6, relative_energies=True, device="cpu"
)
SHORT = FINE_TUNING.model_copy(update={"n_updates": 60, "device": "cpu"})


def error(potential, data):
    return np.abs(predict(potential, data).forces - data.labels("springs").forces).mean()


@pytest.fixture
def world(with_prior):
    """Make a potential of two molecules without isolated atoms, and a third it never saw."""
    data = with_prior(atoms=False)
    known = np.flatnonzero(data.molecule < 2)
    prior = PriorTask(level="soft", train=known)
    start = fit(SMALL, data, level="springs", train=known, config=QUICK, prior=prior).potential
    return data, start, np.flatnonzero(data.molecule == 2)


@pytest.mark.parametrize("n", [1, 3, 12])
def test_any_number_of_structures_helps_them(world, n):
    data, start, new = world
    before = {k: v.clone() for k, v in start.state_dict().items()}
    used, mine = new[:n], data.select(new[:n])
    result = fine_tune(start, data, level="springs", index=used, config=SHORT, seed=1)
    assert np.isfinite(result.history["loss"]).all()
    assert error(result.potential, mine) < 0.9 * error(start, mine)
    off = predict(result.potential, mine).energy - mine.labels("springs").energy
    assert np.abs(off).max() < 0.5
    assert all(torch.equal(before[k], v) for k, v in start.state_dict().items())
    head = [k for k in before if k.startswith("heads.1")]
    assert head
    assert all(torch.equal(before[k], result.potential.state_dict()[k]) for k in head)


def test_structures_and_levels_that_are_not_there(world):
    data, start, new = world
    with pytest.raises(DataError, match="no conformer"):
        fine_tune(start, data, level="springs", index=new[:0])
    with pytest.raises(DataError, match="no level of theory 'gfn2'"):
        fine_tune(start, data, level="gfn2", index=new)


def test_pretrain_freeze_learns_the_main_level_through_the_head_alone(with_prior, tmp_path):
    data = with_prior()
    some = np.arange(0, len(data), 2)
    prior = PriorTask(level="soft", train=np.arange(len(data)))
    options = {"level": "springs", "train": some, "prior": prior, "config": QUICK, "seed": 3}
    result = pretrain_freeze(SMALL, data, directory=tmp_path, **options)
    first = fit(
        SMALL, data, level="soft", train=prior.train, config=QUICK, seed=3, conformational=True,
        directory=tmp_path / "prior", progress=lambda *_: pytest.fail("it is finished"),
    ).potential  # fmt: skip
    found = result.potential
    assert found.levels == ("springs", "soft")
    for name in representation(found):
        assert torch.equal(found.get_parameter(name), first.get_parameter(name)), name
    a, b = (predict(p, data, level="soft") for p in (first, found))
    np.testing.assert_array_equal(a.forces, b.forces)
    zero = np.abs(data.labels("springs").forces).mean()
    assert error(found, data) < 0.8 * zero
    resumed = pretrain_freeze(
        SMALL, data, directory=tmp_path, progress=lambda *_: pytest.fail("it went on"), **options
    )
    np.testing.assert_array_equal(resumed.history["loss"], result.history["loss"])
