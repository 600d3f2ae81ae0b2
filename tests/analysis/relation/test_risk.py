"""Failures found and risk by coverage: independent values, and intervals that hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from breadth.analysis.relation.risk import detect_failures, failure_threshold, risk_by_coverage


def systems(
    rng: np.random.Generator, n: int, n_replicates: int, strength: float, noise: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SYNTHETIC scores (R, n, 1), errors (R, n) and failures: about a third."""
    x = rng.normal(size=n)
    y = strength * x + np.sqrt(1 - strength**2) * rng.normal(size=n)
    score, hard = (v + noise * rng.normal(size=(n_replicates, n)) for v in (x, y))
    return score[..., None], np.exp(0.6 * hard), hard > 0.5 * np.sqrt(1 + noise**2)


def test_auroc_is_scikit_learns_averaged_over_replicates() -> None:
    rng = np.random.default_rng(0)
    score, failed = rng.integers(0, 6, (3, 40, 2)).astype(float), rng.random((3, 40)) < 0.4
    found = detect_failures(score, failed, n_resamples=50)
    for m in range(2):
        each = [roc_auc_score(failed[r], score[r, :, m]) for r in range(3)]
        assert found.auroc[m] == pytest.approx(np.mean(each))
        assert found.interval[m, 0] < found.auroc[m] < found.interval[m, 1]
    np.testing.assert_array_equal(found.n_failures, failed.sum(axis=1))
    backwards = detect_failures(-score, failed, n_resamples=50)
    np.testing.assert_allclose(backwards.auroc, 1 - found.auroc)
    np.testing.assert_allclose(backwards.interval, 1 - found.interval[:, ::-1])


def test_replicates_with_few_failures_are_left_out() -> None:
    rng = np.random.default_rng(1)
    score, failed = rng.random((2, 30, 1)), np.zeros((2, 30), dtype=bool)
    failed[0, :4] = True
    none = detect_failures(score, failed, n_resamples=20)
    assert np.isnan(none.auroc).all()
    assert np.isnan(none.interval).all()
    assert none.n_failures.tolist() == [4, 0]
    failed[1, :5] = True
    one = detect_failures(score, failed, n_resamples=20)
    assert one.auroc[0] == pytest.approx(roc_auc_score(failed[1], score[1, :, 0]))
    perfect = detect_failures(failed[1:, :, None].astype(float), failed[1:], n_resamples=50)
    assert perfect.auroc[0] == 1.0
    assert perfect.interval[0].tolist() == [pytest.approx(0.025**0.2), 1.0]  # 5 of 5


def test_threshold_needs_twenty_systems() -> None:
    hold_out = np.full((2, 25), np.nan)
    hold_out[0] = np.arange(25.0)
    hold_out[1, :19] = 1.0
    assert failure_threshold(hold_out)[0] == pytest.approx(22.8)
    assert np.isnan(failure_threshold(hold_out)[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000))
def test_area_is_that_under_the_curve_and_stands_between_oracle_and_worst(
    n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    score, error = rng.integers(0, 5, (2, n, 1)).astype(float), rng.gamma(2.0, size=(2, n))
    fine = (np.arange(20_000) + 0.5) / 20_000
    found = risk_by_coverage(score, error, kept=fine, n_resamples=2)
    assert found.risk[0].mean() == pytest.approx(found.area[0], rel=1e-6)
    assert found.oracle.mean() == pytest.approx(found.oracle_area, rel=1e-6)
    assert found.random_area == pytest.approx(error.mean())
    worst = risk_by_coverage(-error[..., None], error, n_resamples=2).area[0]
    assert found.oracle_area - 1e-12 <= found.area[0] <= worst + 1e-12
    assert found.won[0] <= 1.0 + 1e-12


def test_equal_scores_are_kept_in_random_order() -> None:
    rng = np.random.default_rng(2)
    error = rng.gamma(2.0, size=(1, 12))
    score = np.repeat([0.0, 1.0, 2.0], 4)[None, :, None]
    tied = risk_by_coverage(score, error, n_resamples=2).risk[0]
    broken = [
        risk_by_coverage(score + 1e-6 * rng.random((1, 12, 1)), error, n_resamples=2).risk[0]
        for _ in range(200)
    ]
    np.testing.assert_allclose(tied, np.mean(broken, axis=0), rtol=0.08)
    constant = risk_by_coverage(np.zeros((1, 12, 1)), error, n_resamples=20)
    np.testing.assert_allclose(constant.risk, error.mean())
    assert constant.won[0] == pytest.approx(0.0)
    assert constant.won_interval[0] == pytest.approx([0.0, 0.0])


def test_order_by_the_error_is_the_oracle_and_equal_errors_leave_nothing_to_win() -> None:
    error = np.random.default_rng(3).gamma(2.0, size=(2, 30))
    found = risk_by_coverage(error[..., None], error, n_resamples=20)
    np.testing.assert_allclose(found.risk[0], found.oracle)
    assert found.won[0] == pytest.approx(1.0)
    equal = risk_by_coverage(error[..., None], np.ones((2, 30)), n_resamples=20)
    assert np.isnan(equal.won[0])
    assert np.isnan(equal.won_interval).all()


def shares_held(strength: float, n_replicates: int, n: int, trials: int) -> np.ndarray:
    """How often the intervals hold the AUROC, and what the order won, of ever so many systems."""
    rng = np.random.default_rng(4)
    score, error, failed = systems(rng, 100_000, 1, strength)
    auroc = detect_failures(score, failed, n_resamples=1).auroc[0]
    won = risk_by_coverage(score, error, n_resamples=1).won[0]
    held, known = np.zeros(2), np.zeros(2)
    for _ in range(trials):
        score, error, failed = systems(rng, n, n_replicates, strength)
        bounds = detect_failures(score, failed, n_resamples=100).interval[0]
        curve = risk_by_coverage(score, error, n_resamples=100).won_interval[0]
        held += bounds[0] <= auroc <= bounds[1], curve[0] <= won <= curve[1]
        known += np.isfinite(bounds[0]), 1.0
    print(strength, n_replicates, n, held / known)
    return held / known


@pytest.mark.parametrize(("strength", "n_replicates", "trials"), [(0.0, 3, 100), (0.7, 1, 400)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    strength: float, n_replicates: int, trials: int
) -> None:
    assert (shares_held(strength, n_replicates, 40, trials) >= 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [25, 60])
@pytest.mark.parametrize("n_replicates", [1, 3])
@pytest.mark.parametrize("strength", [0.0, 0.7, 0.95])
def test_intervals_hold_the_truth_in_many_trials(
    strength: float, n_replicates: int, n: int
) -> None:
    assert (shares_held(strength, n_replicates, n, 800) >= 0.91).all()
