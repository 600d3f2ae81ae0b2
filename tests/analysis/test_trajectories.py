"""Stability, distances, drift, bond events and correlated means, on runs of known answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from breadth.analysis.trajectories import (
    bond_events,
    correlated_mean,
    distance_histogram,
    energy_drift,
    hr_error,
    stability_time,
)
from breadth.diversity.errors import DataError

#: A straight chain of three atoms, 1 Å apart.
REST = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
BONDS = np.array([[0, 1], [1, 2]])
TIME = np.arange(6) * 10.0


def chain(lengths: list[float]) -> np.ndarray:
    """Frames in which the second bond has these lengths."""
    frames = np.repeat(REST[None], len(lengths), axis=0)
    frames[:, 2, 0] = 1 + np.array(lengths)
    return frames


def test_stability_ends_where_a_bond_is_half_an_angstrom_too_long() -> None:
    frames = chain([1.0, 1.4, 1.49, 1.51, 1.0, 3.0])
    found = stability_time(TIME, frames, BONDS, REST)
    assert found.time == 30.0
    assert found.reason == "bond 1–2 stretched by 0.51 Å"
    assert stability_time(TIME, frames, BONDS[:1], REST) == (50.0, None)
    assert stability_time(TIME, frames, BONDS, REST, limit=0.3).time == 10.0
    shrunk = stability_time(TIME, chain([1.0, 0.51, 1.0, 0.49, 1.0, 1.6]), BONDS, REST)
    assert shrunk == (30.0, "bond 1–2 shrunk by 0.51 Å")
    hot = np.array([300.0, 300, np.nan, 300, 300, 300])
    assert stability_time(TIME, frames, BONDS, REST, temperature=hot) == (20.0, "not finite")
    frames[1, 0] = np.nan
    assert stability_time(TIME, frames, BONDS, REST) == (10.0, "not finite")
    crossing = chain([1.0, -2.2, -2.2, -2.2, -2.2, -2.2])  # 0.8 Å through a wall of 3 Å
    box = np.eye(3) * 3, np.ones(3, dtype=bool)
    assert stability_time(TIME, crossing, BONDS, REST).time == 10.0
    assert stability_time(TIME, crossing, BONDS, REST, *box) == (50.0, None)
    with pytest.raises(DataError, match="5 times and 6 frames"):
        stability_time(TIME[:5], frames, BONDS, REST)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_distances_do_not_change_with_motion_or_order_of_atoms(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = random.normal(size=(4, 7, 3)) * 2
    edges = np.linspace(0, 40, 201)  # farther than any two of them
    h = distance_histogram(frames, edges)
    assert (h * np.diff(edges)).sum() == pytest.approx(1.0)
    turned = Rotation.random(rng=random).apply(frames.reshape(-1, 3)).reshape(frames.shape)
    moved = (turned + random.normal(size=3))[:, random.permutation(7)]
    # A distance may cross the edge of a bin by rounding; that is one of 84.
    assert hr_error(distance_histogram(moved, edges), h, edges) < 2.1 / 84
    assert hr_error(h, h, edges) == 0.0


def test_distances_of_known_density() -> None:
    # Two atoms, the second uniform on 1 … 2 Å: h = 1 there, and 0 elsewhere.
    frames = np.zeros((4000, 2, 3))
    frames[:, 1, 1] = 1 + (np.arange(4000) + 0.5) / 4000
    edges = np.linspace(0, 4, 17)
    h = distance_histogram(frames, edges)
    np.testing.assert_allclose(h, (edges[:-1] >= 1) & (edges[:-1] < 2), atol=1e-3)
    # Moved by 0.25 Å, a quarter of the mass leaves at one end and comes at the other.
    frames[:, 1, 1] += 0.25
    assert hr_error(distance_histogram(frames, edges), h, edges) == pytest.approx(0.5, abs=2e-3)
    # Out of the bins altogether, none is shared: the largest error there is.
    frames[:, 1, 1] += 100
    assert hr_error(distance_histogram(frames, edges), h, edges) == pytest.approx(2.0)
    frames[0] = np.nan
    assert distance_histogram(frames, edges).sum() == 0
    with pytest.raises(DataError, match="two or more atoms"):
        distance_histogram(frames[:1], edges)


def test_drift_is_slope_and_what_the_line_leaves() -> None:
    time = np.linspace(0, 5000, 1001)
    wave = 0.002 * np.sqrt(2) * np.sin(2 * np.pi * time / 50)
    found = energy_drift(time, -1e4 + 0.03 * time / 1000 + wave)
    assert found.slope == pytest.approx(0.03, abs=1e-4)
    assert found.fluctuation == pytest.approx(0.002, rel=1e-2)
    with pytest.raises(DataError, match="three frames"):
        energy_drift(time[:2], time[:2])


def test_bonds_that_break_and_form_are_told_once_with_their_first_time() -> None:
    numbers = np.array([6, 6, 1, 17])
    rest = np.array([[0.0, 0, 0], [1.5, 0, 0], [2.6, 0, 0], [6.0, 0, 0]])
    bonds = np.array([[0, 1], [1, 2]])
    frames = np.repeat(rest[None], 6, axis=0)
    frames[2, 0, 0] = -0.6  # C–C is long in one frame
    frames[3:, 2, 0] = 4.7  # and H leaves C for Cl
    events = bond_events(numbers, TIME, frames, bonds, rest)
    kinds = [(e.time, e.change.kind, e.change.first, e.change.second, e.lasting) for e in events]
    assert kinds == [
        (20.0, "bond broken", 0, 1, False),
        (30.0, "bond broken", 1, 2, True),
        (30.0, "bond formed", 2, 3, True),
    ]
    assert events[2].change.distance == pytest.approx(1.3)
    assert bond_events(numbers, TIME[:2], frames[:2], bonds, rest) == []


def test_the_error_of_a_correlated_mean_is_that_of_its_process() -> None:
    # x_k = a x_(k−1) + e: τ = (1 + a) / (1 − a), and the variance of the mean is τ / t.
    a, t, runs = 0.9, 4000, 100
    random = np.random.default_rng(0)
    means, errors, taus = np.empty((3, runs))
    for run in range(runs):
        noise = random.normal(size=t) * np.sqrt(1 - a * a)
        x = np.empty(t)
        x[0] = random.normal()
        for k in range(1, t):
            x[k] = a * x[k - 1] + noise[k]
        means[run], errors[run], taus[run] = correlated_mean(x + 300)
    assert np.mean(taus) == pytest.approx(19.0, rel=0.1)
    assert np.mean(errors) == pytest.approx(np.sqrt(19 / t), rel=0.1)
    assert 0.85 < (np.abs(means - 300) < 2 * errors).mean() <= 1.0
    independent = correlated_mean(random.normal(size=t))
    assert independent.standard_error == pytest.approx(1 / np.sqrt(t), rel=0.15)


def test_series_too_short_or_broken_say_so() -> None:
    assert np.isnan(correlated_mean(np.linspace(0, 1, 50)).standard_error)
    assert correlated_mean(np.full(5, 2.0)) == (2.0, 0.0, 1.0)
    with pytest.raises(DataError, match="all finite"):
        correlated_mean(np.array([1.0, np.inf]))
