"""Frames that are taken from runs and labelled: evenly in time, or those that lie farthest out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity import ConformerSet, SetAside, concat, write
from ...sampling.labels import label_chunk
from ..pool import read_set, write_aside
from ..registry import label_engine
from ..store import Store
from ..units import Unit
from .exploring import read_exploration
from .outside import frame_scores

#: Frames are taken from this last share of a run's time, or of its segment.
SHARE = 0.5


def visited_unit(
    runs: Mapping[str, Unit],
    windows: Mapping[str, tuple[float, float]],
    *,
    n: int,
    engine: str,
    known: Sequence[Unit] = (),
    apart: float = 0.0,
    descriptor: str = "",
    n_components: int = 0,
) -> Unit:
    """Return the unit that labels `n` frames of runs.

    Parameters
    ----------
    runs : mapping of str to Unit
        Runs by role.
    windows : mapping of str to (float, float)
        Time in fs of the segment of each run that frames are taken from, in its second half.
    n : int
    engine : str
        Level of theory of the labels.
    known : sequence of Unit, optional
        Units of labelled frames. With some, those frames of all runs are taken that lie farthest
        outside these by Q, none of them again.
    apart : float, optional
        Least time in fs between two frames of one run that are so chosen, known ones included.
    descriptor, n_components : optional
        Of Q.
    """
    parameters: dict[str, Any] = {
        "n": n,
        "engine": engine,
        "windows": {role: list(window) for role, window in windows.items()},
    }
    inputs = {f"run/{role}": unit.key for role, unit in runs.items()}
    if known:
        parameters |= {"apart": apart, "descriptor": descriptor, "n_components": n_components}
        inputs |= {f"known/{place}": unit.key for place, unit in enumerate(known)}
    return Unit("visited", 2, parameters, inputs)


def run_visited(unit: Unit, store: Store, folder: Path) -> None:
    """Take frames and label them; fewer where a run broke early or a label failed."""
    asked = unit.parameters
    parts = []
    for role, window in sorted(asked["windows"].items()):
        run = read_exploration(store, unit.inputs[f"run/{role}"])
        if run.frames is None:
            continue
        rows = stable_rows(run.time, run.told, window)
        if not any(name.startswith("known/") for name in unit.inputs):
            rows = rows[evenly(len(rows), asked["n"])]
        if len(rows):
            parts.append(run.frames.select(rows))
    aside: list[SetAside] = []
    if parts:
        frames = concat(parts)
        known = [
            read_set(store, key)
            for role, key in sorted(unit.inputs.items())
            if role.startswith("known/") and (store.folder(key) / "set").exists()
        ]
        if known:
            frames = frames.select(_farthest(frames, concat(known), asked))
        labels = label_chunk(frames, label_engine(asked["engine"]))
        aside = [SetAside(frames.id[i].decode(), why) for i, why in labels.faults.items()]
        labelled = frames.with_level(asked["engine"], labels)
        labelled = labelled.select(labels.has_energy & labels.has_forces)
        if len(labelled):
            write(labelled, folder / "set")
    write_aside(folder, aside)


def segment_end(told: Mapping[str, Any], window: Sequence[float]) -> float:
    """Return the time in fs until which a segment of a run was stable."""
    stable = told["stability_time"] if told["stopped"] else told["simulated_time"]
    return min(window[1], stable)


def stable_rows(time: np.ndarray, told: Mapping[str, Any], window: Sequence[float]) -> np.ndarray:
    """Return the frames of the last `SHARE` of a segment, without those of a torn molecule.

    Examples
    --------
    >>> told = {"stopped": "", "simulated_time": 40.0}
    >>> stable_rows(np.arange(0, 41, 5.0), told, (0.0, 40.0))
    array([5, 6, 7, 8])
    >>> torn = {"stopped": "bond broken", "stability_time": 30.0}
    >>> stable_rows(np.arange(0, 31, 5.0), torn, (0.0, 40.0))
    array([4, 5])
    """
    end = segment_end(told, window)
    inside = (time > window[0] + (1 - SHARE) * (end - window[0])) & (time <= end)
    if told["stopped"]:
        # The frame that broke, which an earlier segment of the run does not hold.
        inside &= time < told["stability_time"]
    return np.flatnonzero(inside)


def evenly(count: int, n: int) -> np.ndarray:
    """Return the places of `n` frames, evenly among so many that follow each other in time.

    All where there are fewer; the last is always one of them.

    Examples
    --------
    >>> evenly(10, 5), evenly(5, 3), evenly(2, 3)
    (array([1, 3, 5, 7, 9]), array([0, 2, 4]), array([0, 1]))
    """
    taken = min(n, count)
    return np.arange(1, taken + 1) * count // max(taken, 1) - 1


def _farthest(frames: ConformerSet, known: ConformerSet, asked: Mapping[str, Any]) -> np.ndarray:
    """Return the frames with the highest scores, at least a time apart within each run."""
    scores = frame_scores(known, frames, asked["descriptor"], asked["n_components"])
    taken = {
        run: known.time[known.trajectory == run].tolist() for run in np.unique(frames.trajectory)
    }
    chosen: list[int] = []
    for row in np.lexsort((frames.id, -scores)):
        times = taken[frames.trajectory[row]]
        # Half a femtosecond: times are sums of steps.
        if all(abs(frames.time[row] - t) > asked["apart"] - 0.5 for t in times):
            times.append(float(frames.time[row]))
            chosen.append(int(row))
        if len(chosen) == asked["n"]:
            break
    return np.sort(np.array(chosen, dtype=np.int64))
