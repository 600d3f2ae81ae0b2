import numpy as np
import pytest
import torch

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.tables import Labels
from breadth.training import PriorTask, TrainingConfig, fit
from breadth.training.refinement import TestTimeConfig, adapt, early, prior_loss

SMALL = {"name": "painn", "n_features": 16, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
STEPS = TestTimeConfig(n_steps=20, batch_size=8, learning_rate=0.02, check_every=5, patience=None)


@pytest.fixture(scope="module")
def learnt():
    """Fit two molecules once; the third is the new system."""
    return {}


@pytest.fixture
def world(with_prior, learnt):
    data = with_prior()
    known = np.flatnonzero(data.molecule < 2)
    if not learnt:
        config = TrainingConfig(n_updates=80, batch_size=6, device="cpu")
        prior = PriorTask(level="soft", train=known)
        learnt["it"] = fit(SMALL, data, level="springs", train=known, config=config, prior=prior)
    return data, learnt["it"].potential, np.flatnonzero(data.molecule == 2)


def weights(potential):
    return {k: v.clone() for k, v in potential.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def relabelled(data, name, **changes):
    labels = data.labels(name)
    options = {"energy": labels.energy, "forces": labels.forces} | changes
    return data.with_level(name, Labels(**options))


@pytest.mark.parametrize("layers", [0.3, 0.6, 1.0])
def test_only_early_layers_of_a_copy_move(world, layers):
    data, potential, new = world
    before = weights(potential)
    config = STEPS.model_copy(update={"layers": layers})
    found = adapt(potential, data, prior_level="soft", index=new, config=config)
    assert same(before, weights(potential))
    assert all(p.requires_grad is False for p in found.potential.parameters())
    after, moving = weights(found.potential), early(potential, layers)
    assert moving[-1].startswith({0.3: "embedding", 0.6: "updates.0", 1.0: "updates.1"}[layers])
    for name in before:
        assert torch.equal(before[name], after[name]) == (name not in moving), name


def test_lowers_the_priors_loss_where_it_did_not_look(world):
    data, potential, new = world
    used, held = new[::2], new[1::2]
    found = adapt(potential, data, prior_level="soft", index=used, config=STEPS)
    before, after = (
        prior_loss(p, data, prior_level="soft", index=held) for p in (potential, found.potential)
    )
    assert after < 0.9 * before
    assert (found.n_adapted, found.n_held_back, found.left_out) == (5, 1, 0)
    assert found.history["prior_loss"].shape == (20,)
    assert found.history["check_step"].tolist() == [0, 5, 10, 15, 20]
    assert found.history["watched_loss"].min() == found.history["watched_loss"][found.steps // 5]


def test_reference_labels_are_never_looked_at(world):
    data, potential, new = world
    found = adapt(potential, data, prior_level="soft", index=new, config=STEPS)
    lies = relabelled(data, "springs", energy=np.arange(len(data)) * 1e3)
    again = adapt(potential, lies, prior_level="soft", index=new, config=STEPS)
    assert same(weights(found.potential), weights(again.potential))
    bare = adapt(
        potential, data.without_level("springs"), prior_level="soft", index=new, config=STEPS
    )
    assert same(weights(found.potential), weights(bare.potential))


def test_record_order_changes_no_bit_and_seeds_do(world):
    data, potential, new = world
    system = data.select(new)
    first = adapt(potential, system, prior_level="soft", config=STEPS)
    mixed = system.select(np.random.default_rng(0).permutation(len(system)))
    again = adapt(potential, mixed, prior_level="soft", config=STEPS)
    assert same(weights(first.potential), weights(again.potential))
    other = adapt(potential, system, prior_level="soft", config=STEPS, seed=1)
    assert not same(weights(first.potential), weights(other.potential))


def test_a_constant_of_the_priors_energies_does_nothing(world):
    data, potential, new = world
    shifted = relabelled(data, "soft", energy=data.labels("soft").energy + 500.0)
    found, again = (
        adapt(potential, d, prior_level="soft", index=new, config=STEPS) for d in (data, shifted)
    )
    np.testing.assert_allclose(found.history["prior_loss"], again.history["prior_loss"], rtol=1e-4)


def test_stops_at_once_where_nothing_can_be_learnt(world):
    """Labels of noise: their loss on structures held back does not fall for long."""
    data, potential, new = world
    noise = np.random.default_rng(0).normal(size=(data.n_atoms, 3))
    data = relabelled(data, "soft", forces=noise, has_energy=np.zeros(len(data), dtype=bool))
    config = STEPS.model_copy(
        update={"n_steps": 400, "patience": 2, "held_back": 0.4, "learning_rate": 0.05}
    )
    found = adapt(potential, data, prior_level="soft", index=new, config=config)
    assert found.stopped == "held_back"
    assert found.history["check_step"][-1] == found.steps + 10 < 400
    watched = found.history["watched_loss"]
    assert watched.argmin() == found.steps // 5
    # The weights of the best look are those that are kept.
    again = adapt(
        potential, data, prior_level="soft", index=new,
        config=config.model_copy(update={"n_steps": found.steps}),
    )  # fmt: skip
    assert same(weights(found.potential), weights(again.potential))


def test_the_prior_loss_of_many_molecules_does_not_depend_on_their_order(world):
    """Energies lose their molecule's mean within a batch, wherever its structures stand."""
    data, potential, _ = world
    mixed = data.select(np.argsort(np.arange(len(data)) % 7, kind="stable"))
    ordered = prior_loss(potential, data, prior_level="soft")
    assert prior_loss(potential, mixed, prior_level="soft") == pytest.approx(ordered, rel=1e-6)


def test_stops_where_a_system_is_as_familiar_as_the_training_set(world):
    data, potential, new = world
    free = adapt(potential, data, prior_level="soft", index=new, config=STEPS)
    owed = (float(free.history["watched_loss"][1]) + 1e-6) / STEPS.margin
    found = adapt(potential, data, prior_level="soft", index=new, config=STEPS, owed=owed)
    assert (found.stopped, found.steps) == ("familiar", 5)
    assert prior_loss(potential, data, prior_level="soft", index=new) > STEPS.margin * owed
    # What it has learnt needs no step: the loss of the training set is met at once.
    known = np.flatnonzero(data.molecule < 2)
    owed = prior_loss(potential, data, prior_level="soft", index=known)
    wide = STEPS.model_copy(update={"margin": 1.5})
    found = adapt(potential, data, prior_level="soft", index=known, config=wide, owed=owed)
    assert (found.stopped, found.steps) == ("familiar", 0)
    assert same(weights(found.potential), weights(potential))


def test_divergence_keeps_what_was_good(world):
    data, potential, new = world
    config = STEPS.model_copy(update={"learning_rate": 1e20, "clip": 1e20})
    found = adapt(potential, data, prior_level="soft", index=new, config=config)
    assert (found.stopped, found.steps) == ("diverged", 0)
    assert same(weights(found.potential), weights(potential))


@pytest.mark.parametrize("n", [1, 4])
def test_few_structures_are_all_adapted_on(world, n):
    data, potential, new = world
    found = adapt(potential, data, prior_level="soft", index=new[:n], config=STEPS)
    assert (found.n_adapted, found.n_held_back) == (n, 0)
    assert found.steps > 0
    np.testing.assert_array_equal(found.history["watched_loss"], found.history["adapted_loss"])


def test_no_step_is_no_change(world):
    data, potential, new = world
    config = STEPS.model_copy(update={"n_steps": 0})
    found = adapt(potential, data, prior_level="soft", index=new, config=config)
    assert same(weights(found.potential), weights(potential))
    assert (found.steps, found.stopped) == (0, "steps")


def test_another_levels_labels_through_the_priors_head(world):
    data, potential, new = world
    soft = data.labels("soft")
    data = data.with_level("wrong", Labels(energy=-soft.energy, forces=-soft.forces))
    right = adapt(potential, data, prior_level="soft", index=new, config=STEPS)
    wrong = adapt(potential, data, prior_level="soft", labels="wrong", index=new, config=STEPS)
    assert wrong.history["prior_loss"][0] > 1.5 * right.history["prior_loss"][0]


def test_failed_prior_labels_are_left_out_and_counted(world):
    data, potential, new = world
    good = np.isin(np.arange(len(data)), new[2:])
    lame = relabelled(data, "soft", has_energy=good, has_forces=good)
    found = adapt(potential, lame, prior_level="soft", index=new, config=STEPS)
    assert (found.left_out, found.n_adapted + found.n_held_back) == (2, len(new) - 2)
    without = adapt(potential, data, prior_level="soft", index=new[2:], config=STEPS)
    assert same(weights(found.potential), weights(without.potential))
    with pytest.raises(DataError, match="None of 2 conformers"):
        adapt(potential, lame, prior_level="soft", index=new[:2])


def test_what_is_missing_is_told(world):
    data, potential, new = world
    plain = fit(
        SMALL, data, level="springs", train=new, config=TrainingConfig(n_updates=1, device="cpu")
    ).potential
    for call in (adapt, prior_loss):
        with pytest.raises(ConfigurationError, match=r"no head for the prior 'soft'.*PriorTask"):
            call(plain, data, prior_level="soft")
    with pytest.raises(DataError, match="no level of theory 'wrong'"):
        adapt(potential, data, prior_level="soft", labels="wrong")
    with pytest.raises(ValueError, match="n_step"):
        TestTimeConfig(n_step=3)
