"""Laplacian spectra: closed forms, one graph at a time by another route, and what is invariant."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity.errors import ConfigurationError
from breadth.diversity.graphs import normalised_laplacian_spectrum, radius_graph
from breadth.diversity.spectra import laplacian_spectra

RADII = np.array([1.0, 1.6, 2.4, 3.5, 5.0, 9.0])


def one(positions, *radii, **options):
    offsets = np.array([0, len(positions)])
    return laplacian_spectra(np.asarray(positions, float), offsets, np.array(radii), **options)[0]


def ring(n, distance=1.0):
    angle = 2 * np.pi * np.arange(n) / n
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    return circle * distance / (2 * np.sin(np.pi / n))


def by_dense_laplacian(positions, radius):
    """Return numpy's eigenvalues of the dense Laplacian without use of symmetry."""
    adjacency = radius_graph(positions, radius)
    degree = adjacency.sum(1)
    root = np.divide(1.0, np.sqrt(degree), where=degree > 0, out=np.zeros(len(degree)))
    laplacian = np.diag((degree > 0).astype(float)) - root[:, None] * adjacency * root
    return np.sort(np.linalg.eigvals(laplacian).real)


@pytest.mark.parametrize("n", [2, 3, 10, 11, 40, 70])
def test_complete_graph(n):
    positions = np.random.default_rng(n).uniform(0, 1, (n, 3))
    expected = np.r_[0.0, np.full(n - 1, n / (n - 1))]
    np.testing.assert_allclose(one(positions, 5.0)[0], expected, atol=1e-9)


@pytest.mark.parametrize("n", [3, 4, 9, 30, 64, 70])
def test_path(n):
    positions = np.arange(n)[:, None] * np.array([1.0, 0.0, 0.0])
    expected = 1 - np.cos(np.pi * np.arange(n) / (n - 1))
    np.testing.assert_allclose(one(positions, 1.5)[0], expected, atol=1e-9)


@pytest.mark.parametrize("n", [6, 7, 24, 64, 70])
def test_ring(n):
    expected = np.sort(1 - np.cos(2 * np.pi * np.arange(n) / n))
    np.testing.assert_allclose(one(ring(n), 1.2)[0], expected, atol=1e-9)


@pytest.mark.parametrize("leaves", [2, 3, 6])
def test_star(leaves):
    arms = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])
    expected = np.r_[0.0, np.ones(leaves - 1), 2.0]
    positions = np.concatenate([np.zeros((1, 3)), arms[:leaves]])
    np.testing.assert_allclose(one(positions, 1.2)[0], expected, atol=1e-9)


def test_isolated_atoms_and_single_atoms_are_zeros():
    far = np.arange(3)[:, None] * np.array([9.0, 0.0, 0.0])
    np.testing.assert_array_equal(one(far, 2.0)[0], np.zeros(3))
    np.testing.assert_array_equal(one(np.zeros((1, 3)), 2.0, 3.0), np.zeros((2, 1)))
    # A pair and a lone atom: 0 and 2 of the pair, 0 of the other.
    np.testing.assert_allclose(
        one([[0, 0, 0], [1, 0, 0], [9, 0, 0]], 2.0)[0], [0, 0, 2], atol=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 45), min_size=1, max_size=50),
    spread=st.floats(2.0, 12.0),
    seed=st.integers(0, 2**31),
)
def test_a_batch_equals_each_structure_alone(sizes, spread, seed):
    random = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(sizes)]
    positions = random.uniform(0, spread, (offsets[-1], 3))
    found = laplacian_spectra(positions, offsets, RADII)
    assert found.shape == (len(sizes), len(RADII), max(sizes))
    assert (np.diff(found, axis=2)[:, :, : min(sizes) - 1] >= 0).all()
    for i, size in enumerate(sizes):
        own = positions[offsets[i] : offsets[i + 1]]
        assert not found[i, :, size:].any()
        for k, radius in enumerate(RADII):
            # The square root of a multiple eigenvalue's rounding is what `eigvals` can lose.
            np.testing.assert_allclose(
                found[i, k, :size], by_dense_laplacian(own, radius), atol=1e-6
            )
            np.testing.assert_allclose(
                found[i, k, :size],
                normalised_laplacian_spectrum(radius_graph(own, radius)),
                atol=1e-10,
            )


@settings(max_examples=20, deadline=None)
@given(size=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_order_rotation_and_mirror_change_nothing(size, seed):
    random = np.random.default_rng(seed)
    positions = random.uniform(0, 6, (size, 3))
    turned = positions[random.permutation(size)] @ np.linalg.qr(random.normal(size=(3, 3)))[0] + 7
    np.testing.assert_allclose(one(turned, *RADII), one(positions, *RADII), atol=1e-9)


def test_equal_structures_have_equal_bits_whatever_their_company():
    random = np.random.default_rng(3)
    positions = random.uniform(0, 7, (100, 25, 3))
    offsets = 25 * np.arange(101)
    together = laplacian_spectra(positions.reshape(-1, 3), offsets, RADII)
    alone = np.array([one(frame, *RADII) for frame in positions])
    np.testing.assert_array_equal(together, alone)


def test_each_structure_may_have_radii_of_its_own():
    random = np.random.default_rng(4)
    positions = random.uniform(0, 5, (24, 3))
    offsets = np.array([0, 10, 17, 24])
    radii = random.uniform(1, 6, (3, 4))
    found = laplacian_spectra(positions, offsets, radii)
    for i in range(3):
        own = positions[offsets[i] : offsets[i + 1]]
        np.testing.assert_array_equal(found[i, :, : len(own)], one(own, *radii[i]))


def test_limit_of_neighbours_keeps_pairs_near_to_either():
    # On a line at 0, 1, 3, 6 the nearest of each are 1, 0, 1, 3: the path 0-1-3-6.
    line = np.array([0.0, 1.0, 3.0, 6.0])[:, None] * np.array([1.0, 0.0, 0.0])
    path = 1 - np.cos(np.pi * np.arange(4) / 3)
    np.testing.assert_allclose(one(line, 20.0, max_neighbours=1)[0], path, atol=1e-9)
    complete = one(line, 20.0, max_neighbours=3)[0]
    np.testing.assert_allclose(complete, [0, 4 / 3, 4 / 3, 4 / 3], atol=1e-9)


def test_limit_of_neighbours_in_a_wide_cell_equals_that_without_a_cell():
    positions = np.random.default_rng(5).uniform(10, 16, (12, 3))
    free = one(positions, *RADII, max_neighbours=4)
    boxed = one(
        positions,
        *RADII,
        max_neighbours=4,
        cell=60 * np.eye(3)[None],
        pbc=np.ones((1, 3), dtype=bool),
    )
    np.testing.assert_allclose(boxed, free, atol=1e-9)


def test_periodic_images_count():
    cell = np.diag([4.0, 30.0, 30.0])[None]
    pbc = np.array([[True, False, False]])
    positions = np.array([[0.5, 0, 0], [1.5, 0, 0], [2.5, 0, 0], [3.5, 0, 0]])
    ring_of_four = np.sort(1 - np.cos(2 * np.pi * np.arange(4) / 4))
    found = one(positions, 1.2, 4.2, cell=cell, pbc=pbc)
    np.testing.assert_allclose(found[0], ring_of_four, atol=1e-9)
    dense = normalised_laplacian_spectrum(radius_graph(positions, 4.2, cell[0], pbc[0]))
    np.testing.assert_allclose(found[1], dense, atol=1e-9)


def test_no_structure_and_bad_radii():
    assert laplacian_spectra(np.zeros((0, 3)), np.zeros(1, int), RADII).shape == (0, 6, 0)
    for radii in ([0.0], [-1.0], [np.nan]):
        with pytest.raises(ConfigurationError, match="above 0"):
            one(np.zeros((2, 3)), *radii)
    with pytest.raises(ConfigurationError, match="max_neighbours"):
        one(np.zeros((2, 3)), 1.0, max_neighbours=0)
