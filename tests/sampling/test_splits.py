"""Hold-outs: exact, disjoint, the same in any order of records."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity.conformers import ConformerSet, Labels
from breadth.diversity.errors import ConfigurationError, DataError, ShortageError
from breadth.diversity.scaffolds import scaffolds
from breadth.sampling.blocks import block_split
from breadth.sampling.designs import FixedMolecules
from breadth.sampling.disjoint import check_disjoint
from breadth.sampling.high_forces import force_norms, high_forces
from breadth.sampling.splits import MOLECULE_POOLS, HoldOuts

ASKED = {
    "n_unseen_molecules": 4,
    "n_unseen_scaffolds": 3,
    "n_larger": 3,
    "largest_trained": 8,
    "n_test_conformers": 3,
    "n_available": 4,
}


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_pools_have_their_counts_and_share_nothing(pool: ConformerSet, seed: int) -> None:
    found = HoldOuts(**ASKED, random_state=seed).partition(pool)
    rows = {name: np.flatnonzero(found.pool == name) for name in MOLECULE_POOLS}
    constitution, frame = pool.molecules.constitution, scaffolds(pool)
    assert len(np.unique(constitution[rows["unseen_molecules"]])) == 4
    assert len(np.unique(constitution[rows["unseen_scaffolds"]])) == 3
    assert len(rows["larger_molecules"]) == 3
    for name in MOLECULE_POOLS:
        assert not set(constitution[rows[name]]) & set(constitution[found.trainable])
        assert len(found.test_set(name)) == 3 * len(rows[name])
        assert set(pool.molecule[found.test_set(name)]) == set(rows[name])
    assert not set(frame[rows["unseen_scaffolds"]]) & set(frame[found.trainable])
    heavy = np.array([(pool.numbers[pool.atoms_slice(i)] > 1).sum() for i in range(len(pool))])
    assert heavy[found.available].max() <= 8
    assert heavy[found.test_set("larger_molecules")].min() > 8


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_seen_molecules_keep_conformers_and_minima_apart(pool: ConformerSet, seed: int) -> None:
    found = HoldOuts(**ASKED, random_state=seed).partition(pool)
    molecules = found.trainable
    seen = found.test_set("seen_conformers", molecules)
    minima = found.test_set("unseen_minima", molecules)
    assert len(seen) == 3 * len(molecules)
    assert len(minima) > 0
    assert not found.available[np.concatenate([seen, minima])].any()
    assert (np.bincount(pool.molecule[found.available])[molecules] >= 4).all()
    for row in np.unique(pool.molecule[minima]):
        held = set(pool.minimum[minima][pool.molecule[minima] == row])
        trained = pool.minimum[found.available & (pool.molecule == row)]
        reserved = pool.minimum[seen][pool.molecule[seen] == row]
        assert len(held) == 1
        assert not held & (set(trained) | set(reserved))
        assert 0 not in held
    few = found.test_set("own_conformers", molecules[:2])
    assert set(pool.molecule[few]) == set(molecules[:2])


def test_the_order_of_records_does_not_matter(pool: ConformerSet) -> None:
    shuffled = pool.select(np.random.default_rng(0).permutation(len(pool)))
    one, other = (HoldOuts(**ASKED, random_state=3).partition(p) for p in (pool, shuffled))
    assert set(pool.id[one.available]) == set(shuffled.id[other.available])
    for name in one.tests:
        assert set(pool.id[one.tests[name]]) == set(shuffled.id[other.tests[name]])


def test_designs_over_what_is_available_leak_nothing(pool: ConformerSet) -> None:
    found = HoldOuts(**ASKED).partition(pool)
    design = FixedMolecules(n_molecules=6, n_conformers=4, n_validation=4).design(
        pool, found.available
    )
    frames = np.concatenate([design.train, design.validation])
    for name in ("seen_conformers", "own_conformers", "unseen_minima"):
        check_disjoint(pool, frames, found.test_set(name, design.molecules))
    check_disjoint(
        pool, frames, found.test_set("unseen_scaffolds"), by=("constitution", "scaffold")
    )


def test_unseen_elements(pool: ConformerSet) -> None:
    found = HoldOuts(unseen_elements=["N"], n_unseen_elements=3, n_test_conformers=2).partition(
        pool
    )
    has = np.array([7 in pool.numbers[pool.atoms_slice(i)] for i in range(len(pool))])
    assert not has[found.available].any()
    assert has[found.test_set("unseen_elements")].all()
    with pytest.raises(ConfigurationError, match="'Xx' is no chemical element"):
        HoldOuts(unseen_elements=["Xx"]).partition(pool)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_unseen_molecules": 60}, r"unseen_molecules: 60 .* 25: 35 are missing"),
        ({"n_larger": 40, "largest_trained": 8}, "larger_molecules: 40"),
        ({"n_unseen_scaffolds": 26}, "unseen scaffolds"),
        ({"n_test_conformers": 10, "n_available": 10}, "No molecule is left to train on"),
        ({"n_unseen_molecules": 25}, "No molecule is left to train on"),
    ],
)
def test_what_cannot_be_held_out_says_so(
    pool: ConformerSet, asked: dict[str, int], message: str
) -> None:
    with pytest.raises(ShortageError, match=message):
        HoldOuts(**asked).partition(pool)


def test_molecules_are_held_out_of_a_set_without_smiles(pool: ConformerSet) -> None:
    bare = replace(pool, molecules=replace(pool.molecules, smiles=None))
    asked = HoldOuts(n_unseen_molecules=3, n_test_conformers=2)
    assert np.array_equal(asked.partition(bare).pool, asked.partition(pool).pool)
    with pytest.raises(DataError, match="no SMILES"):
        HoldOuts(n_unseen_scaffolds=2, n_test_conformers=2).partition(bare)


def test_larger_molecules_need_a_limit_and_seen_ones_their_molecules(pool: ConformerSet) -> None:
    with pytest.raises(ConfigurationError, match="largest_trained"):
        HoldOuts(n_larger=2).partition(pool)
    found = HoldOuts(n_test_conformers=2).partition(pool)
    with pytest.raises(ConfigurationError, match="which molecules"):
        found.test_set("own_conformers")
    with pytest.raises(ConfigurationError, match="No hold-out is called 'test'"):
        found.test_set("test")


def test_the_invariant_raises_on_each_kind_of_leak(pool: ConformerSet) -> None:
    rows = [np.flatnonzero(pool.molecule == row) for row in range(pool.n_molecules)]
    check_disjoint(pool, rows[0], rows[1], by=("id", "constitution"))
    with pytest.raises(DataError, match="1 values of id"):
        check_disjoint(pool, rows[0], rows[0][:1])
    # The fifth and sixth molecule are mirror images.
    check_disjoint(pool, rows[4], rows[5], by=("id",))
    with pytest.raises(DataError, match="constitution"):
        check_disjoint(pool, rows[4], rows[5], by=("constitution",))
    with pytest.raises(DataError, match="scaffold"):
        check_disjoint(pool, rows[4], rows[5], by=("scaffold",))
    with pytest.raises(DataError, match="minimum"):
        check_disjoint(pool, rows[0][::2], rows[0][1::2], by=("minimum",))
    with pytest.raises(ConfigurationError, match="'formula'"):
        check_disjoint(pool, rows[0], rows[1], by=("formula",))


def test_high_forces_lie_above_the_training_distribution(pool: ConformerSet) -> None:
    some = pool.select(np.arange(40))
    sizes = np.linspace(1.0, 2.0, 40)
    forces = np.zeros((some.n_atoms, 3))
    forces[:, 1] = sizes[some.atom_conformer]
    some = some.with_level("made", Labels(energy=np.zeros(40), forces=forces))
    np.testing.assert_allclose(force_norms(some), sizes)
    train, candidates = np.arange(0, 40, 2), np.arange(1, 40, 2)
    limit = sizes[train].mean() + sizes[train].std()
    np.testing.assert_array_equal(
        high_forces(some, train, candidates), candidates[sizes[candidates] > limit]
    )
    with pytest.raises(DataError, match="leaks"):
        high_forces(some, train, train)


def trajectories(pool: ConformerSet, lengths: list[int]) -> ConformerSet:
    frames = pool.select(np.arange(sum(lengths)))
    return replace(
        frames,
        trajectory=np.repeat(np.arange(len(lengths)), lengths),
        time=np.concatenate([np.arange(n, dtype=float) for n in lengths]),
    )


@given(st.integers(0, 2**31), st.integers(0, 6), st.floats(0.1, 0.5))
@settings(max_examples=40, deadline=None)
def test_blocks_are_contiguous_with_a_gap(
    pool: ConformerSet, seed: int, gap: int, fraction: float
) -> None:
    frames = trajectories(pool, [40, 25])
    train, test = block_split(frames, test_fraction=fraction, gap=gap, random_state=seed)
    for trajectory, length in ((0, 40), (1, 25)):
        inside = test[frames.trajectory[test] == trajectory]
        left = train[frames.trajectory[train] == trajectory]
        times = frames.time[inside]
        assert len(times) == max(1, round(fraction * length))
        np.testing.assert_array_equal(np.diff(times), 1.0)
        apart = np.abs(frames.time[left][:, None] - times[None])
        assert apart.min() == gap + 1
        assert len(left) > 0


def test_blocks_need_trajectories_long_enough(pool: ConformerSet) -> None:
    with pytest.raises(ShortageError, match="No conformer belongs to a trajectory"):
        block_split(pool)
    with pytest.raises(ShortageError, match="has 12 frames"):
        block_split(trajectories(pool, [12]), test_fraction=0.5, gap=6)
    with pytest.raises(ConfigurationError, match="test_fraction"):
        block_split(trajectories(pool, [12]), test_fraction=1.5)
