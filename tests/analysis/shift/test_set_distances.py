"""Distances between samples: independent implementations, closed forms, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import linalg, stats

from breadth.analysis.shift.set_distances import (
    DISTANCES,
    EnergyDistance,
    Frechet,
    Mmd,
    SlicedWasserstein,
)

ALL = [kind() for kind in DISTANCES.values()]
NUMBERS = st.floats(-50, 50, width=32)


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) * [1, 2, 1] + [0.5, 0, 1]


def test_frechet_is_the_formula_with_matrix_roots(samples):
    a, b = samples
    one, two = (np.cov(x.T, bias=True) for x in samples)
    root = linalg.sqrtm(one @ two).real
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + two - 2 * root)
    assert Frechet().squared(a, b) == pytest.approx(want, rel=1e-9)
    wide = np.random.default_rng(1).normal(size=(2, 6, 40))  # more columns than rows
    one, two = (np.cov(x.T, bias=True) for x in wide)
    values = np.linalg.eigvals(one @ two).real
    want = ((wide[0].mean(0) - wide[1].mean(0)) ** 2).sum() + np.trace(one + two)
    want -= 2 * np.sqrt(np.maximum(values, 0)).sum()
    assert Frechet().squared(*wide) == pytest.approx(want, rel=1e-5)


def test_energy_distance_is_scipys(samples):
    a, b = (x[:, :1] for x in samples)
    want = stats.energy_distance(a[:, 0], b[:, 0])
    assert EnergyDistance().squared(a, b) ** 0.5 == pytest.approx(want, rel=1e-6)


def test_mmd_is_the_mean_of_kernels(samples):
    a, b = samples
    kernel = lambda x, y: np.exp(-((x - y) ** 2).sum() / (2 * 1.3**2))  # noqa: E731
    mean = lambda x, y: np.mean([[kernel(i, j) for j in y] for i in x])  # noqa: E731
    want = mean(a, a) + mean(b, b) - 2 * mean(a, b)
    assert Mmd(bandwidth=1.3).squared(a, b) == pytest.approx(want, rel=1e-9)


def test_debiased_mmd_is_grettons_unbiased_statistic(samples):
    """Over all halves; with 400 of them to within what is left of chance."""
    a, b = samples
    kind = Mmd(bandwidth=1.3)
    within = []
    for x in samples:
        k = kind._kernel(x, x)
        within.append((k.sum() - len(x)) / (len(x) * (len(x) - 1)))
    unbiased = sum(within) - 2 * kind._kernel(a, b).mean()
    assert kind.distance(a, b, n_cuts=400) ** 2 == pytest.approx(unbiased, abs=0.01)
    assert kind.squared(a, b) > unbiased + 0.04


def test_wasserstein_of_one_column_joins_quantiles(samples):
    a, b = (x[:, 0] for x in samples)
    # 60 is a common multiple of 30 and 20: as many copies of each, in order, are joined.
    want = np.mean((np.sort(np.repeat(a, 2)) - np.sort(np.repeat(b, 3))) ** 2)
    assert SlicedWasserstein().squared(a[:, None], b[:, None]) == pytest.approx(want)
    # A displacement v is seen by a direction u as u·v: its mean square is |v|²/d.
    moved = samples[0] + np.array([0, 0, 3.0])
    got = SlicedWasserstein(n_projections=20_000).squared(samples[0], moved)
    assert got == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
def test_a_row_alone_is_a_sample_of_one(kind, samples):
    a, b = samples
    settled = kind.prepared(a, b)
    want = [settled.squared(a, row[None]) for row in b]
    np.testing.assert_allclose(settled.score(a, b), want, rtol=1e-9)


@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
@given(x=arrays(np.float64, st.tuples(st.integers(2, 12), st.just(2)), elements=NUMBERS))
@settings(deadline=None, max_examples=20)
def test_a_sample_is_at_no_distance_from_itself(kind, x):
    found = kind.estimate(x, x)
    assert found.distance == 0.0
    assert found.interval[0] == 0.0


@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
def test_the_order_of_rows_and_of_samples_does_not_matter(kind, samples):
    a, b = samples
    settled = kind.prepared(a, b)
    assert settled.squared(a[::-1], b[::-1]) == pytest.approx(settled.squared(a, b), rel=1e-9)
    assert settled.squared(b, a) == pytest.approx(settled.squared(a, b), rel=1e-9)


@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
def test_random_halves_are_not_taken_for_shifted(kind):
    rng = np.random.default_rng(5)
    seen, raw = 0, []
    for _ in range(30):
        a, b = rng.normal(size=(2, 30, 5))
        seen += kind.estimate(a, b).interval[0] > 0
        raw.append(kind.prepared(a, b).squared(a, b) ** 0.5)
    assert seen <= 3
    assert min(raw) > 0.05  # as they are, all look shifted


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
def test_a_small_sample_of_the_same_population_is_not_taken_for_shifted(kind, turned):
    """Of many columns: its covariance is of low rank, that of the large one is not."""
    rng = np.random.default_rng(7)
    seen, found, raw = 0, [], []
    for _ in range(12):
        pair = rng.normal(size=(150, 20)), rng.normal(size=(14, 20))
        a, b = pair[::-1] if turned else pair
        estimate = kind.estimate(a, b)
        seen += estimate.interval[0] > 0
        found.append(estimate.distance)
        raw.append(kind.prepared(a, b).squared(a, b) ** 0.5)
    assert seen <= 1
    assert np.mean(found) < 0.35 * np.mean(raw)
    moved = kind.estimate(pair[0], pair[1] + 2.0)
    assert moved.interval[0] > 0
    if type(kind).__name__ == "Frechet":
        assert moved.distance == pytest.approx(2 * 20**0.5, rel=0.1)


@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
def test_one_row_of_the_same_population_is_as_near_as_its_like(kind):
    rng = np.random.default_rng(8)
    found = [kind.distance(*np.split(rng.normal(size=(41, 5)), [40])) for _ in range(20)]
    assert 4 <= np.count_nonzero(found) <= 16
    assert kind.distance(rng.normal(size=(40, 5)), np.full((1, 5), 9.0)) > 4 * np.mean(found)


@pytest.mark.parametrize("kind", ALL, ids=lambda d: type(d).__name__)
def test_rows_that_are_all_the_same_are_defined(kind):
    still = np.full((6, 3), 2.0)
    assert kind.distance(still, still) == 0.0
    assert kind.distance(still, still + 1.0) > 0.4
