"""Run a sweep: its points at once, on workers that they share, then all results as one."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from ... import __version__
from ...diversity import BreadthError, ConfigurationError
from ..catalogue import study_named
from ..executor import SetAsideError
from ..plan import FINISHED, finish, finished, open_plan
from ..record import begin_session
from ..results import load
from ..store import Store, replace_file
from .joining import join
from .points import Point, dimensions, sweep_points, threads_of
from .processes import Processes
from .question import EXECUTOR, SweepConfiguration
from .sharing import SharedWorkers, begin_folders, finished_units
from .status import State

POINTS = "points"
#: Seconds between two looks at what has changed.
_TICK = 0.5


def run_sweep(
    asked: SweepConfiguration,
    out: Path,
    *,
    workers: int | None = None,
    again: bool = False,
    progress: Callable[[str, float, float], None] | None = None,
) -> dict[str, Any]:
    """Run a sweep, or what of it is not finished.

    Parameters
    ----------
    asked : SweepConfiguration
    out : Path
        Folder of the sweep. It gets ``plan.json``, ``units/``, ``points/NAME`` (each the folder of
        a study) and, where the results of all points have one shape, ``results.nc``.
    workers : int, optional
        Instead of the configuration's; they change no number.
    again : bool, optional
        Try units again that were set aside.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    dict
        Folder and state of every point, units that were set aside, warnings of points that have
        any, the path of the joined results, or the reason why there are none.

    Raises
    ------
    ConfigurationError
        If a point cannot be run, or the folder holds another sweep or is in use.
    """
    if workers is not None and asked.executor.kind == "address":
        raise ConfigurationError(
            f"The scheduler at {asked.executor.address} has its own workers: leave --workers out."
        )
    plan = asked.plan()
    points, study = sweep_points(plan), study_named(plan.study)
    root = Path(os.path.abspath(out))
    store = Store(root)
    with store.locked():
        open_plan(root, "sweep", plan)
        how = asked.model_dump(mode="json", include={"executor", "at_once"})
        replace_file(root / EXECUTOR, json.dumps(how, indent=1))
        count = asked.worker_count(workers, threads_of(points))
        todo = [point for point in points if not finished(root / POINTS / point.name)]
        state = State(root, [point.name for point in points])
        if todo:
            if finished(root):  # and a point was removed since
                (root / FINISHED).unlink()
                begin_session(root)
            token = f"{uuid4().hex} {__version__}"
            begin_folders(root, token, again=again)
            with _workers(asked, count, threads_of(points), root, token) as at_work:
                if asked.executor.kind == "address":
                    count = len(at_work.client.nthreads())
                shared = SharedWorkers(root, at_work, token)
                run = partial(study.run, workers=count, executor=shared)
                _run_points(run, todo, root, shared, state, asked.at_once, progress)
        state.write(None)
        told = state.summary()
        told["warnings"] = _warnings(root / POINTS, points)
        if not told["failed"]:
            reason = join(root / POINTS, points, dimensions(plan), root / "results.nc")
            told |= {"results": None if reason else str(root / "results.nc"), "reason": reason}
            finish(root, workers=count, points=len(points))
        else:
            n = len(told["failed"])
            told |= {"results": None, "reason": f"{n} of {len(points)} points have no results"}
    return {"out": str(out), **told}


def _warnings(folder: Path, points: list[Point]) -> dict[str, list[str]]:
    """Return what finished points warn of, such as models that diverged, where any does."""
    found: dict[str, list[str]] = {}
    for name in (point.name for point in points):
        if finished(folder / name):
            texts = json.loads(load(folder / name / "results.nc").attrs.get("warnings", "[]"))
            found |= {name: texts} if texts else {}
    return found


def _workers(
    asked: SweepConfiguration, workers: int, threads: int, root: Path, token: str
) -> AbstractContextManager[Any]:
    """Return the executor that a sweep asks for."""
    if asked.executor.kind == "processes":
        return Processes(workers, threads)
    from ..cluster import open_cluster

    return open_cluster(asked.executor, workers=workers, threads=threads, root=root, token=token)


def _run_points(
    run: Callable[..., Any],
    points: list[Point],
    root: Path,
    shared: SharedWorkers,
    state: State,
    at_once: int,
    progress: Callable[[str, float, float], None] | None,
) -> None:
    """Run points in threads of this process, and tell how far they are."""
    waiting: SimpleQueue[Point] = SimpleQueue()
    for point in points:
        waiting.put(point)
    unforeseen: list[BaseException] = []

    def lead() -> None:
        while True:
            try:
                point = waiting.get_nowait()
            except Empty:
                return
            try:
                _run_point(run, point, root, state)
            except BaseException as error:
                unforeseen.append(error)
                return

    # They end with this process: what a point has in hand is only begun again.
    leaders = [threading.Thread(target=lead, daemon=True) for _ in range(min(at_once, len(points)))]
    for leader in leaders:
        leader.start()
    try:
        while any(leader.is_alive() for leader in leaders) and not unforeseen:
            state.write(shared)
            if progress is not None:
                done = sum(map(shared.known.__contains__, finished_units(root)))
                progress("units", done, max(1, len(shared.known)))
            time.sleep(_TICK)
        if unforeseen:
            raise unforeseen[0]
    except BaseException:
        shared.stop()
        shared.workers.shutdown(wait=False, cancel_futures=True)
        for leader in leaders:  # they let go of their folders
            leader.join(timeout=1.0)
        raise
    shared.stop()  # nobody waits for what points that failed had queued


def _run_point(run: Callable[..., Any], point: Point, root: Path, state: State) -> None:
    """Run the study of one point, on units that all points share."""
    out = root / POINTS / point.name
    out.mkdir(parents=True, exist_ok=True)
    for name in ("units", "partial"):
        if not (out / name).is_symlink():
            (out / name).symlink_to(Path("..", "..", name))

    def tell(phase: str, done: float, total: float) -> None:
        state.tell(point.name, phase=phase, done=done, total=total)

    state.tell(point.name, state="running")
    try:
        run(point.asked, out, progress=tell)
    except SetAsideError as error:
        state.tell(point.name, state="set aside", reason=str(error))
    except (BreadthError, OSError, MemoryError) as error:
        state.tell(point.name, state="failed", reason=str(error) or type(error).__name__)
    else:
        state.tell(point.name, state="finished")
