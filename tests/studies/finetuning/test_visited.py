"""Which frames of a run are taken: of its second half, before it broke, evenly or farthest out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity import ConformerSet
from breadth.diversity.tables import Molecules
from breadth.studies.finetuning import visited
from breadth.studies.finetuning.visited import evenly, stable_rows


@given(
    n_steps=st.integers(4, 300),
    every=st.floats(0.5, 20.0),
    begin=st.integers(0, 3),
    n=st.integers(1, 20),
    broke=st.none() | st.floats(0.0, 1.0),
)
def test_frames_are_of_the_stable_second_half_and_never_more_than_asked(
    n_steps, every, begin, n, broke
):
    time = np.arange(n_steps + 1) * every
    segment = time[-1] / 4
    window = (begin * segment, (begin + 1) * segment)
    told = {"stopped": "", "simulated_time": time[-1]}
    if broke is not None:
        told = {"stopped": "bond broken", "stability_time": broke * time[-1]}
    rows = stable_rows(time, told, window)
    end = min(window[1], told.get("stability_time", time[-1]))
    assert (time[rows] <= end).all()
    assert (time[rows] > window[0] + 0.5 * (end - window[0])).all()
    if broke is not None:
        assert (time[rows] < told["stability_time"]).all()
    taken = evenly(len(rows), n)
    # Every arm has as many frames as there can be: none is taken twice.
    assert len(taken) == min(n, len(rows))
    gaps = np.diff(taken, prepend=-1)
    assert (gaps > 0).all()
    assert not len(taken) or (taken[-1] == len(rows) - 1 and np.ptp(gaps) <= 1)


def test_taken_frames_are_equally_spaced_and_end_with_the_segment():
    time = np.arange(0.0, 2001.0, 10.0)
    told = {"stopped": "", "simulated_time": 2000.0}
    rows = stable_rows(time, told, (1000.0, 2000.0))
    taken = time[rows][evenly(len(rows), 10)]
    np.testing.assert_array_equal(taken, np.arange(1550.0, 2001.0, 50.0))


def test_a_later_break_changes_nothing_of_an_earlier_segment():
    time = np.arange(0.0, 81.0, 5.0)
    whole = {"stopped": "", "simulated_time": 80.0}
    broke = {"stopped": "bond broken", "stability_time": 60.0}
    for told in (whole, broke):
        assert stable_rows(time, told, (0.0, 40.0)).tolist() == [5, 6, 7, 8]
    assert stable_rows(time, broke, (40.0, 80.0)).tolist() == [11]


def frames(trajectory, times):
    n = len(times)
    return ConformerSet(
        molecules=Molecules(key=np.array(["H2"])),
        molecule=np.zeros(n, dtype=int),
        numbers=np.ones(2 * n, dtype=int),
        positions=np.random.default_rng(trajectory).normal(size=(2 * n, 3)),
        offsets=2 * np.arange(n + 1),
        trajectory=np.full(n, trajectory),
        time=np.asarray(times, dtype=float),
    )


@pytest.mark.parametrize(("apart", "expected"), [(10.0, [10, 40, 50]), (20.0, [50])])
def test_chosen_frames_are_farthest_out_and_apart_from_each_other_and_known_ones(
    monkeypatch, apart, expected
):
    candidates, known = frames(0, [0, 10, 20, 30, 40, 50]), frames(0, [0, 20, 30])
    monkeypatch.setattr(
        visited, "frame_scores", lambda known, frames, descriptor, n: frames.time.copy()
    )
    asked = {"apart": apart, "n": 3, "descriptor": "", "n_components": 1}
    rows = visited._farthest(candidates, known, asked)
    assert candidates.time[rows].tolist() == expected
