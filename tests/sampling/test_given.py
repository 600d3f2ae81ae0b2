"""Designs and hold-outs beside a set that is given: added to, complemented, never repeated."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity.conformers import ConformerSet, Molecules
from breadth.diversity.errors import ConfigurationError, DataError, ShortageError
from breadth.diversity.scaffolds import scaffolds
from breadth.sampling.designs import FixedBudget, FixedMolecules
from breadth.sampling.disjoint import check_disjoint
from breadth.sampling.given import may_grow
from breadth.sampling.selecting import select
from breadth.sampling.splits import MOLECULE_POOLS, HoldOuts
from breadth.studies.registry import featurizer, selector


def some(pool: ConformerSet, molecules: int, conformers: int, seed: int) -> ConformerSet:
    """Return a training set of a pool, as a file of the user's own holds it: in another order."""
    made = FixedMolecules(n_molecules=molecules, n_conformers=conformers, random_state=seed)
    return pool.select(np.random.default_rng(seed).permutation(made.design(pool).train))


@given(st.sampled_from(["both", "molecules", "conformers"]), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_what_is_given_is_not_chosen_and_counts_in_no_budget(
    pool: ConformerSet, grow: str, m: int, seed: int
) -> None:
    before = some(pool, 5, 6, seed)
    design = FixedBudget(budget=4 * m, n_molecules=m, n_validation=1, random_state=seed)
    made = design.design(pool, given=before, grow=grow)
    chosen = np.concatenate([made.train, made.validation])
    assert len(chosen) == 4 * m
    assert not np.isin(pool.id[chosen], before.id).any()
    known = np.isin(pool.molecules.key[made.molecules], before.molecules.key)
    if grow != "both":
        assert known.all() == (grow == "conformers")


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_hold_outs_share_nothing_with_what_is_given(pool: ConformerSet, seed: int) -> None:
    before = some(pool, 6, 4, seed % 1000)
    asked = {"n_unseen_molecules": 3, "n_unseen_scaffolds": 2, "n_test_conformers": 3}
    found = HoldOuts(**asked, n_available=3, random_state=seed).partition(pool, before)
    assert not found.available[np.isin(pool.id, before.id)].any()
    for name in MOLECULE_POOLS:
        test = found.test_set(name)
        theirs = pool.molecules.constitution[pool.molecule[test]]
        assert not np.isin(theirs, before.molecules.constitution).any()
        if name == "unseen_scaffolds":
            assert len(test) == 6
            assert not np.isin(scaffolds(pool)[pool.molecule[test]], scaffolds(before)).any()
    seen = {(pool.molecules.key[m], k) for m, k in zip(pool.molecule, pool.minimum, strict=True)}
    taken = set(zip(before.molecules.key[before.molecule], before.minimum, strict=True))
    assert taken <= seen
    minima = found.test_set("unseen_minima", found.trainable)
    held = zip(pool.molecules.key[pool.molecule[minima]], pool.minimum[minima], strict=True)
    assert not set(held) & taken
    for name in ("seen_conformers", "unseen_minima"):
        test = found.test_set(name, found.trainable)
        assert not np.isin(pool.id[test], before.id).any()


def test_minima_that_a_given_set_does_not_tell_are_not_called_unseen(pool: ConformerSet) -> None:
    before = some(pool, 8, 4, 0)
    silent = replace(before, minimum=np.full(len(before), -1))
    holds = HoldOuts(n_test_conformers=2, n_available=2)
    known = np.isin(pool.molecules.key, before.molecules.key)
    told, untold = (holds.partition(pool, g).tests["unseen_minima"] for g in (before, silent))
    assert known[pool.molecule[told]].any()
    assert not known[pool.molecule[untold]].any()


def test_a_leak_of_what_is_given_is_an_error(pool: ConformerSet) -> None:
    rows = np.flatnonzero(pool.molecule == 0)
    none = np.zeros(0, dtype=np.int64)
    check_disjoint(pool, none, rows[2:], by=("id",), given=pool.select(rows[:2]))
    for by, test in (("id", rows[1:]), ("constitution", rows[2:]), ("scaffold", rows[2:])):
        with pytest.raises(DataError, match=f"values of {by}"):
            check_disjoint(pool, none, test, by=(by,), given=pool.select(rows[:2]))


def line(places: list[float], molecule: str = "m") -> ConformerSet:
    """Return conformers of one molecule, two atoms so far apart."""
    positions = np.zeros((2 * len(places), 3))
    positions[1::2, 0] = places
    return ConformerSet(
        molecules=Molecules(key=np.array([molecule])),
        molecule=np.zeros(len(places), dtype=int),
        numbers=np.full(2 * len(places), 18),
        positions=positions,
        offsets=2 * np.arange(len(places) + 1),
    )


def test_selectors_complement_what_is_given() -> None:
    """Of distances 2 … 5 beside a given 2, the farthest is 5; beside 2 and 5, one of the middle."""
    pool = line([2.0, 2.3, 3.1, 3.4, 5.0])
    chooser = FixedMolecules(
        n_molecules=1,
        n_conformers=1,
        conformer_selector=selector("fps"),
        featurizer=featurizer("compact"),
    )
    assert chooser.design(pool, given=pool.select([0])).train.tolist() == [4]
    assert chooser.design(pool, given=pool.select([0, 4])).train.tolist() in ([2], [3])


def test_a_set_of_another_rule_of_identity_is_met_by_constitution(pool: ConformerSet) -> None:
    """Keys of two files differ; a choice of conformers still complements those of its molecule."""
    before = some(pool, 4, 6, 3)
    keys = np.array([f"other {i}" for i in range(before.n_molecules)])
    renamed = replace(
        before,
        molecules=replace(before.molecules, key=keys),
        metadata={**before.metadata, "identity_rule": "identifier"},
    )
    assert pool.metadata.get("identity_rule") != "identifier"
    np.testing.assert_array_equal(
        may_grow(pool, renamed, "conformers"),
        np.isin(pool.constitution, before.molecules.constitution) & ~np.isin(pool.id, before.id),
    )
    # Of these molecules none has a stereoisomer in the pool, so both names mean the same.
    one = np.bincount(np.unique(pool.molecules.constitution, return_inverse=True)[1])
    names = np.unique(pool.molecules.constitution)[one == 1]
    single = before.select(np.flatnonzero(np.isin(before.constitution, names)))
    again = renamed.select(np.flatnonzero(np.isin(before.constitution, names)))
    part = pool.select(np.flatnonzero(np.isin(pool.constitution, single.constitution)))
    options = {"level": "conformers", "budget": 3, "featurizer": featurizer("compact")}
    rows = [select(part, selector("fps"), given=g, **options) for g in (single, again)]
    np.testing.assert_array_equal(*rows)


def test_bad_ways_to_grow(pool: ConformerSet) -> None:
    with pytest.raises(ConfigurationError, match="a set grows by molecules, conformers or both"):
        may_grow(pool, pool, "sideways")
    with pytest.raises(ShortageError):
        FixedBudget(budget=2, n_molecules=1).design(pool, given=pool)
