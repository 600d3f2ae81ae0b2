"""Equally large parts of sets."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.diversity import ConformerSet, ShortageError
from breadth.diversity.measures.chain_rule import TERMS
from breadth.diversity.measures.partition import partition
from breadth.diversity.measures.rarefaction import rarefied, rarefied_partition
from breadth.sampling import GeometrySettings, bundled_molecules, sample_geometries


@pytest.fixture(scope="module")
def pool() -> ConformerSet:
    conformers, _ = sample_geometries(
        bundled_molecules()[::170], n_conformers=12, settings=GeometrySettings(), seed=1
    )
    return conformers


def test_rarefied_sets_have_the_size_asked_for_whatever_the_order(pool: ConformerSet) -> None:
    part = rarefied(pool, n_molecules=5, n_conformers=4, seed=3)
    assert part.n_molecules == 5
    assert np.bincount(part.molecule).tolist() == [4] * 5
    order = np.random.default_rng(1).permutation(len(pool))
    again = rarefied(pool.select(order), n_molecules=5, n_conformers=4, seed=3)
    assert set(again.id.tolist()) == set(part.id.tolist())
    assert set(rarefied(pool, n_molecules=5, n_conformers=4, seed=4).id.tolist()) != set(
        part.id.tolist()
    )
    with pytest.raises(ShortageError, match="12 molecules with 13 conformers"):
        rarefied(pool, n_molecules=12, n_conformers=13)


def test_rarefaction_makes_parts_of_one_set_alike(pool: ConformerSet) -> None:
    whole = rarefied_partition(pool, n_molecules=6, n_conformers=6, repeats=8)
    half = rarefied_partition(
        pool.select(np.flatnonzero(np.arange(len(pool)) % 12 < 8)),
        n_molecules=6,
        n_conformers=6,
        repeats=8,
    )
    for name in TERMS:
        one, other = getattr(whole, name), getattr(half, name)
        assert abs(one.value - other.value) < 0.35
        assert one.interval[0] < other.value < one.interval[1]
    assert partition(pool).structural.value > whole.structural.value  # why it is needed
