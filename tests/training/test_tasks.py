from dataclasses import replace

import numpy as np
import pytest
import torch

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.tables import Labels
from breadth.training import PriorTask, TrainingConfig, fit, predict
from breadth.training.batches import FrameStore
from breadth.training.loss import SMOOTH, batch_loss

SMALL = {"name": "painn", "n_features": 16, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
QUICK = TrainingConfig(n_updates=12, batch_size=4, device="cpu")


def weights(potential):
    return {k: v.clone() for k, v in potential.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def joint(data, config=QUICK, *, train=None, prior=None, **options):
    everything = np.arange(len(data))
    return fit(
        SMALL,
        data,
        level="springs",
        train=everything if train is None else train,
        config=config,
        prior=prior or PriorTask(level="soft", train=everything),
        **options,
    )


def force_error(potential, data, level):
    truth = data.labels(level).forces
    return np.abs(predict(potential, data, level=level).forces - truth).mean()


def test_learns_two_levels_at_once(with_prior):
    data = with_prior()
    config = QUICK.model_copy(update={"n_updates": 150, "batch_size": 6, "learning_rate": 0.01})
    found = joint(data, config, train=np.arange(0, len(data), 2)).potential
    assert found.levels == ("springs", "soft")
    for level in found.levels:
        assert force_error(found, data, level) < 0.5 * np.abs(data.labels(level).forces).mean()
    # Energies of the prior are relative, whatever isolated atoms it has.
    assert found.energies_are_absolute(data.numbers, "springs")
    assert not found.energies_are_absolute(data.numbers, "soft")


def test_prior_may_cover_conformers_without_labels(with_prior):
    data = with_prior()
    labels = data.labels("springs")
    few = np.arange(len(data)) < 6
    data = data.with_level(
        "springs",
        Labels(
            energy=labels.energy, forces=labels.forces, has_energy=few, has_forces=few,
            reference_energies=labels.reference_energies,
        ),
    )  # fmt: skip
    assert np.isfinite(joint(data, train=np.flatnonzero(few)).history["loss"]).all()


def test_conformational_loss_in_closed_form(with_prior):
    data = with_prior()
    model = joint(data).potential
    rows = np.array([0, 1, 2, 13, 14, 30])
    batch, targets = FrameStore(data, rows, level="soft").labelled(np.arange(len(rows)))
    only_energies = QUICK.model_copy(update={"force_weight": 0.0, "energy_weight": 1.0})
    found = batch_loss(
        model, batch, targets, "soft", only_energies, differentiable=False, conformational=True
    )
    off = predict(model, data.select(rows), level="soft").energy - data.labels("soft").energy[rows]
    for molecule in np.unique(data.molecule[rows]):
        mine = data.molecule[rows] == molecule
        off[mine] -= off[mine].mean()
    assert off[-1] == 0.0
    size = off / (float(model.scales[1]) * np.sqrt(data.counts[rows]))
    np.testing.assert_allclose(float(found), np.sqrt(size**2 + SMOOTH**2).mean(), rtol=1e-4)


def test_offsets_of_a_prior_teach_nothing(with_prior):
    plain = joint(with_prior()).potential
    shifted = joint(with_prior(offsets=[100.0, -40.0, 7.0])).potential
    for (name, a), b in zip(plain.named_parameters(), shifted.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


def test_record_order_and_interruption_change_no_bit(with_prior, tmp_path):
    data = with_prior()
    start = fit(SMALL, data, level="soft", train=np.arange(9), config=QUICK).potential
    frozen = [n for n in start.depth() if n.startswith("embedding")]
    config = QUICK.model_copy(update={"checkpoint_every": 4})
    options = {"start": start, "frozen": frozen, "seed": 2}
    straight = weights(joint(data, config, **options).potential)
    mixed = data.select(np.random.default_rng(0).permutation(len(data)))
    assert same(straight, weights(joint(mixed, config, **options).potential))

    def stop(update, total, loss):
        if update == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        joint(data, config, directory=tmp_path, progress=stop, **options)
    seen = []
    resumed = joint(
        data, config, directory=tmp_path, progress=lambda u, n, x: seen.append(u), **options
    )
    assert seen[0] == 9
    assert same(straight, weights(resumed.potential))
    for changed in (
        {**options, "frozen": []},
        {**options, "prior": PriorTask(level="soft", train=np.arange(4))},
        {**options, "prior": PriorTask(level="soft", train=np.arange(len(data)), weight=2.0)},
        {**options, "start": resumed.potential},
    ):
        with pytest.raises(ConfigurationError, match="another fit"):
            joint(data, config, directory=tmp_path, **changed)


def test_frozen_parameters_and_idle_heads_stay(with_prior):
    data = with_prior()
    start = joint(data, levels=("later",)).potential
    start.set_cutoff_range(6.0, 9.0)
    before = weights(start)
    assert start.levels == ("springs", "soft", "later")
    frozen = [n for n in start.depth() if n.startswith(("embedding", "messages.0"))]
    strong = QUICK.model_copy(update={"weight_decay": 0.5})
    found = fit(
        None, data, level="springs", train=np.arange(len(data)), config=strong, start=start,
        frozen=frozen,
    ).potential  # fmt: skip
    assert same(before, weights(start))
    assert found.cutoff_range == (6.0, 9.0)
    after = weights(found)
    for name, _ in found.named_parameters():
        stays = name in frozen or name.startswith(("heads.1", "heads.2"))
        assert torch.equal(before[name], after[name]) == stays, name


def test_a_new_level_comes_first_and_old_heads_keep_their_levels(with_prior):
    data = with_prior()
    first = fit(SMALL, data, level="soft", train=np.arange(9), config=QUICK).potential
    second = fit(
        None, data, level="springs", train=np.arange(9), config=QUICK, start=first,
        frozen=[n for n in first.depth() if not n.startswith("heads")],
    ).potential  # fmt: skip
    assert second.levels == ("springs", "soft")
    before, after = (predict(p, data, level="soft") for p in (first, second))
    np.testing.assert_array_equal(before.forces, after.forces)
    np.testing.assert_array_equal(before.energy, after.energy)
    assert before.reference_energies == after.reference_energies


def test_absolute_energies_keep_their_references(with_prior):
    data = with_prior()
    start = joint(data, train=np.arange(12)).potential
    tiny = QUICK.model_copy(update={"n_updates": 1, "learning_rate": 1e-12})
    found = fit(None, data, level="springs", train=np.arange(9), config=tiny, start=start).potential
    assert torch.equal(found.references[0], start.references[0])
    assert torch.equal(found.scales, start.scales)


def test_relative_energies_begin_without_an_offset(with_prior):
    data = with_prior(atoms=False)
    loose = QUICK.model_copy(update={"relative_energies": True})
    start = joint(data, loose, train=np.flatnonzero(data.molecule < 2)).potential
    new = np.flatnonzero(data.molecule == 2)
    off = data.labels("springs").energy - predict(start, data).energy
    assert abs(off[new].mean()) > 1.0
    tiny = loose.model_copy(update={"n_updates": 1, "learning_rate": 1e-12})
    found = fit(None, data, level="springs", train=new, config=tiny, start=start).potential
    off = data.labels("springs").energy - predict(found, data).energy
    assert abs(off[new].mean()) < 1e-4
    assert force_error(found, data, "springs") == pytest.approx(force_error(start, data, "springs"))


def test_failed_prior_labels_are_left_out_and_counted(with_prior):
    data = with_prior()
    soft = data.labels("soft")
    bad = np.zeros(len(data), dtype=bool)
    bad[[0, 5, 7]] = True
    lame = data.with_level("soft", Labels(
        energy=np.where(bad, 0.0, soft.energy), forces=soft.forces, has_energy=~bad,
        has_forces=~bad,
    ))  # fmt: skip
    found = joint(lame)
    assert found.left_out == 3
    without = joint(data, prior=PriorTask(level="soft", train=np.flatnonzero(~bad)))
    assert same(weights(found.potential), weights(without.potential))
    with pytest.raises(DataError, match=r"prior 'soft' \(missing\)"):
        joint(lame, prior=PriorTask(level="soft", train=np.flatnonzero(bad)))
    told = lame.with_level("soft", replace(lame.labels("soft"), faults={5: "no parameters"}))
    with pytest.raises(DataError, match=r"prior 'soft' \(no parameters\)"):
        joint(told, prior=PriorTask(level="soft", train=np.flatnonzero(bad)))


def test_contradictions_are_told(with_prior):
    data = with_prior()
    rows = np.arange(9)
    start = joint(data).potential
    options = {"level": "springs", "train": rows, "config": QUICK}
    with pytest.raises(ConfigurationError, match="one level"):
        fit(SMALL, data, prior=PriorTask(level="springs", train=rows), **options)
    with pytest.raises(ConfigurationError, match="start from"):
        fit(None, data, **options)
    with pytest.raises(ConfigurationError, match="n_features 16, not 32"):
        fit({**SMALL, "n_features": 32}, data, start=start, **options)
    with pytest.raises(ConfigurationError, match="no parameter 'embeding'"):
        fit(None, data, start=start, frozen=["embeding"], **options)
    with pytest.raises(ConfigurationError, match="All parameters"):
        fit(None, data, start=start, frozen=start.depth(), **options)
    with pytest.raises(ConfigurationError, match="above 0"):
        PriorTask(level="soft", train=rows, weight=0.0)
