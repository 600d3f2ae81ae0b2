"""Batches that do not fit in memory, computed in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
import torch

from ..diversity.errors import BreadthError
from .batches import Batch, FrameStore

T = TypeVar("T")


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, of the device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU torch has no kind of error for it.
    texts = ("can't allocate memory", "not enough memory", "bad_alloc", "could not create a memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def halved(compute: Callable[[int], T], size: int, split: Callable[[int], None]) -> T:
    """Return ``compute(size)``, the size halved until it fits in memory.

    Parameters
    ----------
    compute : callable
        Takes the most structures that may be computed at once.
    size : int
    split : callable
        Called with each size that does not fit; it raises where that is one.
    """
    while True:
        try:
            return compute(size)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Outside of the handler, whose traceback holds what filled the memory.
        torch.cuda.empty_cache()
        split(size)
        size = (size + 1) // 2


def does_not_fit(store: FrameStore, place: int) -> BreadthError:
    """Return the error of a structure, at a place of a store, that does not fit by itself."""
    row = int(store.rows[place])
    return BreadthError(
        f"Conformer {row} (id {store.data.id[row].decode()}, {store.counts[place]} atoms) does not "
        "fit in memory by itself. Leave out structures of its size, take a smaller potential or "
        "cutoff, or a machine with more memory."
    )


class Parts(Generic[T]):
    """Computes batches of a store, in parts where they do not fit in memory.

    Parameters
    ----------
    store : FrameStore
    compute : callable
        What is wanted of a batch.
    at_once : int
        Most structures of a part. Halved as needed, and kept for later batches.
    tell : callable, optional
        Called once with a message, if a batch was split.
    """

    def __init__(
        self,
        store: FrameStore,
        compute: Callable[[Batch], T],
        at_once: int,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.store, self.compute, self.at_once, self.tell = store, compute, at_once, tell

    def __call__(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Batch, T]]:
        """Yield places, batch and what is wanted of each part of a batch."""
        while len(rows):
            tried = min(self.at_once, len(rows))

            def compute(size: int, rows: np.ndarray = rows) -> tuple[Batch, T]:
                batch = self.store.batch(rows[:size])
                return batch, self.compute(batch)

            def split(size: int, rows: np.ndarray = rows) -> None:
                if size == 1:
                    raise does_not_fit(self.store, int(rows[0]))
                self.at_once = (size + 1) // 2

            found = halved(compute, tried, split)
            if self.tell is not None and self.at_once < tried:
                self.tell(
                    f"{tried} structures of up to {self.store.counts[rows[:tried]].max()} atoms do "
                    f"not fit in memory together: at most {self.at_once} are computed at once, "
                    "which changes numbers by rounding alone."
                )
                self.tell = None
            size = min(self.at_once, tried)
            yield rows[:size], *found
            rows = rows[size:]
