"""All measures together: what a given bandwidth governs, and the size at which sets compare."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.diversity import ConfigurationError, ConformerSet, ShortageError
from breadth.diversity.measures.environments import CURVE
from breadth.diversity.measures.measure import compare, measure
from breadth.sampling import GeometrySettings, bundled_molecules, sample_geometries


@pytest.fixture(scope="module")
def pool() -> ConformerSet:
    conformers, _ = sample_geometries(
        bundled_molecules()[::500], n_conformers=4, settings=GeometrySettings(), seed=1
    )
    return conformers


def test_a_curve_stands_beside_a_given_bandwidth(pool: ConformerSet) -> None:
    found = measure(pool, bandwidth=0.3)["partition"]
    assert found["bandwidth"] == 0.3
    assert found["curve"]["bandwidth"] == pytest.approx([0.3 * m for m in CURVE])
    at = CURVE.index(1.0)
    assert found["curve"]["structural"][at] == pytest.approx(found["structural"]["value"])


def test_zero_is_refused_and_not_taken_for_a_default(pool: ConformerSet) -> None:
    sets = {"a": pool, "b": pool}
    with pytest.raises(ConfigurationError, match="bandwidth must be positive"):
        compare(sets, bandwidth=0.0)
    for size in ({"n_molecules": 0}, {"n_conformers": 0}):
        with pytest.raises(ShortageError):
            compare(sets, **size)


def test_a_set_compared_with_itself(pool: ConformerSet) -> None:
    shuffled = pool.select(np.random.default_rng(0).permutation(len(pool)))
    found = compare({"a": pool, "b": shuffled}, n_conformers=3, repeats=2)
    m = pool.n_molecules
    assert found["rarefied_to"] == {"n_molecules": m, "n_conformers": 3, "repeats": 2}
    assert found["shared"][0]["conformers"] == len(pool)
    assert found["shared"][0]["molecules"] == found["shared"][0]["scaffolds"] == m
    assert found["environments"][0]["b_in_a"]["pooled"]["overlap"]["value"] == 1.0
    a, b = (found["sets"][name]["partition"]["total"]["value"] for name in "ab")
    assert a == pytest.approx(b, abs=1e-4)
