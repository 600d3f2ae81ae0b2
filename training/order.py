"""Which frames an update learns from, whatever the order of records, and at which cutoff."""

from __future__ import annotations

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.randomness import generator
from .configuration import TrainingConfig


def canonical(data: ConformerSet, index: np.ndarray) -> np.ndarray:
    """Return an index in the order of conformer ids, so that record order changes no number."""
    rows = np.asarray(index)
    if rows.dtype == bool:
        rows = np.flatnonzero(rows)
    rows = rows.astype(np.int64)
    return rows[np.argsort(data.select(rows).id, kind="stable")]


def update_cutoff(config: TrainingConfig, seed: int, update: int) -> float | None:
    """Return the cutoff of an update in Å, uniform in the range asked for; None is the trained.

    A pure function of seed and update, like the batches, so that an interrupted fit goes on as it
    would have. R. Oerder and J. Hamaekers (arXiv:2603.10205) draw a cutoff for each atom, since
    theirs are chosen atom by atom; here a structure has one, and all of an update share it.
    """
    if config.random_cutoff is None:
        return None
    return float(generator(seed, "cutoff", update).uniform(*config.random_cutoff))


class BatchOrder:
    """Which frames make up which update: a pure function of seed and update.

    Shuffled epochs follow each other without gap. Within a window of some batches the frames
    are sorted by size, so that little of a batch is padding, and the batches shuffled again.

    Parameters
    ----------
    counts : array of int, shape (n,)
        Atoms per frame, frames in an order that depends on their contents alone.
    batch_size : int
    seed : int
    window : int
        Batches that are sorted together.
    """

    def __init__(self, counts: np.ndarray, batch_size: int, seed: int, window: int = 8) -> None:
        self.counts, self.batch_size, self.seed, self.window = counts, batch_size, seed, window
        self._epochs: dict[int, np.ndarray] = {}
        self._window: tuple[int, np.ndarray] = (-1, np.zeros((0, batch_size), dtype=np.int64))

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            for old in [e for e in self._epochs if e < epoch - 1]:
                del self._epochs[old]
            n = len(self.counts)
            self._epochs[epoch] = generator(self.seed, "epoch", epoch).permutation(n)
        return self._epochs[epoch]

    def batch(self, update: int) -> np.ndarray:
        """Return the frames of an update, shape (batch_size,)."""
        place, within = divmod(update, self.window)
        if self._window[0] != place:
            n, size = len(self.counts), self.window * self.batch_size
            begin = place * size
            epochs = range(begin // n, (begin + size - 1) // n + 1)
            stream = np.concatenate([self._epoch(e) for e in epochs])
            frames = stream[begin - epochs.start * n :][:size]
            frames = frames[np.argsort(self.counts[frames], kind="stable")]
            mixed = generator(self.seed, "window", place).permutation(self.window)
            self._window = (place, frames.reshape(self.window, self.batch_size)[mixed])
        return self._window[1][within]
