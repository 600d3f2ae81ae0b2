"""Run units in worker processes, each as soon as what it reads is there."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ..diversity import BreadthError
from .record import timed
from .store import Store
from .units import Unit

#: Function ``run(unit, store, folder)`` of each kind of unit, imported when first needed. A later
#: study adds its kinds here.
KINDS: dict[str, str] = {
    "geometries": "breadth.studies.pool:run_geometries",
    "sources": "breadth.studies.pool:run_sources",
    "labels": "breadth.studies.pool:run_labels",
    "atoms": "breadth.studies.pool:run_atoms",
    "pool": "breadth.studies.pool:run_pool",
    "selection": "breadth.studies.pool:run_selection",
    "measures": "breadth.studies.measuring:run_measures",
    "fit": "breadth.studies.models:run_fit",
    "stack": "breadth.studies.stacking:run_stack",
    "member": "breadth.studies.stacking:run_member",
    "predictions": "breadth.studies.models:run_predictions",
    "frames": "breadth.studies.refinement.systems:run_frames",
    "prior_labels": "breadth.studies.refinement.systems:run_prior_labels",
    "joined": "breadth.studies.refinement.systems:run_joined",
    "anchored": "breadth.studies.refinement.trajectories:run_anchored",
    "stretched": "breadth.studies.refinement.pools:run_stretched",
    "arm": "breadth.studies.refinement.fits:run_arm",
    "refinement": "breadth.studies.refinement.refining:run_refinement_unit",
    "dynamics": "breadth.studies.refinement.dynamics:run_dynamics_unit",
    "surface": "breadth.studies.refinement.surfaces:run_surface_unit",
    "shift_scores": "breadth.studies.refinement.scoring:run_scores",
    "spectra": "breadth.studies.refinement.scoring:run_spectra",
    "copied": "breadth.studies.refinement.finished:run_copied",
    "start": "breadth.studies.finetuning.starting:run_start",
    "other_molecules": "breadth.studies.finetuning.starting:run_original",
    "exploration": "breadth.studies.finetuning.exploring:run_exploration",
    "visited": "breadth.studies.finetuning.visited:run_visited",
    "fine_tuned": "breadth.studies.finetuning.fits:run_fit",
    "evaluated": "breadth.studies.finetuning.evaluating:run_evaluated",
    "released_universal": "breadth.studies.finetuning.released_models:run_released_universal",
    "released_fit": "breadth.studies.finetuning.released_models:run_released_fit",
    "released_scores": "breadth.studies.finetuning.released_models:run_released_scores",
}

#: Kinds whose work torch does, on a GPU where a worker has one.
GPU_KINDS = frozenset(
    (
        *("fit", "stack", "predictions", "arm", "refinement", "dynamics", "shift_scores"),
        *("start", "exploration", "visited", "fine_tuned", "evaluated"),
        *("released_universal", "released_fit", "released_scores"),
    )
)

#: Called with every unit that ends and its cost, estimated seconds.
Progress = Callable[[Unit, float], None]


class SetAsideError(BreadthError):
    """A unit failed again and again: it is left out, and what does not need it goes on."""


class AnnouncedExecutor(Executor):
    """An executor that is told of units before it is given them."""

    def announce(self, units: Iterable[Unit], costs: Mapping[str, float]) -> None:
        """Take notice of units that wait, and of their estimated seconds by key."""


def counted(tell: Callable[[str, float, float], None], phase: str, total: float) -> Progress:
    """Return what tells, as units end, how many of all estimated seconds of a phase have passed."""
    passed = 0.0

    def count(unit: Unit, cost: float) -> None:
        nonlocal passed
        passed += cost
        tell(phase, passed, total)

    return count


def run_unit(root: Path, unit: Unit) -> str:
    """Run one unit, unless it is finished, and return its key; called in a worker."""
    store = Store(root)
    if not store.has(unit):
        module, _, function = KINDS[unit.kind].partition(":")
        run: Callable[[Unit, Store, Path], None] = getattr(
            importlib.import_module(module), function
        )
        with store.writing(unit) as folder, timed(folder):
            run(unit, store, folder)
    return unit.key


def run_units(
    store: Store,
    units: Iterable[Unit],
    executor: Executor,
    *,
    costs: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> None:
    """Run units that are not finished, in any order that their inputs allow.

    Parameters
    ----------
    store : Store
    units : iterable of Unit
        Inputs must be finished or among them.
    executor : concurrent.futures.Executor
        Whose workers see the store's folder.
    costs : mapping of str to float, optional
        Estimated seconds by key: dear units start first, so that no worker waits at the end.
    progress : Progress, optional
        Called after each unit, finished ones included.

    Raises
    ------
    BreadthError
        If a unit fails; those that are running are finished first and kept. After a
        `SetAsideError` all that does not need the unit is run first.
    """
    costs = costs or {}
    waiting: dict[str, Unit] = {}
    for unit in sorted(units, key=lambda u: -costs.get(u.key, 0.0)):
        if store.has(unit):
            if progress:
                progress(unit, costs.get(unit.key, 0.0))
        else:
            waiting[unit.key] = unit
    for unit in waiting.values():
        for key in unit.inputs.values():
            if key not in waiting and not store.folder(key).is_dir():
                raise ValueError(f"{unit.key} reads {key}, which is neither finished nor planned")
    if isinstance(executor, AnnouncedExecutor):
        executor.announce(waiting.values(), costs)
    running: dict[Future[str], Unit] = {}
    left_out: SetAsideError | None = None
    failure: BaseException | None = None
    while (waiting and failure is None) or running:
        if failure is None:
            ahead = set(waiting) | {unit.key for unit in running.values()}
            for unit in [u for u in waiting.values() if ahead.isdisjoint(u.inputs.values())]:
                running[executor.submit(run_unit, store.root, waiting.pop(unit.key))] = unit
            if not running and waiting:
                raise ValueError(f"units wait for each other: {sorted(waiting)}")
        try:
            # Not without end: RDKit puts the handler of Ctrl-C back so that it interrupts no wait.
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
        except KeyboardInterrupt:
            # Or the executor would work off all that is queued before it lets go. A pool of ours
            # does so itself, and stumbles over what others have cancelled.
            if not isinstance(executor, _Pool):
                for future in running:
                    future.cancel()
            raise
        for future in done:
            unit = running.pop(future)
            error = future.exception()
            if isinstance(error, SetAsideError):
                left_out = left_out or error
                _leave_out(waiting, unit.key)
                continue
            if isinstance(error, BrokenProcessPool):
                error = BreadthError(
                    f"A worker process died while {unit.kind} units were running; it may have run "
                    "out of memory. Run the same command again to go on, with fewer --workers if "
                    "memory is short."
                )
            if error is not None:
                failure = failure or error
                for other in running:
                    other.cancel()
                running = {f: u for f, u in running.items() if not f.cancelled()}
            elif progress:
                progress(unit, costs.get(unit.key, 0.0))
    failure = failure or left_out
    if failure is not None:
        raise failure


def _leave_out(waiting: dict[str, Unit], key: str) -> None:
    """Remove from what waits all that reads a unit, or what reads it in turn."""
    for unit in [u for u in waiting.values() if key in u.inputs.values()]:
        if waiting.pop(unit.key, None):
            _leave_out(waiting, unit.key)


def given_or_pool(
    executor: Executor | None, workers: int, threads: int
) -> AbstractContextManager[Executor]:
    """Return an executor that is given, to be left open, or else a pool of processes."""
    return process_pool(workers, threads) if executor is None else nullcontext(executor)


def thread_variables(threads: int) -> dict[str, str]:
    """Return what gives numeric libraries so many threads, if it is set before they load."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def process_pool(workers: int, threads: int = 1) -> ProcessPoolExecutor:
    """Return a pool whose processes use `threads` threads each and end with their parent.

    Parameters
    ----------
    workers : int
        Processes; it changes no number.
    threads : int
        Threads of each, which a plan fixes: another count may change the last bits of a fit.
    """
    # Read by numeric libraries when they load, which in a spawned process is after this.
    os.environ |= thread_variables(threads)
    return _Pool(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
        initargs=(os.getpid(),),
    )


class _Pool(ProcessPoolExecutor):
    """A process pool that does not wait for what is running when it is interrupted."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        if kind is not None and not issubclass(kind, Exception):
            # Ctrl-C: a unit in hand may take minutes more, and a killed one is only begun again.
            self.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
        return super().__exit__(kind, error, trace)


def _end_with_parent(parent: int) -> None:
    """Watch the parent: the workers of a killed pool would wait for work for ever."""
    # Ctrl-C in a terminal reaches the workers too; the parent ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
