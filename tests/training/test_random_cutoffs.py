"""Training at cutoffs drawn from a range, and what a potential knows of it afterwards."""

import copy
import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from breadth.diversity.errors import ConfigurationError
from breadth.training import TrainingConfig, fit, load_potential, predict, save_potential
from breadth.training.order import update_cutoff

SMALL = {"name": "factorised_painn", "n_features": 16, "n_basis": 4, "cutoff": 4.0}
QUICK = TrainingConfig(n_updates=24, batch_size=4, device="cpu")
WIDE = (3.0, 6.0)


def run(data, cutoffs, config=QUICK, **options):
    config = config.model_copy(update={"random_cutoff": cutoffs})
    return fit(SMALL, data, level="springs", train=np.arange(len(data)), config=config, **options)


def same(a, b):
    a, b = a.potential.state_dict(), b.potential.state_dict()
    return all(torch.equal(a[k], b[k]) for k in a)


def test_cutoffs_are_uniform_and_depend_on_seed_and_update_alone():
    config = QUICK.model_copy(update={"random_cutoff": WIDE})
    drawn = np.array([update_cutoff(config, 1, u) for u in range(2000)])
    assert drawn.min() >= 3.0
    assert drawn.max() <= 6.0
    # Deciles of 2,000 uniform draws: 200 ± 13 each.
    assert np.abs(np.histogram(drawn, 10, WIDE)[0] - 200).max() < 60
    assert update_cutoff(config, 1, 7) == drawn[7]
    assert update_cutoff(config, 2, 7) != drawn[7]
    assert update_cutoff(QUICK, 1, 7) is None


def test_a_range_of_no_width_at_the_own_cutoff_is_plain_training(toy):
    assert same(run(toy, (4.0, 4.0)), run(toy, None))
    assert not same(run(toy, WIDE), run(toy, None))


def test_goes_on_after_an_interruption_as_if_there_were_none(toy, tmp_path):
    often = QUICK.model_copy(update={"checkpoint_every": 5})

    def stop(update, total, loss):
        if update == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy, WIDE, often, directory=tmp_path, progress=stop)
    assert same(run(toy, WIDE, often, directory=tmp_path), run(toy, WIDE))
    with pytest.raises(ConfigurationError, match="another fit"):
        run(toy, (3.0, 5.0), often, directory=tmp_path)


def test_plain_configurations_are_written_as_before_there_was_the_option():
    assert "random_cutoff" not in QUICK.model_dump()
    assert "random_cutoff" not in json.loads(QUICK.model_dump_json())
    asked = QUICK.model_copy(update={"random_cutoff": WIDE})
    assert TrainingConfig(**asked.model_dump(mode="json")) == asked


def test_the_potential_keeps_its_range(toy, tmp_path):
    fitted = run(toy, WIDE).potential
    save_potential(tmp_path, fitted)
    for potential in (fitted, copy.deepcopy(fitted), load_potential(tmp_path)[0]):
        assert potential.cutoff_range == WIDE
        assert potential.cutoff == 4.0
    plain = run(toy, None).potential
    save_potential(tmp_path, plain)
    assert plain.cutoff_range == load_potential(tmp_path)[0].cutoff_range == (4.0, 4.0)


@pytest.mark.parametrize("bad", [(0.0, 4.0), (5.0, 4.0), (3.0, np.inf), (-1.0, 2.0)])
def test_refuses_what_is_no_range(bad):
    with pytest.raises(ValidationError, match="lower end"):
        TrainingConfig(random_cutoff=bad)


def test_refuses_a_range_without_the_own_cutoff(toy):
    with pytest.raises(ConfigurationError, match="leave out the potential's own, 4 Å"):
        run(toy, (4.5, 6.0))


def test_errors_at_other_cutoffs_fall(make_toy):
    data = make_toy(n_conformers=24)
    config = TrainingConfig(n_updates=300, batch_size=4, learning_rate=0.01, device="cpu")
    truth = data.labels().forces

    def errors(potential):
        return np.array([
            np.abs(predict(potential, data, cutoff=r).forces - truth).mean() for r in (3.2, 5.8)
        ])  # fmt: skip

    plain = errors(run(data, None, config).potential)
    wide = errors(run(data, WIDE, config).potential)
    assert (wide < 0.7 * plain).all(), (wide, plain)
