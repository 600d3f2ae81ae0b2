import numpy as np
import pytest
import torch

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.tables import Labels
from breadth.training import (
    TrainingConfig,
    build_potential,
    fit,
    load_potential,
    predict,
    save_potential,
)
from breadth.training.refinement import (
    FINE_TUNING,
    adopt_level,
    fine_tune,
    head,
    representation,
    with_level,
)

SMALL = {"name": "painn", "n_features": 16, "n_layers": 2, "n_basis": 4, "cutoff": 8.0}
SHORT = FINE_TUNING.model_copy(update={"n_updates": 20, "device": "cpu"})
#: What the new level's atoms have more than those of the level that the head was learnt at, eV.
MORE = {1: 5.0, 6: -300.0, 8: 70.0}


@pytest.fixture(scope="module")
def learnt():
    return {}


@pytest.fixture
def world(make_toy, learnt):
    """Make a potential of `springs`, and labels of `stiff`: forces 1.1 times, other atoms."""
    data = make_toy()
    if not learnt:
        config = TrainingConfig(n_updates=40, batch_size=6, device="cpu")
        learnt["it"] = fit(SMALL, data, level="springs", train=np.arange(36), config=config)
    labels = data.labels("springs")
    more = np.bincount(data.atom_conformer, [MORE[int(z)] for z in data.numbers])

    def at(atoms):
        stiff = Labels(
            energy=labels.energy + more,
            forces=1.1 * labels.forces,
            reference_energies={z: labels.reference_energies[z] + MORE[z] for z in atoms},
        )
        return data.with_level("stiff", stiff)

    return at, learnt["it"].potential


def test_the_new_level_predicts_what_the_old_one_does(world, tmp_path):
    data, start = world[0]([]), world[1]
    made = with_level(start, "stiff")
    assert made.levels == ("stiff", "springs")
    assert start.levels == ("springs",)
    assert not made.seen[0].any()
    for level in made.levels:
        a, b = predict(start, data), predict(made, data, level=level)
        np.testing.assert_array_equal(a.energy, b.energy)
        np.testing.assert_array_equal(a.forces, b.forces)
    save_potential(tmp_path, made)
    again, _ = load_potential(tmp_path)
    assert all(torch.equal(x, again.state_dict()[k]) for k, x in made.state_dict().items())
    # Heads are apart: what one learns, the other does not.
    with torch.no_grad():
        made.heads[0][0].weight += 1
    np.testing.assert_array_equal(
        predict(made, data, level="springs").energy, predict(start, data).energy
    )


def test_the_head_is_that_of_the_level_it_is_like():
    made = build_potential("painn", n_layers=1, levels=("a", "b"))
    made.set_level("b", references={1: -3.0}, scale=2.5, anchored=[1])
    found = with_level(made, "c", like="b")
    assert float(found.scales[0]) == 2.5
    for new, old in zip(head(found, "c"), head(made, "b"), strict=True):
        assert torch.equal(found.get_parameter(new), made.get_parameter(old))
    with pytest.raises(ConfigurationError, match="has the level 'a' already"):
        with_level(made, "a")
    with pytest.raises(ConfigurationError, match="no level 'd'"):
        with_level(made, "c", like="d")


@pytest.mark.parametrize("atoms", [[], [1, 6, 8], [6]])
def test_references_move_before_any_update(world, atoms):
    data, start = world[0](atoms), world[1]
    made = adopt_level(start, data, level="stiff")
    off = predict(made, data, level="stiff").energy - data.labels("stiff").energy
    old = predict(start, data).energy - data.labels("springs").energy
    # 1,100 eV and more apart; left is what the potential was off already.
    means = [off[data.molecule == m].mean() for m in range(3)]
    assert np.abs(means).max() < 0.5 + np.abs(old).max()
    assert made.energies_are_absolute([1, 6, 8], "stiff") == (len(atoms) == 3)
    if len(atoms) == 3:
        # The normal equations, by hand, in changes against those of the isolated atoms.
        n = np.array([
            [(data.numbers[data.atoms_slice(12 * m)] == z).sum() for z in MORE] for m in range(3)
        ])  # fmt: skip
        table = start.references[0, list(MORE)].numpy()
        atoms = np.array([data.labels("stiff").reference_energies[z] for z in MORE]) - table
        above = data.labels("stiff").energy - predict(start, data).energy
        above = np.array([above[data.molecule == m].mean() for m in range(3)]) - n @ atoms
        expected = atoms + np.linalg.solve(n.T @ n + 0.1 * np.eye(3), n.T @ above)
        found = (made.references[0] - start.references[0])[list(MORE)].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert made.levels == ("stiff", "springs")
    np.testing.assert_array_equal(
        predict(made, data, level="springs").energy, predict(start, data).energy
    )


def test_one_composition_moves_by_its_mean(world):
    data, start = world[0]([]), world[1]
    rows = np.flatnonzero(data.molecule == 0)
    made = adopt_level(start, data, level="stiff", index=rows)
    part = data.select(rows)
    off = part.labels("stiff").energy - predict(made, part, level="stiff").energy
    assert abs(off.mean()) < 1e-3
    change = (made.references[0] - start.references[0])[torch.as_tensor([1, 6, 8])]
    expected = part.labels("stiff").energy - predict(start, part).energy
    there = np.isin([1, 6, 8], part.elements)
    np.testing.assert_allclose(change[there], expected.mean() / part.counts[0], atol=1e-3)


def test_without_energies_references_stay(world):
    data, start = world[0]([]), world[1]
    labels = data.labels("stiff")
    bare = Labels(
        energy=0 * labels.energy, forces=labels.forces, has_energy=np.zeros(len(data), dtype=bool)
    )
    made = adopt_level(start, data.with_level("stiff", bare), level="stiff")
    assert torch.equal(made.references[0], start.references[0])


@pytest.mark.parametrize("what", ["all", "heads", "last:1", "low_rank:2"])
def test_what_moves_and_what_stays(world, what):
    data, start = world[0]([1, 6, 8]), world[1]
    found = fine_tune(
        start, data, level="stiff", index=np.arange(10), what=what, config=SHORT
    ).potential
    assert found.levels == ("stiff", "springs")
    before, after = start.state_dict(), found.state_dict()
    shared = representation(start)
    moved = {n for n in shared if not torch.equal(before[n], after[n])}
    assert set(after) == set(with_level(start, "stiff").state_dict())
    expected = {
        "all": set(shared),
        "heads": set(),
        "last:1": {n for n in shared if ".1." in n},
        "low_rank:2": {n for n in shared if before[n].ndim == 2 and "embedding" not in n},
    }[what]
    assert moved == expected
    for new, old in zip(head(found, "springs"), head(start, "springs"), strict=True):
        assert torch.equal(after[new], before[old])
    if what == "low_rank:2":
        for name in moved:
            values = torch.linalg.svdvals(after[name].double() - before[name].double())
            assert (values[2:] < 1e-5 * values[0]).all()
            assert values[0] > 0
    truth = data.labels("stiff").forces
    errors = [np.abs(predict(p, data).forces - truth).mean() for p in (start, found)]
    assert errors[1] < errors[0]


def test_an_interrupted_run_ends_the_same(world, tmp_path):
    data, start = world[0]([1, 6, 8]), world[1]
    config = SHORT.model_copy(update={"n_updates": 8, "checkpoint_every": 4})
    options = {"level": "stiff", "index": np.arange(8), "what": "low_rank:1", "config": config}
    whole = fine_tune(start, data, **options)

    def stop(update, total, loss):
        if update == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(start, data, directory=tmp_path, progress=stop, **options)
    rest = []
    again = fine_tune(
        start, data, directory=tmp_path, progress=lambda u, *_: rest.append(u), **options
    )
    assert rest == [5, 6, 7, 8]
    expected = whole.potential.state_dict()
    assert all(torch.equal(x, expected[k]) for k, x in again.potential.state_dict().items())
    with pytest.raises(ConfigurationError, match="another fit"):
        fine_tune(start, data, directory=tmp_path, **options | {"what": "all"})


@pytest.mark.parametrize("what", ["some", "last", "last:0", "last:9", "low_rank:0", "low_rank:-1"])
def test_ways_that_are_none(world, what):
    with pytest.raises(ConfigurationError, match="last"):
        fine_tune(world[1], world[0]([]), level="stiff", index=np.arange(3), what=what)


def test_a_level_that_it_knows_begins_like_no_other(world):
    data, start = world[0]([]), world[1]
    rows = np.arange(3)
    with pytest.raises(ConfigurationError, match="'springs' already"):
        fine_tune(start, data, level="springs", index=rows, like="springs", config=SHORT)
    with pytest.raises(ConfigurationError, match="'springs' already"):
        adopt_level(start, data, level="springs", index=rows, like="other")


def test_nothing_to_learn_from(world):
    with pytest.raises(DataError, match="no conformer"):
        fine_tune(world[1], world[0]([]), level="stiff", index=np.zeros(36, dtype=bool))
