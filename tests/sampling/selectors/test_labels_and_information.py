"""Selectors by leverage, entropy, groups and labels against closed forms and definitions."""

import numpy as np
import pytest
from ase import units
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import qr
from scipy.spatial.distance import cdist

from breadth.diversity.errors import ConfigurationError
from breadth.sampling.selectors import (
    Boltzmann,
    Cur,
    DiverseMinima,
    EnergyStrata,
    EntropyGreedy,
    FarthestPoint,
    Random,
    Scaffold,
    round_robin,
)


@given(st.integers(5, 40), st.integers(1, 5), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_leverage_of_small_regularisation_is_qr_with_pivots(n: int, d: int, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(n, d))
    chosen = Cur(n_to_select=d, regularisation=1e-9).fit(X).selected_idx_
    pivots = qr(X.T, pivoting=True, mode="r")[1][:d]
    assert chosen.tolist() == pivots.tolist()


def test_leverage_goes_on_past_the_rank_and_from_what_is_given() -> None:
    X = np.random.default_rng(0).normal(size=(60, 4))
    chosen = Cur(n_to_select=20).fit(X).selected_idx_
    taken = chosen[:19]
    rest = np.setdiff1d(np.arange(60), taken)
    size = 1e-6 * (X**2).sum() / 60
    inverse = np.linalg.inv(X[taken].T @ X[taken] + size * np.eye(4))
    leverage = np.einsum("ij,jk,ik->i", X[rest], inverse, X[rest])
    assert chosen[19] == rest[leverage.argmax()]
    more = Cur(n_to_select=1).fit(X[rest], given=X[taken]).selected_idx_
    assert rest[more[0]] == chosen[19]


@given(st.integers(3, 40), st.integers(0, 4), st.floats(0.05, 3.0), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_entropy_is_filled_by_novelty(n: int, m: int, h: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    X, before = random.normal(size=(n, 2)) + 50.0, random.normal(size=(m, 2)) + 50.0
    chosen = EntropyGreedy(bandwidth=h).fit(X, given=before).selected_idx_
    for k in range(1 if m == 0 else 0, n):
        taken = np.concatenate([before, X[chosen[:k]]])
        logs = -cdist(X, taken, "sqeuclidean") / (2 * h**2)
        density = np.logaddexp.reduce(logs, axis=1)
        density[chosen[:k]] = np.inf
        assert density[chosen[k]] <= density.min() + 1e-6 * (1 + abs(density.min()))


def test_entropy_of_a_small_bandwidth_is_the_farthest_point() -> None:
    X = np.random.default_rng(0).normal(size=(300, 3))
    sharp = EntropyGreedy(n_to_select=60, bandwidth=1e-3).fit(X).selected_idx_
    np.testing.assert_array_equal(sharp, FarthestPoint(n_to_select=60).fit(X).selected_idx_)


def test_scotts_rule_is_the_default_bandwidth() -> None:
    X = np.random.default_rng(0).normal(scale=2.0, size=(2000, 3))
    fitted = EntropyGreedy(n_to_select=1).fit(X)
    assert fitted.bandwidth_ == pytest.approx(2.0 * 2000 ** (-1 / 7), rel=0.05)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_round_robin_fills_groups_evenly(groups: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    taken, order = random.integers(0, 4, 5), random.permutation(len(groups))
    result = round_robin(np.array(groups), order, taken)
    left = np.bincount(groups, minlength=5)
    counts = taken.copy()
    for row in result:
        # The group that it came from has fewest of those with rows left.
        assert counts[groups[row]] == counts[left > 0].min()
        counts[groups[row]] += 1
        left[groups[row]] -= 1
    assert not left.any()


def test_scaffolds_that_are_given_come_later() -> None:
    names = np.array(["ring"] * 5 + ["chain"] * 5 + ["cage"] * 5)
    chosen = Scaffold(n_to_select=4).fit(np.zeros((15, 1)), names, given=np.array(["ring", "ring"]))
    assert sorted(names[chosen.selected_idx_]) == ["cage", "cage", "chain", "chain"]


def test_strata_of_energy_are_filled_evenly() -> None:
    energies = np.random.default_rng(0).gamma(2.0, 0.1, 5000)
    chosen = EnergyStrata(n_to_select=50, n_strata=5).fit(np.zeros((5000, 1)), energies)
    edges = np.linspace(energies.min(), energies.max(), 6)
    counts = np.histogram(energies[chosen.selected_idx_], edges)[0]
    there = np.histogram(energies, edges)[0]
    # Strata with too few rows give all; the others share alike.
    scarce = there < counts.max()
    assert np.ptp(counts[~scarce]) <= 1
    np.testing.assert_array_equal(counts[scarce], there[scarce])
    assert scarce.any()


def test_boltzmann_draws_have_boltzmann_weights() -> None:
    energies = np.array([0.0, 0.02, 0.05, 0.1, 0.3])
    weights = np.exp(-energies / (units.kB * 400.0))
    draws = 3000
    first = [
        Boltzmann(n_to_select=1, random_state=s, temperature=400.0)
        .fit(np.zeros((5, 1)), energies)
        .selected_idx_[0]
        for s in range(draws)
    ]
    expected = weights / weights.sum()
    seen = np.bincount(first, minlength=5) / draws
    assert (np.abs(seen - expected) < 4 * np.sqrt(expected / draws) + 1e-3).all()


def test_minima_come_once_each_the_least_displaced_first() -> None:
    random = np.random.default_rng(0)
    minimum = np.repeat([7, 3, 5], [30, 10, 20])
    centres = {7: (0.0, 0.0), 3: (9.0, 0.0), 5: (0.0, 20.0)}
    X = np.array([centres[k] for k in minimum.tolist()]) + random.normal(size=(60, 2))
    chosen = DiverseMinima(n_to_select=6).fit(X, minimum).selected_idx_
    assert sorted(minimum[chosen[:3]]) == [3, 5, 7]
    np.testing.assert_array_equal(minimum[chosen[3:]], minimum[chosen[:3]])
    for row in chosen[:3]:
        members = X[minimum == minimum[row]]
        apart = np.linalg.norm(members - members.mean(0), axis=1)
        assert np.linalg.norm(X[row] - members.mean(0)) == pytest.approx(apart.min())
    near = DiverseMinima(n_to_select=1).fit(X, minimum, given=np.array([[0.0, 20.0]]))
    assert minimum[near.selected_idx_[0]] == 3


def test_random_orders_of_keys_nest() -> None:
    keys = [f"k{i}" for i in range(30)]
    whole = Random(random_state=4).fit(np.zeros((30, 1)), keys=keys).selected_idx_
    half = Random(random_state=4).fit(np.zeros((15, 1)), keys=keys[:15]).selected_idx_
    assert [k for k in whole.tolist() if k < 15] == half.tolist()


def test_senseless_options_are_refused() -> None:
    X, y = np.zeros((4, 2)), np.zeros(4)
    for selector, message in (
        (Cur(regularisation=0.0), "regularisation"),
        (EntropyGreedy(bandwidth=0.0), "bandwidth"),
        (EnergyStrata(n_strata=0), "n_strata"),
        (Boltzmann(temperature=0.0), "temperature"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            selector.fit(X, y)
