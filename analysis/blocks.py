"""Contiguous blocks of frames: neighbours in time are nearly equal, so they go together."""

from __future__ import annotations

import numpy as np


def blocks_of_frames(
    frame: np.ndarray, n_blocks: int, *, run: np.ndarray | None = None
) -> np.ndarray:
    """Return the block of each row, (n,): runs of frames, as equal as they can be.

    Parameters
    ----------
    frame : array, shape (n,)
        Frame of each row; frames follow each other as their rows do.
    n_blocks : int
        In all. A frame is never cut, so there are no more blocks than frames.
    run : array, shape (n,), optional
        Trajectory of each row, whose frames are numbered by themselves. No block spans two, so that
        each has one block at the least.

    Examples
    --------
    >>> blocks_of_frames(np.array([7, 7, 3, 3, 5, 9]), 2)
    array([0, 0, 0, 0, 1, 1])
    >>> blocks_of_frames(np.array([0, 1, 0, 1]), 2, run=np.array([0, 0, 1, 1]))
    array([0, 0, 1, 1])
    """
    frame = np.asarray(frame)
    runs = np.zeros(len(frame), dtype=np.int64) if run is None else np.asarray(run)
    names, first = np.unique(runs, return_index=True)
    rows = [np.flatnonzero(runs == name) for name in names[np.argsort(first)]]
    counts = [len(np.unique(frame[of_run])) for of_run in rows]
    block, begun = np.zeros(len(frame), dtype=np.int64), 0
    for of_run, count in zip(rows, counts, strict=True):
        _, at, of = np.unique(frame[of_run], return_index=True, return_inverse=True)
        share = max(1, round(n_blocks * count / sum(counts)))
        n = min(share, count)
        block[of_run] = begun + np.argsort(np.argsort(at))[of] * n // count
        begun += n
    return block
