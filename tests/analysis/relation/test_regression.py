"""Errors foretold from scores: whole systems left out, nothing won from noise."""

import numpy as np
import pytest

from breadth.analysis.relation.regression import foretell


def test_a_line_is_found_and_left_out_systems_judge_it() -> None:
    rng = np.random.default_rng(0)
    shift = rng.random((3, 40))
    error = 0.1 + 0.5 * shift + 0.1 * rng.normal(size=(3, 40))
    found = foretell(shift[..., None], error, n_resamples=200)
    assert found.r2 == pytest.approx(1 - 0.01 / (0.25 / 12 + 0.01), abs=0.08)
    assert found.mae == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.1)
    assert found.mae_of_mean - found.mae == pytest.approx(found.won)
    assert found.r2_interval[0] < found.r2 < found.r2_interval[1]
    assert 0 < found.won_interval[0] < found.won < found.won_interval[1]


def test_a_system_never_judges_itself() -> None:
    """Replicates of a system share its error: folds of cases would learn it by heart."""
    rng = np.random.default_rng(1)
    mark = np.broadcast_to(np.eye(30), (8, 30, 30))  # tells which system it is, and no more
    error = np.broadcast_to(rng.gamma(2.0, size=30), (8, 30))
    found = foretell(mark, error, n_resamples=20)
    assert found.r2 < 0.05


@pytest.mark.parametrize("n_scores", [1, 12])
def test_noise_foretells_nothing(n_scores: int) -> None:
    rng = np.random.default_rng(2)
    found = [
        foretell(rng.random((2, 24, n_scores)), rng.random((2, 24)), n_resamples=20).r2
        for _ in range(10)
    ]
    assert -0.3 < np.mean(found) < 0.02


def test_many_scores_are_weighed_together() -> None:
    rng = np.random.default_rng(3)
    shift = rng.random((2, 60, 10))
    error = shift[..., 0] + shift[..., 1] + 0.05 * rng.normal(size=(2, 60))
    assert foretell(shift, error, n_resamples=20).r2 > 0.9
    assert foretell(shift[..., :1], error, n_resamples=20).r2 < 0.7


def test_equal_errors_leave_nothing_to_explain() -> None:
    found = foretell(np.random.default_rng(4).random((2, 20, 1)), np.ones((2, 20)))
    assert np.isnan(found.r2)
    assert np.isnan(found.r2_interval).all()
    assert (found.mae, found.won, found.won_interval) == (0.0, 0.0, (0.0, 0.0))


def test_intervals_hold_what_new_systems_show() -> None:
    """The truth: the skill of a line fitted to as many systems, on any number of new ones."""
    rng = np.random.default_rng(5)
    n, n_replicates, trials = 40, 3, 120

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.random(n)
        shift = x + 0.1 * rng.normal(size=(n_replicates, n))
        hard = x + 0.3 * rng.normal(size=n) + 0.1 * rng.normal(size=(n_replicates, n))
        return shift, hard

    r2, won = [], []
    for _ in range(50):
        shift, error = (v.ravel() for v in draw(n * 9 // 10))
        new, truth = (v.ravel() for v in draw(2000))
        slope, level = np.polyfit(shift, error, 1)
        left, from_mean = truth - slope * new - level, truth - error.mean()
        r2.append(1 - np.mean(left**2) / np.mean(from_mean**2))
        won.append(np.mean(np.abs(from_mean)) - np.mean(np.abs(left)))
    held = np.zeros(2)
    for _ in range(trials):
        shift, error = draw(n)
        found = foretell(shift[..., None], error, n_resamples=150)
        held += (
            found.r2_interval[0] <= np.mean(r2) <= found.r2_interval[1],
            found.won_interval[0] <= np.mean(won) <= found.won_interval[1],
        )
    print(held / trials)
    assert (held / trials >= 0.9).all()
