"""Limits against samples of what they are the limits of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from breadth.analysis.limits import (
    held_out_quantile,
    hotelling_f,
    jackson_mudholkar,
    moment_matched,
    quadratic_form_traces,
)


@given(st.integers(1, 300), st.sampled_from([0.8, 0.9, 0.95]))
def test_a_row_to_come_is_beyond_a_quantile_with_less_than_the_promised_chance(n, level):
    limit = held_out_quantile(np.random.default_rng(n).permutation(n).astype(float), level)
    # A new row falls with equal chance between any two of n: n − limit places lie beyond.
    if limit < n - 1:
        assert (n - limit) / (n + 1) <= 1 - level + 1e-9


def test_moment_matching_is_exact_for_a_scaled_chi_square():
    assert moment_matched(2.0 * 7, 4.0 * 14, 0.9) == pytest.approx(2 * stats.chi2.ppf(0.9, 7))
    assert moment_matched(1.5, 0.0, 0.9) == 1.5


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_jackson_mudholkar_is_the_quantile_of_a_sampled_quadratic_form(shift):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6)) / 2
    mean = shift * rng.normal(size=6)
    sampled = ((rng.normal(size=(200_000, 6)) @ root.T + mean) ** 2).sum(1)
    theta = quadratic_form_traces(root @ root.T, mean)
    assert theta[0] == pytest.approx(sampled.mean(), rel=0.01)
    assert 2 * theta[1] == pytest.approx(sampled.var(), rel=0.03)
    assert jackson_mudholkar(theta, 0.95) == pytest.approx(np.quantile(sampled, 0.95), rel=0.02)


def test_what_lies_outside_moves_the_mean_only():
    theta = quadratic_form_traces(np.eye(3), np.zeros(3), outside=0.5)
    assert theta == (3.5, 3.0, 3.0)
    assert jackson_mudholkar((2.0, 0.0, 0.0), 0.95) == 2.0


def test_the_f_limit_holds_for_new_rows_of_a_small_sample():
    rng = np.random.default_rng(1)
    n, k, beyond = 12, 3, []
    for _ in range(400):
        rows, new = rng.normal(size=(n, k)), rng.normal(size=(50, k))
        away = new - rows.mean(0)
        t2 = np.einsum("ij,jk,ik->i", away, np.linalg.inv(np.cov(rows.T)), away)
        beyond.append((t2 > hotelling_f(n, k, 0.95)).mean())
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.01)
