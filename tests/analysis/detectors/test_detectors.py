"""Detectors: scikit-learn's contract, closed forms, unknown elements, held-out thresholds."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.neighbors import KernelDensity
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.analysis.detectors import (
    CommitteeVariance,
    Density,
    KNearestNeighbours,
    Mahalanobis,
    ZScore,
)

ALL = [KNearestNeighbours(), Mahalanobis(), Mahalanobis(per_element=True), Density(), ZScore()]


@parametrize_with_checks([*ALL, CommitteeVariance()])
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(30, 4)) * 3


def test_neighbours_are_the_nearest(rows):
    x, new = rows
    nearest = np.sort(cdist(new, x), axis=1)[:, :3].mean(axis=1)
    got = KNearestNeighbours(n_neighbors=3).fit(x).score_samples(new)
    np.testing.assert_allclose(got, -nearest, rtol=1e-10)


def test_mahalanobis_is_scipys_without_shrinkage(rows):
    x, new = rows
    inverse = np.linalg.inv(np.cov(x.T, bias=True))
    want = [-mahalanobis(row, x.mean(0), inverse) for row in new]
    got = Mahalanobis(shrinkage=0.0).fit(x).score_samples(new)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_each_element_has_its_own_mean_and_covariance(rows):
    x, new = rows
    kinds = np.repeat([1, 6], 40)
    both = Mahalanobis(per_element=True).fit(x, elements=kinds)
    for z in (1, 6):
        alone = Mahalanobis().fit(x[kinds == z])
        got = both.score_samples(new, elements=np.full(30, z))
        np.testing.assert_allclose(got, alone.score_samples(new), rtol=1e-9)


def test_density_is_sklearns_up_to_its_norm_and_finite_far_away(rows):
    x, new = rows
    want = KernelDensity(bandwidth=0.7).fit(x).score_samples(new)
    got = Density(bandwidth=0.7).fit(x).score_samples(new)
    np.testing.assert_allclose(got, want + 2 * np.log(2 * np.pi * 0.7**2), rtol=1e-9)
    far = Density(bandwidth=0.7).fit(x).score_samples(np.full((1, 4), 1e4))
    assert np.isfinite(far).all()
    assert far < -1e7


def test_z_score_and_committee_in_closed_form():
    z = ZScore().fit(np.array([[-1.0], [1.0]]))
    np.testing.assert_allclose(z.score_samples([[3.0], [0.0], [-1.0]]), [-3.0, 0.0, -1.0])
    level = ZScore(least_scale=2.0).fit(np.full((5, 1), 9.0))
    np.testing.assert_allclose(level.score_samples([[13.0]]), [-2.0])
    # Two members whose forces differ by (2, 0, 0): variance 1 along x.
    forces = np.array([[0.0, 0, 0, 2, 0, 0]])
    committee = CommitteeVariance(n_components=3).fit(forces)
    np.testing.assert_allclose(committee.score_samples(forces), [-1.0])


@pytest.mark.parametrize("detector", ALL, ids=lambda d: type(d).__name__)
def test_an_unknown_element_is_far_out_and_finite(detector, rows):
    x, _ = rows
    kinds = np.repeat([1, 6], 40)
    fitted = detector.fit(x, elements=kinds)
    known = fitted.score_samples(x, elements=kinds)
    unknown = fitted.score_samples(x, elements=np.full(80, 9))
    assert np.isfinite(unknown).all()
    assert unknown.max() <= 2 * known.min() - known.max() + 1e-9
    assert (fitted.predict(x, elements=np.full(80, 9)) == -1).all()


def test_a_held_out_threshold_keeps_its_false_alarm_rate():
    """Groups are scattered more than rows within them: the fitted rows' own quantile misleads."""
    rng = np.random.default_rng(1)

    def draw(n):
        return np.repeat(rng.normal(size=(n, 3)), 20, axis=0) + 0.05 * rng.normal(size=(20 * n, 3))

    x, new, groups = draw(40), draw(200), np.repeat(np.arange(40), 20)
    held = KNearestNeighbours(contamination=0.1).fit(x, groups=groups)
    own = KNearestNeighbours(contamination=0.1).fit(x)
    assert 0.02 < (held.predict(new) == -1).mean() < 0.2
    assert (own.predict(new) == -1).mean() > 0.5


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (KNearestNeighbours(n_neighbors=0), "at least 1"),
        (Mahalanobis(shrinkage=2.0), r"\[0, 1\]"),
        (Density(bandwidth=0.0), "positive"),
        (ZScore(least_scale=0.0), "above 0"),
        (CommitteeVariance(n_components=3), "no whole number"),
        (KNearestNeighbours(contamination=0.0), "contamination"),
    ],
)
def test_options_out_of_range_are_told(detector, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(np.arange(8.0).reshape(4, 2))


def test_metadata_must_fit_the_rows():
    x = np.arange(8.0).reshape(4, 2)
    with pytest.raises(ValueError, match="elements of shape"):
        KNearestNeighbours().fit(x, elements=[1, 6])
    with pytest.raises(ValueError, match="groups of shape"):
        KNearestNeighbours().fit(x, groups=[1, 6])
