"""Sums of a Gaussian kernel: equal to a double loop, whatever the precision, blocks and groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.kernel_density import kernel_sums, self_kernel_sums


def double_loop(queries: np.ndarray, points: np.ndarray, h: float) -> np.ndarray:
    """Return all kernel values, one pair at a time in float64."""
    values = np.empty((len(queries), len(points)))
    for i, q in enumerate(queries.astype(np.float64)):
        for j, x in enumerate(points.astype(np.float64)):
            values[i, j] = np.exp(-((q - x) ** 2).sum() / (2 * h**2))
    return values


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8)),
    h=st.floats(0.05, 20),
    shift=st.floats(-100, 100),
    single=st.booleans(),
)
def test_equals_a_double_loop(
    seed: int, sizes: tuple[int, int, int], h: float, shift: float, single: bool
) -> None:
    random = np.random.default_rng(seed)
    q, n, d = sizes
    kind = np.float32 if single else np.float64
    queries = (random.normal(size=(q, d)) + shift).astype(kind)
    points = (random.normal(size=(n, d)) + shift).astype(kind)
    expected = double_loop(queries, points, h)
    bound = {"rtol": 2e-4, "atol": 1e-30} if single else {"rtol": 1e-9, "atol": 1e-30}
    found = kernel_sums(queries, points, bandwidth=h)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.sum(1), **bound)
    own = double_loop(points, points, h).sum(1)
    np.testing.assert_allclose(self_kernel_sums(points, bandwidth=h), own, **bound)
    groups = random.integers(0, 3, n)
    by_group = np.stack([expected[:, groups == g].sum(1) for g in range(4)], axis=1)
    found = kernel_sums(queries, points, bandwidth=h, groups=groups, n_groups=4)
    np.testing.assert_allclose(found, by_group, **bound)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_blocks_do_not_show(kind: type) -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(2600, 5)).astype(kind)
    groups = random.integers(0, 70, len(points))
    square = ((points[:, None].astype(float) - points[None]) ** 2).sum(-1)
    values = np.exp(-square / (2 * 0.7**2))
    rtol = 1e-5 if kind == np.float32 else 1e-12
    np.testing.assert_allclose(self_kernel_sums(points, bandwidth=0.7), values.sum(1), rtol=rtol)
    np.testing.assert_allclose(
        kernel_sums(points[:1100], points, bandwidth=0.7), values[:1100].sum(1), rtol=rtol
    )
    found = kernel_sums(points, points, bandwidth=0.7, groups=groups)
    assert found.shape == (2600, 70)
    np.testing.assert_allclose(found, values @ np.eye(70)[groups], rtol=rtol * 10)


@pytest.mark.parametrize("h", [1e-3, 1.0])
def test_single_precision_keeps_its_bound_far_from_the_origin(h: float) -> None:
    """Two tight clusters far apart: neighbours differ by less than float32 tells of their norms."""
    random = np.random.default_rng(1)
    points = (random.normal(size=(200, 6)) * h).astype(np.float32)
    points[100:] += 50
    expected = double_loop(points, points, h).sum(1)
    np.testing.assert_allclose(self_kernel_sums(points, bandwidth=h), expected, rtol=1e-4)
    np.testing.assert_allclose(kernel_sums(points, points, bandwidth=h), expected, rtol=1e-4)


def test_known_values_and_empty_inputs() -> None:
    far = 1e3 * np.arange(7.0)[:, None]
    np.testing.assert_array_equal(self_kernel_sums(far, bandwidth=1.0), np.ones(7))
    same = np.full((1300, 3), 0.1)
    np.testing.assert_allclose(self_kernel_sums(same, bandwidth=1.0), 1300)
    np.testing.assert_allclose(
        kernel_sums(np.zeros((1, 2)), np.array([[3.0, 4.0]]), bandwidth=5.0), np.exp(-0.5)
    )
    assert self_kernel_sums(np.zeros((0, 3)), bandwidth=1.0).shape == (0,)
    np.testing.assert_array_equal(
        kernel_sums(np.zeros((2, 3)), np.zeros((0, 3)), bandwidth=1.0), [0, 0]
    )
    assert kernel_sums(
        np.zeros((2, 3)), np.zeros((0, 3)), bandwidth=1.0, groups=np.zeros(0, int), n_groups=4
    ).shape == (2, 4)


def test_bad_input_is_told() -> None:
    good = np.zeros((3, 2))
    bad = good.copy()
    bad[1, 0] = np.nan
    with pytest.raises(DataError, match="Row 1"):
        self_kernel_sums(bad, bandwidth=1.0)
    with pytest.raises(DataError, match="Row 1"):
        kernel_sums(good, bad, bandwidth=1.0)
    with pytest.raises(DataError, match="same descriptor"):
        kernel_sums(good, np.zeros((3, 4)), bandwidth=1.0)
    with pytest.raises(DataError, match="shape"):
        self_kernel_sums(np.zeros(3), bandwidth=1.0)
    with pytest.raises(DataError, match="each point"):
        kernel_sums(good, good, bandwidth=1.0, groups=np.array([0, 1]))
    with pytest.raises(DataError, match="group 2"):
        kernel_sums(good, good, bandwidth=1.0, groups=np.array([0, 1, 2]), n_groups=2)
    for h in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ConfigurationError, match="positive"):
            self_kernel_sums(good, bandwidth=h)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_bandwidth_lost_in_rounding_is_refused_and_the_one_named_instead_works(
    kind: type,
) -> None:
    points = np.random.default_rng(0).normal(size=(50, 56)).astype(kind)
    for h in (1e-7, 1e-20, 1e-200):
        with pytest.raises(ConfigurationError, match="too small") as told:
            kernel_sums(points, points, bandwidth=h)
        with pytest.raises(ConfigurationError, match="too small"):
            self_kernel_sums(points, bandwidth=h)
    enough = float(str(told.value).split("Give ")[1].split()[0])
    np.testing.assert_allclose(kernel_sums(points, points, bandwidth=enough), 1.0, rtol=1e-4)
