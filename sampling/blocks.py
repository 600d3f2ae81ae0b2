"""Hold-outs along trajectories: whole blocks, with gaps."""

from __future__ import annotations

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, ShortageError
from ..diversity.randomness import ordering
from .disjoint import check_disjoint


def block_split(
    conformers: ConformerSet,
    *,
    test_fraction: float = 0.2,
    gap: int = 10,
    random_state: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out one contiguous block of each trajectory, with a gap beside it.

    Neighbouring frames of a trajectory are near copies; drawn at random they would leak.

    Parameters
    ----------
    conformers : ConformerSet
        Frames are ordered by `time`, or by `record` where times are not known.
    test_fraction : float, optional
        Of each trajectory's frames.
    gap : int, optional
        Frames on either side of the block that neither side has.
    random_state : int, optional
        Draws the place of the block.

    Returns
    -------
    train, test : array of int64
        Ascending indices. Conformers outside any trajectory are in neither.

    Raises
    ------
    ShortageError
        If there is no trajectory, or one is too short for block and gaps.
    """
    if not 0 < test_fraction < 1 or gap < 0:
        raise ConfigurationError(
            f"test_fraction = {test_fraction} must lie between 0 and 1, gap = {gap} not below 0."
        )
    inside = np.flatnonzero(conformers.trajectory >= 0)
    if not len(inside):
        raise ShortageError("No conformer belongs to a trajectory, so no block can be held out.")
    train, test = [], []
    names = np.array(
        [f"{conformers.source[i]}\x1f{conformers.trajectory[i]}" for i in inside], dtype=np.str_
    )
    for name in np.unique(names):
        frames = inside[names == name]
        clock = conformers.time[frames]
        clock = clock if np.isfinite(clock).all() else conformers.record[frames]
        frames = frames[np.argsort(clock, kind="stable")]
        length = max(1, round(test_fraction * len(frames)))
        if len(frames) - length - gap < 1:
            source, _, number = name.partition("\x1f")
            raise ShortageError(
                f"Trajectory {number} of {source or 'the set'} has {len(frames)} frames: a block "
                f"of {length} and a gap of {gap} leave none to train on."
            )
        # Near an end of the trajectory a block needs a gap on one side only.
        places = np.arange(len(frames) - length + 1)
        outside = np.maximum(places - gap, 0) + np.maximum(len(frames) - (places + length + gap), 0)
        places = places[outside > 0]
        start = int(places[ordering(f"{random_state} block {name}", map(str, places.tolist()))[0]])
        test.append(frames[start : start + length])
        train.append(frames[: max(0, start - gap)])
        train.append(frames[start + length + gap :])
    result = np.sort(np.concatenate(train)), np.sort(np.concatenate(test))
    check_disjoint(conformers, *result)
    return result
