"""The classifier two-sample distance."""

import numpy as np
import pytest
from scipy import stats

from breadth.analysis.shift.classifier import ClassifierTwoSample
from breadth.analysis.shift.halves import numbered_units


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_shifted_mean_is_found_as_well_as_it_can_be(rng):
    a, b = rng.normal(size=(800, 2)), rng.normal((1.0, 0.0), size=(800, 2))
    best = 2 * stats.norm.cdf(1 / 2**0.5) - 1  # AUC of two normals one σ apart
    assert ClassifierTwoSample().distance(a, b) == pytest.approx(best, abs=0.05)


def test_a_changed_spread_is_found(rng):
    a, b = rng.normal(size=(400, 2)), 2 * rng.normal(size=(400, 2))
    assert ClassifierTwoSample().distance(a, b) > 0.4


def test_a_sample_and_itself_cannot_be_told_apart(rng):
    a = rng.normal(size=(50, 4))
    units = numbered_units(np.arange(50), np.arange(50))
    found, held, new = ClassifierTwoSample().estimate(a, a, units=units)
    assert found.distance == 0.0
    np.testing.assert_allclose(held, new)


def test_copies_of_a_group_do_not_vote_for_themselves(rng):
    """Ten groups of each sample, each a point: a classifier could learn them by heart."""
    groups = np.repeat(np.arange(10), 20)
    a, b = (np.repeat(rng.normal(size=(10, 8)), 20, axis=0) for _ in range(2))
    kept = ClassifierTwoSample().estimate(a, b, units=numbered_units(groups, 100 + groups))[0]
    assert kept.interval[0] == 0.0
    assert ClassifierTwoSample(C=100.0).distance(a, b) > 0.9


def test_halves_of_one_sample_cover_zero(rng):
    seen = 0
    for _ in range(12):
        a, b = rng.normal(size=(2, 60, 3))
        units = numbered_units(np.arange(60), 100 + np.arange(60))
        seen += ClassifierTwoSample().estimate(a, b, units=units)[0].interval[0] > 0
    assert seen <= 2


def test_few_units_beside_many_are_not_taken_for_shifted(rng):
    """What the folds' models share moves all of their scores alike."""
    units = numbered_units(np.arange(12), 12 + np.arange(150))
    seen = 0
    for _ in range(80):
        a, b = rng.normal(size=(12, 3)), rng.normal(size=(150, 3))
        seen += ClassifierTwoSample().estimate(a, b, units=units)[0].interval[0] > 0
    assert seen <= 2  # one in forty


def test_few_rows_give_no_bound_beyond_what_there_is(rng):
    a, b = rng.normal(size=(8, 2)), rng.normal((1.5, 0.0), size=(8, 2))
    units = numbered_units(np.arange(8), 8 + np.arange(8))
    assert ClassifierTwoSample().estimate(a, b, units=units)[0].interval[1] == 1.0


@pytest.mark.parametrize(("n", "low"), [(3, 0.0), (20, 2 * 0.025 ** (1 / 20) - 1)])
def test_perfect_order_of_few_units_leaves_a_width(rng, n, low):
    a, b = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + 50
    units = numbered_units(np.arange(n), n + np.arange(n))
    found = ClassifierTwoSample().estimate(a, b, units=units)[0]
    assert found.distance == 1.0
    assert found.interval == (pytest.approx(low), 1.0)


def test_one_unit_cannot_be_fitted_and_tested():
    with pytest.raises(ValueError, match="two units"):
        ClassifierTwoSample().distance(np.zeros((1, 2)), np.ones((5, 2)))
