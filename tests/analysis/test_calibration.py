"""Calibration: expected errors are those made, bounds hold for new frames."""

import numpy as np
import pytest

from breadth.analysis.calibration import Calibration
from breadth.diversity.errors import DataError, ShortageError


def made(n_blocks, seed):
    """Errors that grow with the score's square, more for oxygen; blocks share a factor."""
    rng = np.random.default_rng(seed)
    elements = np.tile(np.repeat([1, 8], 20), n_blocks)
    block = np.repeat(np.arange(n_blocks), 40)
    score = rng.gamma(2.0, size=len(block))
    shared = np.exp(0.2 * rng.normal(size=n_blocks))[block]
    error = np.where(elements == 8, 3.0, 1.0) * (0.1 + score**2) * shared
    return score, error * rng.exponential(size=len(block)), elements, block


@pytest.fixture(scope="module")
def fitted():
    return Calibration(level=0.9).fit(*made(80, 0))


def test_expected_errors_are_those_of_new_frames(fitted):
    score, error, elements, _ = made(200, 1)
    expected = fitted.predict(score, elements)
    for z in (1, 8):
        for low, high in ((0.5, 1.0), (1.5, 2.5), (3.0, 4.0)):
            some = (elements == z) & (score > low) & (score < high)
            assert expected[some].mean() == pytest.approx(error[some].mean(), rel=0.15)


def test_bounds_hold_at_their_level_and_rise_with_the_score(fitted):
    score, error, elements, _ = made(200, 2)
    within = error <= fitted.bound(score, elements)
    for z in (1, 8):
        assert within[elements == z].mean() == pytest.approx(0.9, abs=0.03)
    rising = fitted.bound(np.linspace(0, 9, 50), np.full(50, 8))
    assert (np.diff(rising) >= 0).all()


def test_few_blocks_promise_nothing():
    few = Calibration(level=0.95).fit(*made(10, 0))
    assert few.factor_ == {1: np.inf, 8: np.inf}


def test_what_cannot_calibrate_is_told(fitted):
    score, error, elements, block = made(80, 0)
    with pytest.raises(ShortageError, match=r"H: 20 atoms teach .* and 0 check"):
        Calibration().fit(*made(1, 0))
    with pytest.raises(DataError, match="not as many"):
        Calibration().fit(score, error[1:], elements, block)
    with pytest.raises(DataError, match="NaN"):
        Calibration().fit(score, error * np.nan, elements, block)
    with pytest.raises(DataError, match="No atom of Cl"):
        fitted.predict(np.ones(2), np.array([1, 17]))
