"""Threads that share loops of compiled code on a CPU."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, thread_name_prefix="loops")


if hasattr(os, "register_at_fork"):
    # A forked process has none of the threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=_threads.cache_clear)


def share(work: Callable[[int, int], object], bounds: Sequence[int]) -> None:
    """Call ``work(begin, end)`` for each run between two bounds, at once, a thread for each.

    Parameters
    ----------
    work : callable
        Without Python's lock; runs must not write to the same memory.
    bounds : sequence of int
        Ascending.
    """
    first, *others = itertools.pairwise(bounds)
    waiting = [_threads(len(others)).submit(work, *run) for run in others]
    work(*first)
    for other in waiting:
        other.result()
