"""Worker processes of which one that dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..executor import process_pool

Answer = TypeVar("Answer")


class LostWorkerError(Exception):
    """A worker died, or was lost, while it had work.

    Parameters
    ----------
    message : str
    times : int
        Workers that died of this work; 0 where it may have had no part in it.
    """

    def __init__(self, message: str, times: int = 1) -> None:
        super().__init__(message, times)
        self.times = times


class Processes(Executor):
    """Processes that are replaced when they die, each by itself.

    A pool of the standard library ends all its processes when one dies: each here is a pool of
    its own.

    Parameters
    ----------
    workers : int
    threads : int
        Of each process.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self._threads = threads
        self._leaders = ThreadPoolExecutor(workers, thread_name_prefix="leader")
        self._own = threading.local()

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        """Call a function in a process."""
        return self._leaders.submit(self._call, fn, *args, **kwargs)

    def _call(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Answer:
        pool: ProcessPoolExecutor | None = getattr(self._own, "pool", None)
        if pool is None:
            pool = self._own.pool = process_pool(1, self._threads)
        try:
            return pool.submit(fn, *args, **kwargs).result()
        except BrokenProcessPool:
            pool.shutdown(wait=False)
            self._own.pool = None
            raise LostWorkerError("a worker process died; it may have run out of memory") from None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; with `cancel_futures` at once, whatever they have in hand."""
        self._leaders.shutdown(wait=False, cancel_futures=cancel_futures)
        if cancel_futures:
            for process in multiprocessing.active_children():
                process.terminate()
        if wait:
            self._leaders.shutdown(wait=True)
