"""Maps: closed forms, neighbours kept, determinism, independence of order, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from breadth.analysis.maps import embed
from breadth.diversity import ConfigurationError, DataError


def clusters(per_cluster: int = 30, d: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return three clusters of features far apart, and the cluster of each."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(3), per_cluster)
    return 20.0 * np.eye(3, d)[of] + random.normal(size=(len(of), d)), of


def test_pca_is_the_singular_value_decomposition() -> None:
    x = np.random.default_rng(0).normal(size=(40, 7)) * np.arange(1, 8)
    found = embed(x, method="pca")
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.coordinates), np.abs(u[:, :2] * s[:2]), atol=1e-9)
    assert found.explained_variance is not None
    np.testing.assert_allclose(found.explained_variance, s[:2] ** 2 / (s**2).sum())


def test_copies_count_in_pca() -> None:
    """A direction that many copies of a point take has their variance, not that of one."""
    x = np.array([[1.0, 0.0]] * 10 + [[-1.0, 0.0]] * 10 + [[0.0, 1.5], [0.0, -1.5]])
    found = embed(x, method="pca")
    np.testing.assert_allclose(np.abs(found.coordinates[0]), [1.0, 0.0], atol=1e-12)
    assert found.explained_variance == pytest.approx(np.array([20.0, 4.5]) / 24.5)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.floats(-9, 9)),
    st.randoms(use_true_random=False),
)
def test_pca_does_not_know_the_order_of_rows(x: np.ndarray, random) -> None:
    order = list(range(len(x)))
    random.shuffle(order)
    whole, shuffled = embed(x, method="pca"), embed(x[order], method="pca")
    np.testing.assert_array_equal(whole.coordinates[order], shuffled.coordinates)
    assert whole.explained_variance is not None
    assert whole.coordinates.shape == (len(x), 2)
    assert (whole.explained_variance >= 0).all()
    assert whole.explained_variance.sum() < 1 + 1e-9


@pytest.mark.parametrize("d", [8, 150])
def test_umap_parts_clusters_and_knows_no_order(d: int) -> None:
    x, of = clusters(d=d)
    x = np.concatenate([x, x[:5]])
    of = np.concatenate([of, of[:5]])
    found = embed(x, method="umap", seed=3)
    assert found.explained_variance is None
    apart = cdist(found.coordinates, found.coordinates)
    np.fill_diagonal(apart, np.inf)
    assert (of[apart.argmin(1)] == of).all()
    np.testing.assert_array_equal(found.coordinates[-5:], found.coordinates[:5])
    order = np.random.default_rng(1).permutation(len(x))
    again = embed(x[order], method="umap", seed=3)
    np.testing.assert_array_equal(again.coordinates, found.coordinates[order])
    assert not np.array_equal(embed(x, seed=4).coordinates, found.coordinates)


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_equal_features_are_at_the_origin(method) -> None:
    for n in (1, 5, 40):
        found = embed(np.full((n, 3), 7.0), method=method)
        np.testing.assert_array_equal(found.coordinates, np.zeros((n, 2)))


def test_two_points_span_one_axis() -> None:
    found = embed(np.array([[0.0, 0.0, 0.0], [0.0, 6.0, 8.0]], dtype=np.float32), method="pca")
    np.testing.assert_allclose(np.abs(found.coordinates), [[5.0, 0.0], [5.0, 0.0]], atol=1e-5)
    assert found.explained_variance == pytest.approx([1.0, 0.0], abs=1e-6)
    one_column = embed(np.arange(5.0)[:, None], method="pca")
    np.testing.assert_array_equal(one_column.coordinates[:, 1], 0.0)


def test_what_cannot_be_mapped_is_refused() -> None:
    x, _ = clusters()
    bad = x.copy()
    bad[7, 2] = np.nan
    with pytest.raises(DataError, match=r"1 of 90 .* row 7"):
        embed(bad, method="pca")
    with pytest.raises(DataError, match="table of features"):
        embed(np.zeros((0, 3)))
    with pytest.raises(ConfigurationError, match=r"distinct points, and here are 4.*pca"):
        embed(np.repeat(x[:4], 20, axis=0), method="umap")
    with pytest.raises(ConfigurationError, match="tsne"):
        embed(x, method="tsne")  # type: ignore[arg-type]
