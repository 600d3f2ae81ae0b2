"""Ranks under weights, partial correlations, permutations and corrections: independent values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from breadth.analysis.relation.ranks import (
    correct,
    permutation_p_values,
    rank_correlation,
    weighted_ranks,
)
from breadth.diversity.errors import ConfigurationError

ONE = np.ones((1, 30))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 20), st.integers(0, 10_000))
def test_weights_are_repeated_values(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    column, weights = rng.integers(0, 5, n).astype(float), rng.integers(0, 4, (3, n))
    found = weighted_ranks(column, weights.astype(float))
    for row, weight in zip(found, weights, strict=True):
        repeated = stats.rankdata(np.repeat(column, weight)) - 0.5
        np.testing.assert_allclose(np.repeat(row, weight), repeated)


def test_correlations_are_scipys_also_of_resamples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (30, 2)).astype(float), rng.random((30, 3))
    drawn = rng.integers(30, size=30)
    weights = np.stack([np.ones(30), np.bincount(drawn, minlength=30)])
    found = rank_correlation(x, y, weights)
    for rows, rho in zip((np.arange(30), drawn), found, strict=True):
        for m in range(2):
            for t in range(3):
                expected = stats.spearmanr(x[rows, m], y[rows, t]).statistic
                assert rho[m, t] == pytest.approx(expected)


def test_partial_correlation_is_that_of_residuals() -> None:
    rng = np.random.default_rng(1)
    z = rng.random((30, 2))
    x, y = z[:, :1] + rng.random((30, 1)), z.sum(axis=1, keepdims=True) + rng.random((30, 1))
    ranks = [stats.rankdata(c, axis=0) for c in (x, y)]
    design = np.column_stack([np.ones(30), stats.rankdata(z, axis=0)])
    left = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks]
    expected = np.corrcoef(left[0][:, 0], left[1][:, 0])[0, 1]
    assert rank_correlation(x, y, ONE, z)[0, 0, 0] == pytest.approx(expected)
    # one covariate: the textbook's formula
    xy, xz, yz = (stats.spearmanr(a[:, 0], b[:, 0]).statistic for a, b in ((x, y), (x, z), (y, z)))
    textbook = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert rank_correlation(x, y, ONE, z[:, :1])[0, 0, 0] == pytest.approx(textbook)


def test_constant_and_explained_columns_have_none_and_collinear_covariates_count_once() -> None:
    rng = np.random.default_rng(2)
    z = rng.random((30, 1))
    x = np.column_stack([np.ones(30), np.exp(z[:, 0]), rng.random(30)])
    y = rng.random((30, 1))
    found = rank_correlation(x, y, ONE, z)[0, :, 0]
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2])
    twice = np.hstack([z, -(z**3)])
    assert rank_correlation(x, y, ONE, twice)[0, 2, 0] == pytest.approx(found[2])
    p_value, best = permutation_p_values(x[None], y[None], rng, given=twice[None])
    assert np.isnan(p_value[:2, 0]).all()
    assert best[0] == p_value[2, 0]


def test_p_values_of_few_systems_are_the_exact_ones() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    y = np.array([2.0, 1.0, 3.0, 5.0, 4.0, 6.0])
    exact = stats.permutation_test(
        (y,), lambda v: abs(stats.spearmanr(x, v).statistic), permutation_type="pairings",
        n_resamples=np.inf, alternative="greater",
    ).pvalue  # fmt: skip
    stream = np.random.default_rng(3)
    tables = x[None, :, None], y[None, :, None]
    found = permutation_p_values(*tables, stream, n_permutations=20_000)[0][0, 0]
    assert found == pytest.approx(exact, abs=0.004)


@pytest.mark.parametrize("n_covariates", [0, 4])
def test_p_values_of_noise_are_uniform(n_covariates: int) -> None:
    """Replicates share their systems, as in a study; covariates explain most of y, nothing of x."""
    rng = np.random.default_rng(4)
    found, best = [], []
    for _ in range(300):
        z = np.broadcast_to(rng.normal(size=(20, n_covariates)), (3, 20, n_covariates))
        x, y = (rng.normal(size=(1, 20, k)) + 0.3 * rng.normal(size=(3, 20, k)) for k in (5, 1))
        y = y + z.sum(axis=-1, keepdims=True)
        p_value, of_best = permutation_p_values(
            x, y, rng, given=z if n_covariates else None, n_permutations=200
        )
        found.append(p_value[0, 0])
        best.append(of_best[0])
    for values in (found, best):
        assert stats.kstest(values, "uniform").pvalue > 0.01
        assert np.mean(np.array(values) <= 0.05) < 0.09


def test_corrections() -> None:
    p = np.array([[0.01, 0.5, np.nan], [0.02, 0.03, 0.9]])
    # by hand: sorted 0.01 0.02 0.03 0.5 0.9 times 5 4 3 2 1, made monotone
    expected = [[0.05, 1.0, np.nan], [0.08, 0.09, 1.0]]
    np.testing.assert_allclose(correct(p), expected)
    expected = [[0.05, 0.625, np.nan], [0.05, 0.05, 0.9]]
    np.testing.assert_allclose(correct(p, "benjamini_hochberg"), expected)
    assert np.isnan(correct(np.full(2, np.nan), "benjamini_hochberg")).all()
    with pytest.raises(ConfigurationError, match="benjamini_hochberg"):
        correct(p, "bonferoni")


def test_holm_keeps_false_discoveries_rare() -> None:
    rng = np.random.default_rng(5)
    false = [correct(rng.random(50)).min() <= 0.05 for _ in range(1000)]
    assert 0.03 < np.mean(false) < 0.07
