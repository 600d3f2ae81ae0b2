"""Principal components of rows that pass once, against those of the whole array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from breadth.analysis.detectors.principal import PrincipalComponents, sketch_rows
from breadth.diversity.errors import ShortageError


def decaying(n, d, seed=0):
    """Rows of a long tail: far more directions of some variance than a sketch holds."""
    rng = np.random.default_rng(seed)
    scales = 3.0 / (1.0 + np.arange(d)) ** 0.9
    return (rng.normal(size=(n, d)) * scales + 5.0) @ np.linalg.qr(rng.normal(size=(d, d)))[0]


def chunks(rows, size):
    return (rows[b : b + size] for b in range(0, len(rows), size))


def test_components_of_a_long_tail_are_those_of_the_whole():
    rows = decaying(3000, 400)
    want = PCA(5, svd_solver="full").fit(rows)
    got = PrincipalComponents().fit(chunks(rows, 500))
    np.testing.assert_allclose(
        got.explained_variance_ratio_, want.explained_variance_ratio_, atol=1e-4
    )
    np.testing.assert_allclose(got.mean_, rows.mean(0), atol=1e-5)
    overlap = np.abs((got.components_ * want.components_).sum(1))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-3)


def test_directions_that_come_late_are_found():
    """The first chunk lies in a plane of its own, and tells nothing of where the others vary."""
    rng = np.random.default_rng(1)
    early = np.zeros((300, 200))
    early[:, :2] = rng.normal(size=(300, 2))
    late = np.zeros((900, 200))
    late[:, 150:] = rng.normal(size=(900, 50)) * np.linspace(4.0, 0.5, 50)
    rows = np.concatenate([early, late])
    want = PCA(5, svd_solver="full").fit(rows)
    got = PrincipalComponents().fit(chunks(rows, 300))
    np.testing.assert_allclose(
        got.explained_variance_ratio_, want.explained_variance_ratio_, atol=1e-4
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.integers(20, 70))
def test_statistics_split_the_distance_from_the_mean(seed, size):
    rows = decaying(120, 12, seed)
    fitted = PrincipalComponents(n_components=3).fit(chunks(rows, size))
    scores, q, t2 = fitted.statistics(rows)
    whole = ((rows - rows.mean(0)) ** 2).sum(1)
    np.testing.assert_allclose(q + (scores**2).sum(1), whole, rtol=1e-4, atol=1e-5)
    want = PCA(3, svd_solver="full").fit(rows)
    left = ((rows - want.inverse_transform(want.transform(rows))) ** 2).sum(1)
    np.testing.assert_allclose(q, left, rtol=1e-3, atol=1e-4)
    # With n − 1 in the variances, T² of the fitted rows sums to (n − 1) K.
    assert t2.sum() == pytest.approx(3 * (len(rows) - 1), rel=1e-3)


def test_a_sketch_of_full_rank_holds_the_rows():
    rows = decaying(90, 7)
    sketch = sketch_rows(chunks(rows, 20))
    back = sketch.origin + sketch.coordinates @ sketch.basis.T
    np.testing.assert_allclose(back, rows, atol=1e-4)
    np.testing.assert_allclose(sketch.outside, 0.0, atol=1e-4)
    assert sketch.total_variance == pytest.approx(rows.var(axis=0, ddof=1).sum(), rel=1e-5)


def test_variance_outside_the_basis_is_not_lost():
    rows = decaying(1000, 300)
    sketch = sketch_rows(chunks(rows, 250), rank=20)
    assert sketch.basis.shape == (300, 20)
    assert sketch.total_variance == pytest.approx(rows.var(axis=0, ddof=1).sum(), rel=1e-4)


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((1, 4))])
def test_too_few_rows_are_told(rows):
    with pytest.raises(ShortageError, match="no principal components"):
        sketch_rows([rows] if len(rows) else [])


def test_rows_without_a_residual_are_told():
    rows = np.outer(np.arange(9.0), [1.0, 2.0, 3.0])
    with pytest.raises(ShortageError, match="vary along 1 directions"):
        PrincipalComponents(n_components=1).fit([rows])
