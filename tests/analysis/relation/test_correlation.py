"""Shift against error over systems: values, intervals that hold, and what supports none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from breadth.analysis.relation.correlation import relate
from breadth.diversity.errors import DataError


def test_rho_is_the_mean_of_scipys_within_replicates() -> None:
    rng = np.random.default_rng(0)
    shift, error = rng.random((3, 25, 2)), rng.random((3, 25, 2))
    found = relate(shift, error, n_resamples=50)
    for m in range(2):
        for t in range(2):
            each = [stats.spearmanr(shift[r, :, m], error[r, :, t]).statistic for r in range(3)]
            assert found.rho[m, t] == pytest.approx(np.mean(each))
    assert (found.interval[..., 0] < found.rho).all()
    assert (found.interval[..., 1] > found.rho).all()
    assert found.supported.all()
    assert (found.n_systems == 25).all()
    assert (found.n_replicates == 3).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(20, 30), st.integers(0, 1000))
def test_only_ranks_within_a_replicate_count(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shift, error = rng.random((2, n, 2)), rng.random((2, n))
    one = relate(shift, error, n_resamples=20, n_permutations=20)
    scale = np.array([1.0, 50.0])[:, None]  # replicates' scores have no common scale
    other = relate(np.exp(scale[..., None] * shift), scale * error**3, n_resamples=20)
    np.testing.assert_allclose(one.rho, other.rho)
    np.testing.assert_allclose(one.interval, other.interval)
    order = rng.permutation(n)
    moved = relate(shift[:, order], error[:, order], n_resamples=20)
    np.testing.assert_allclose(one.rho, moved.rho)
    upside_down = relate(-shift, error, n_resamples=20)
    np.testing.assert_allclose(one.rho, -upside_down.rho, atol=1e-12)


def test_a_confounder_is_taken_out() -> None:
    """Size drives both; given size nothing is left."""
    rng = np.random.default_rng(1)
    size = rng.normal(size=200)
    shift, error = (size + 0.5 * rng.normal(size=(2, 200)) for _ in range(2))
    plain = relate(shift, error, n_resamples=100)
    partial = relate(shift, error, given=size[:, None], n_resamples=100)
    assert plain.interval[0, 0, 0] > 0.5
    # Ranks are not linear in ranks: something of the confounder is left, about 0.01 here.
    assert partial.interval[0, 0, 0] < 0.013 < partial.interval[0, 0, 1] < 0.3
    assert plain.p_value[0, 0] < 0.001


def test_perfect_order_of_few_systems_leaves_a_width() -> None:
    shift = np.arange(20.0) + np.zeros((3, 1))
    found = relate(shift, shift, n_resamples=100)
    assert found.rho[0, 0] == pytest.approx(1.0)
    assert 0.9 < found.interval[0, 0, 0] < 0.9999
    assert found.p_value[0, 0] == pytest.approx(1 / 10_001)


def test_fewer_than_twenty_systems_support_none() -> None:
    rng = np.random.default_rng(2)
    shift, error = rng.random((3, 24, 2)), rng.random((3, 24))
    shift[:, 19:, 1] = np.nan
    found = relate(shift, error, n_resamples=20)
    assert found.supported[:, 0].tolist() == [True, False]
    assert found.reason[:, 0].tolist() == [
        "", "known for 19 systems; fewer than 20 support no relation",
    ]  # fmt: skip
    assert np.isnan(found.rho[1, 0])
    assert np.isnan(found.interval[1, 0]).all()
    assert found.best_p_value[0] == found.p_value[0, 0]
    error[0, :5] = np.nan  # one replicate knows too few: it is left out
    again = relate(shift, error, n_resamples=20)
    assert again.n_replicates[0, 0] == 2
    assert again.n_systems[0, 0] == 24
    alone = relate(shift[1:], error[1:], n_resamples=20)
    np.testing.assert_allclose(alone.rho[0], again.rho[0])


def test_the_best_of_scores_known_for_different_systems_pays_for_all_of_them() -> None:
    """Those known for equally many: the order in which they are given is no matter."""
    rng = np.random.default_rng(6)
    error = rng.random((1, 30))
    shift = np.stack([rng.random((1, 30)), error + 0.4 * rng.random((1, 30))], axis=-1)
    shift[0, :5, 0] = np.nan
    shift[0, -5:, 1] = np.nan
    found = relate(shift, error, n_resamples=20)
    assert found.n_systems[:, 0].tolist() == [25, 25]
    assert found.p_value[1, 0] < 0.01 < found.p_value[0, 0]
    assert found.best_p_value[0] == pytest.approx(2 * found.p_value[1, 0])
    turned = relate(shift[..., ::-1], error, n_resamples=20)
    assert turned.best_p_value[0] == pytest.approx(found.best_p_value[0])


def test_bad_shapes_are_told() -> None:
    with pytest.raises(DataError, match="2 replicates × 30 systems"):
        relate(np.zeros((2, 30)), np.zeros((2, 31)))
    with pytest.raises(DataError, match="1 dimensions"):
        relate(np.zeros(30), np.zeros(30))


CASES = [(0.0, 0.3, 3, 0), (0.7, 0.1, 3, 0), (0.9, 1.0, 3, 0), (0.7, 0.0, 1, 0), (0.7, 0.3, 3, 3)]


def share_held(
    strength: float, noise: float, n_replicates: int, n_covariates: int, n: int, trials: int
) -> float:
    """How often an interval holds ρ: shift and error share systems over replicates, plus noise."""
    rng = np.random.default_rng(3)
    held = 0
    # Spearman's ρ of two normal variables of this correlation, within one replicate
    truth = 6 / np.pi * np.arcsin(strength / (1 + noise**2) / 2)
    for _ in range(trials):
        x = rng.normal(size=n)
        y = strength * x + np.sqrt(1 - strength**2) * rng.normal(size=n)
        shift, error = (v + noise * rng.normal(size=(n_replicates, n)) for v in (x, y))
        covariates = rng.normal(size=(n, n_covariates))  # they have to do with neither
        found = relate(shift, error, given=covariates, n_resamples=100, n_permutations=1)
        lower, upper = found.interval[0, 0]
        held += lower <= truth <= upper
    print(strength, noise, n_replicates, n_covariates, n, held / trials)
    return held / trials


@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    case: tuple[float, float, int, int],
) -> None:
    """Of twenty systems, the fewest."""
    assert 0.91 <= share_held(*case, n=20, trials=120)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_the_truth_in_many_trials(
    case: tuple[float, float, int, int], n: int
) -> None:
    assert 0.94 <= share_held(*case, n=n, trials=1000)
