"""Selectors by distance against plain algorithms and against RDKit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit.ML.Cluster import Butina as RdkitButina
from rdkit.SimDivFilters import rdSimDivPickers
from scipy.spatial.distance import cdist

from breadth.diversity.errors import ConfigurationError
from breadth.diversity.fingerprints import bit_vectors, tanimoto
from breadth.sampling.selectors import (
    Butina,
    Direct,
    FarthestPoint,
    ForceFarthestPoint,
    KennardStone,
    KMedoids,
    MaxMin,
    farthest,
)
from breadth.sampling.selectors.distances import farthest_pair


def plain_farthest(
    distances: np.ndarray, n: int, start: int, to_given: np.ndarray, weights: np.ndarray
) -> list[int]:
    """Farthest points by the definition, from the full table of distances."""
    picks = [] if to_given.shape[1] else [start]
    while len(picks) < n:
        near = np.column_stack([to_given, distances[:, picks]]).min(1) * weights
        near[picks] = -1.0
        picks.append(int(near.argmax()))
    return picks


@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_lazy_farthest_points_are_those_of_the_definition(
    n: int, d: int, m: int, weighted: bool, kind: type, seed: int
) -> None:
    random = np.random.default_rng(seed)
    # Whole numbers, so that distances are exact and many are equal.
    X = random.integers(-3, 4, (n, d)).astype(kind)
    before = random.integers(-3, 4, (m, d)).astype(kind)
    weights = 2.0 ** random.integers(-2, 3, n) if weighted else np.ones(n)
    k, start = int(random.integers(1, n + 1)), int(random.integers(n))
    got = farthest(X, k, start=start, given=before, weights=weights if weighted else None)
    # The squares are whole and powers of two scale them exactly, their roots would round.
    squares = cdist(X, X, "sqeuclidean"), cdist(X, before, "sqeuclidean").reshape(n, m)
    assert got.tolist() == plain_farthest(squares[0], k, start, squares[1], weights**2)


@given(st.integers(2, 60), st.sampled_from([16, 64, 72, 168]), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_maxmin_takes_what_rdkit_takes(n: int, bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    dense = random.random((n, bits)) < random.choice([0.1, 0.5])
    dense[:, 0] = True  # RDKit sets two empty fingerprints at distance 1
    packed = np.packbits(dense, axis=1, bitorder="little")
    k = int(random.integers(1, n + 1))
    chosen = MaxMin(n_to_select=k, random_state=seed).fit(packed).selected_idx_
    picker = rdSimDivPickers.MaxMinPicker()
    known = picker.LazyBitVectorPick(bit_vectors(packed), n, k, firstPicks=[int(chosen[0])])
    assert chosen.tolist() == list(known)
    # With rows given, RDKit continues from first picks.
    m = int(random.integers(1, n)) if k < n else 0
    if 0 < m <= n - k:
        more = MaxMin(n_to_select=k).fit(packed[m:], given=packed[:m]).selected_idx_
        firsts = list(range(m))
        known = picker.LazyBitVectorPick(bit_vectors(packed), n, m + k, firstPicks=firsts)
        assert (more + m).tolist() == list(known)[m:]


def test_empty_fingerprints_are_alike() -> None:
    packed = np.array([[0], [0], [1], [3]], dtype=np.uint8)
    chosen = MaxMin().fit(packed, given=packed[:1]).selected_idx_.tolist()
    assert chosen == [2, 3, 0, 1]


@given(st.integers(1, 50), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_kennard_and_stone_begin_with_the_farthest_pair(n: int, d: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, d)) * random.gamma(1.0, 3.0, d)
    distances = cdist(X, X)
    i, j = farthest_pair(X)
    assert distances[i, j] == pytest.approx(distances.max(), rel=1e-12)
    if n > 2:
        order = KennardStone().fit(X).selected_idx_
        assert set(order[:2].tolist()) == {i, j}
        rest = plain_farthest(distances, n, -1, distances[:, [i, j]], np.ones(n))
        assert [p for p in rest if p not in (i, j)][: n - 2] == order[2:].tolist()


def test_the_farthest_pair_of_many_points_far_from_the_origin() -> None:
    X = np.random.default_rng(0).normal(size=(3000, 3)) + 1e4
    i, j = farthest_pair(X)
    assert np.linalg.norm(X[i] - X[j]) == pytest.approx(cdist(X, X).max(), rel=1e-12)


def test_replicates_start_elsewhere_and_given_rows_are_avoided() -> None:
    X = np.random.default_rng(0).normal(size=(200, 2))
    starts = {int(FarthestPoint(random_state=s).fit(X).selected_idx_[0]) for s in range(8)}
    assert len(starts) > 4
    chosen = FarthestPoint(n_to_select=5).fit(X, given=X[X[:, 0] > 0]).selected_idx_
    assert (X[chosen, 0] < 0).all()


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    X = np.random.default_rng(0).normal(size=(300, 2))
    FarthestPoint(n_to_select=120, progress=lambda *n: told.append(n)).fit(X)
    assert told[-1] == (120, 120)
    assert len(told) == 3


def test_forces_draw_the_choice() -> None:
    random = np.random.default_rng(0)
    X, norms = random.normal(size=(500, 3)), random.gamma(2.0, 1.0, 500)
    means = [
        norms[ForceFarthestPoint(n_to_select=30, exponent=e).fit(X, norms).selected_idx_].mean()
        for e in (0.0, 1.0, 4.0)
    ]
    assert means[0] < means[1] < means[2]
    plain = FarthestPoint(n_to_select=30).fit(X).selected_idx_
    np.testing.assert_array_equal(
        plain, ForceFarthestPoint(n_to_select=30, exponent=0.0).fit(X, norms).selected_idx_
    )


def blobs(seed: int, k: int = 6, each: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Return points in clusters far apart, and the cluster of each."""
    random = np.random.default_rng(seed)
    label = np.repeat(np.arange(k), each)
    centres = 20.0 * np.stack(np.divmod(np.arange(k), 3), axis=1)
    return centres[label] + random.normal(size=(k * each, 2)), label


@pytest.mark.parametrize("seed", range(12))  # BIRCH erred in 7 of 600 draws
def test_clusters_that_lie_apart_give_one_row_each(seed: int) -> None:
    X, label = blobs(seed)
    for kind in (KMedoids, Direct):
        chosen = kind(n_to_select=6, random_state=seed).fit(X).selected_idx_
        assert sorted(label[chosen]) == list(range(6)), kind
        # What is given stands for its cluster.
        chosen = kind(n_to_select=4, random_state=seed).fit(X, given=X[label < 2][::30])
        assert sorted(label[chosen.selected_idx_]) == [2, 3, 4, 5], kind
    chosen = Direct(n_to_select=18, per_cluster=3).fit(X).selected_idx_
    assert np.bincount(label[chosen]).tolist() == [3] * 6


def test_medoids_have_the_least_sum_of_distances_in_their_cluster() -> None:
    X = np.random.default_rng(5).normal(size=(400, 3))
    medoids = KMedoids(n_to_select=9).fit(X).selected_idx_
    distances = cdist(X, X)
    label = distances[:, medoids].argmin(1)
    for c, medoid in enumerate(medoids):
        members = np.flatnonzero(label == c)
        inside = distances[np.ix_(members, members)].sum(1)
        assert distances[medoid, members].sum() == pytest.approx(inside.min(), rel=1e-9)
    assert (np.diff(np.bincount(label)) <= 0).all()
    # Better than nine random rows, by far.
    random = np.random.default_rng(0)
    cost = distances[:, medoids].min(1).sum()
    others = [distances[:, random.choice(400, 9, False)].min(1).sum() for _ in range(20)]
    assert cost < 0.95 * min(others)


@given(st.integers(2, 40), st.floats(0.05, 0.95), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_butina_clusters_are_rdkits(n: int, cutoff: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    dense = random.random((n, 32)) < 0.4
    dense[:, 0] = True
    packed = np.packbits(dense, axis=1, bitorder="little")
    chosen = Butina(cutoff=cutoff).fit(packed).selected_idx_
    # RDKit takes the highest of equal rows, we the lowest.
    distances = 1.0 - tanimoto(packed[::-1], packed[::-1]).astype(np.float64)
    pairs = [float(distances[i, j]) for i in range(n) for j in range(i)]
    if np.abs(np.array(pairs) - cutoff).min() < 1e-6:
        return
    clusters = RdkitButina.ClusterData(pairs, n, cutoff, isDistData=True)
    centres = [n - 1 - c[0] for c in clusters]
    assert sorted(chosen[: len(centres)].tolist()) == sorted(centres)


def test_senseless_options_are_refused() -> None:
    X = np.zeros((4, 2))
    with pytest.raises(ConfigurationError, match="per_cluster = 0"):
        Direct(per_cluster=0).fit(X)
    with pytest.raises(ConfigurationError, match="cutoff = 2"):
        Butina(cutoff=2).fit(X.astype(np.uint8))
