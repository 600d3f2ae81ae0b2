"""Q, T² and the last layer as detectors: closed forms, elements, scikit-learn's contract."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.analysis.detectors import HotellingT2, LastLayer, Mahalanobis, QResidual

ALL = [QResidual(), QResidual(per_element=True), HotellingT2(), LastLayer()]


@parametrize_with_checks(ALL)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(120, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(40, 6)) * 2


def test_residual_is_what_the_reconstruction_lacks(rows):
    x, new = rows
    pca = PCA(2).fit(x)
    left = ((new - pca.inverse_transform(pca.transform(new))) ** 2).sum(1)
    np.testing.assert_allclose(QResidual(n_components=2).fit(x).score_samples(new), -left)


def test_t2_of_all_components_is_mahalanobis_squared(rows):
    x, new = rows
    x, new = x[:, :4], new[:, :4]
    # All but one column; a fifth without variance takes its place.
    wide, wide_new = (np.pad(a, ((0, 0), (0, 1))) for a in (x, new))
    got = HotellingT2(n_components=4).fit(wide).score_samples(wide_new)
    distance = Mahalanobis(shrinkage=0.0).fit(x).score_samples(new)
    np.testing.assert_allclose(got, -(distance**2) * (len(x) - 1) / len(x), rtol=1e-6)


@pytest.mark.parametrize("kind", [QResidual, HotellingT2])
def test_elements_have_components_of_their_own(kind, rows):
    x, new = rows
    kinds = np.repeat([1, 6, 8], [60, 55, 5])
    both = kind(n_components=2, per_element=True).fit(x, elements=kinds)
    for z in (1, 6):
        alone = kind(n_components=2).fit(x[kinds == z])
        got = both.score_samples(new, elements=np.full(len(new), z))
        np.testing.assert_allclose(got, alone.score_samples(new), rtol=1e-8)
    # Five rows are too few: the pooled components about their own mean.
    moved = x - x.mean(0) + x[kinds == 8].mean(0)
    got = both.score_samples(new, elements=np.full(len(new), 8))
    np.testing.assert_allclose(got, kind(n_components=2).fit(moved).score_samples(new), rtol=1e-8)


def test_last_layer_is_the_posterior_of_a_bayesian_regression(rows):
    x, new = rows
    rng = np.random.default_rng(1)
    fitted = BayesianRidge(fit_intercept=False).fit(x, x @ rng.normal(size=6))
    ridge = fitted.lambda_ / fitted.alpha_ / np.linalg.eigvalsh(x.T @ x).mean()
    sd = fitted.predict(new, return_std=True)[1]
    own = np.sqrt(sd**2 - 1 / fitted.alpha_) * np.sqrt(fitted.alpha_)
    np.testing.assert_allclose(-LastLayer(ridge=ridge).fit(x).score_samples(new), own, rtol=1e-4)


@pytest.mark.parametrize(
    ("detector", "message"),
    [(QResidual(n_components=0), "at least 1"), (LastLayer(ridge=0.0), "above 0")],
)
def test_options_out_of_range_are_told(detector, message, rows):
    with pytest.raises(ValueError, match=message):
        detector.fit(rows[0])
