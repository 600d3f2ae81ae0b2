"""Conformal bounds over molecules: exact small cases, and coverage of new molecules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.analysis.relation.conformal import (
    ConformalBound,
    hierarchical_bound,
    realised_coverage,
)
from breadth.diversity.errors import ConfigurationError, DataError


@given(st.integers(1, 60), st.sampled_from([0.05, 0.1, 0.2, 0.3]))
def test_finite_from_the_fewest_molecules_that_can_show_it(n: int, alpha: float) -> None:
    fewest = int(np.ceil(round(1 / alpha, 9))) - 1
    bound = hierarchical_bound(np.arange(float(n)), alpha=alpha)
    assert np.isfinite(bound) == (n >= fewest)
    # many structures of a molecule are no more molecules
    molecule = np.repeat(np.arange(n), 7)
    assert hierarchical_bound(molecule.astype(float), molecule, alpha=alpha) == bound


@settings(max_examples=50)
@given(st.integers(10, 60), st.integers(0, 1000))
def test_one_structure_each_is_split_conformal(n: int, seed: int) -> None:
    score = np.random.default_rng(seed).random(n)
    rank = int(np.ceil(0.9 * (n + 1) - 1e-9))
    expected = np.sort(score)[rank - 1] if rank <= n else np.inf
    assert hierarchical_bound(score, alpha=0.1) == expected


def test_a_molecule_counts_once_whatever_its_structures() -> None:
    rng = np.random.default_rng(0)
    molecule = np.repeat(np.arange(30), rng.integers(1, 9, 30))
    score = rng.random(len(molecule))
    order = rng.permutation(len(molecule))
    bound = hierarchical_bound(score, molecule)
    assert bound == hierarchical_bound(score[order], molecule[order])
    twice = hierarchical_bound(np.repeat(score, 2), np.repeat(molecule, 2))
    assert bound == twice
    assert hierarchical_bound(3 * score, molecule) == pytest.approx(3 * bound)


def new_molecules(
    rng: np.random.Generator, n_molecules: int, between: float = 0.5, farther: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SYNTHETIC errors whose size is the molecule's, more so with its shift score."""
    count = rng.integers(1, 40, n_molecules)
    molecule = np.repeat(np.arange(n_molecules), count)
    shift = farther * rng.gamma(2.0, size=n_molecules)
    size = (0.2 + shift) * np.exp(between * rng.normal(size=n_molecules))
    error = size[molecule] * np.exp(0.2 * rng.normal(size=len(molecule)))
    return error, molecule, shift[molecule]


def by_molecule(within: np.ndarray, molecule: np.ndarray) -> np.ndarray:
    return np.bincount(molecule, weights=within) / np.bincount(molecule)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("n_molecules", [20, 45])
def test_new_molecules_are_within_as_often_as_promised(n_molecules: int, scaled: bool) -> None:
    rng = np.random.default_rng(1)
    covered = []
    for trial in range(250):
        error, molecule, shift = new_molecules(rng, n_molecules)
        bound = ConformalBound(alpha=0.2, random_state=trial)
        bound.fit(error, molecule, shift=shift if scaled else None)
        error, molecule, shift = new_molecules(rng, 30)
        limit = bound.predict(shift if scaled else len(error))
        covered.append(by_molecule(error <= limit, molecule).mean())
    n_calibrating = n_molecules if not scaled else n_molecules - round(n_molecules / 2)
    print(n_molecules, scaled, np.mean(covered))
    # the promise, and no more above it than a molecule's step and its spread within leave
    assert 0.8 - 2.5 * np.std(covered) / 250**0.5 < np.mean(covered)
    assert np.mean(covered) < 0.8 + 1.5 / n_calibrating + 0.03


def test_counting_structures_as_if_exchangeable_breaks_the_promise() -> None:
    """The control: few molecules of many structures make a pooled quantile too sure."""
    rng = np.random.default_rng(2)
    pooled, hierarchical = [], []
    for _ in range(300):
        error, molecule, _ = new_molecules(rng, 10)
        new, of, _ = new_molecules(rng, 20)
        for found, label in ((pooled, None), (hierarchical, molecule)):
            limit = hierarchical_bound(error, label, alpha=0.1)
            found.append(by_molecule(new <= limit, of).mean())
    assert np.mean(pooled) < 0.88
    assert np.mean(hierarchical) > 0.89


def test_under_shift_a_scaled_bound_widens_where_a_plain_one_fails() -> None:
    rng = np.random.default_rng(3)
    error, molecule, shift = new_molecules(rng, 100, between=0.2)
    plain = ConformalBound(alpha=0.1).fit(error, molecule)
    scaled = ConformalBound(alpha=0.1).fit(error, molecule, shift=shift)
    far, of, its_shift = new_molecules(rng, 200, between=0.2, farther=5.0)
    assert by_molecule(far <= plain.predict(len(far)), of).mean() < 0.4
    assert by_molecule(far <= scaled.predict(its_shift), of).mean() > 0.8
    assert scaled.scale_[1] > 0
    assert scaled.n_molecules_ == 50


def test_few_molecules_bound_nothing_and_a_bound_is_never_zero() -> None:
    few = ConformalBound(alpha=0.1).fit(np.ones(8))
    assert np.isinf(few.predict(2)).all()
    assert np.isinf(ConformalBound().fit(np.empty(0)).bound_)
    assert np.isinf(ConformalBound().fit(np.empty(0), shift=np.empty(0)).predict(np.ones(1))).all()
    rng = np.random.default_rng(4)
    shift = rng.random(80)
    in_proportion = ConformalBound().fit(2 * shift, shift=shift)
    assert in_proportion.predict(np.zeros(1))[0] > 0
    # a score's origin is no matter: some are logarithms of densities
    moved = ConformalBound().fit(2 * shift, shift=shift - 7.0)
    np.testing.assert_allclose(moved.predict(shift - 7.0), in_proportion.predict(shift))


def test_bad_input_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"alpha is 1\.5"):
        hierarchical_bound(np.ones(3), alpha=1.5)
    with pytest.raises(DataError, match="NaN"):
        hierarchical_bound(np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="3 calibration scores with 2"):
        hierarchical_bound(np.ones(3), np.arange(2))
    with pytest.raises(DataError, match="Shift scores"):
        ConformalBound().fit(np.ones(3), shift=np.array([1.0, np.inf, 0.0]))
    with pytest.raises(DataError, match="4 systems with 3 kinds"):
        realised_coverage(np.ones((2, 4)), ["a", "a", "b"])


@pytest.mark.parametrize("promised", [0.6, 0.9, 0.98])
def test_intervals_of_coverage_hold_it(promised: float) -> None:
    """A system is within its bound in all replicates or in few: they share its difficulty."""
    rng = np.random.default_rng(5)
    held, trials = 0, 200
    for _ in range(trials):
        shared = rng.random((1, 25)) < 0.8
        within = np.where(shared, rng.random((1, 25)), rng.random((3, 25))) < promised
        found = realised_coverage(within.astype(float), ["far"] * 25, n_resamples=100)[0]
        held += found.interval[0] <= promised <= found.interval[1]
    print(promised, held / trials)
    assert held / trials >= 0.92


def test_all_or_none_within_leaves_a_width_and_unknown_systems_count_for_none() -> None:
    within = np.array([[1.0, 1.0, 0.0, np.nan], [1.0, 1.0, 0.0, np.nan]])
    near, far, unknown = realised_coverage(within, ["near", "near", "far", "unknown"])
    assert (near.coverage, near.interval[1], near.n_systems) == (1.0, 1.0, 2)
    assert near.interval[0] == pytest.approx(0.025**0.5)  # Clopper and Pearson's for 2 of 2
    assert (far.interval[0], far.interval[1]) == (0.0, pytest.approx(0.975))
    assert np.isnan(unknown.coverage)
    assert unknown.n_systems == 0
