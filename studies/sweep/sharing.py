"""Units of all points on the same workers: each run once, tried again, and set aside at last."""

from __future__ import annotations

import json
import os
import socket
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import __version__
from ...diversity import BreadthError, ConfigurationError
from ..executor import AnnouncedExecutor, SetAsideError, run_unit
from ..store import Store, replace_file
from ..units import Unit
from .processes import LostWorkerError

RUNNING = "running"
SET_ASIDE = "set_aside"
#: What a worker must find in a sweep's folder: that it is this sweep's, and of which version.
TOKEN = ".token"
#: Failures of a unit after which it is not tried again.
MOST_FAILURES = 3
#: Workers that may be lost before they have begun a unit that is on its way to them.
MOST_LOSSES = 20


def run_marked(root: Path, token: str, unit: Unit) -> str:
    """Run one unit, with a file that tells so while it runs; called in a worker.

    Raises
    ------
    ConfigurationError
        If this worker does not see the sweep's folder, or has another version of breadth.
    """
    check_sees(root, token)
    marker = root / RUNNING / unit.key
    marker.write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
    try:
        return run_unit(root, unit)
    finally:
        marker.unlink(missing_ok=True)


def check_sees(root: Path, token: str) -> None:
    """Raise where a worker does not see what the sweep wrote; see `run_marked`."""
    host = socket.gethostname()
    try:
        found = (root / TOKEN).read_text()
    except OSError:
        found = ""
    if found != token:
        raise ConfigurationError(
            f"The worker on {host} does not see the sweep's folder {root}. Give an --out on a file "
            "system that all workers share, under the same path."
        )
    if token.split()[-1] != __version__:
        raise ConfigurationError(
            f"The worker on {host} has breadth {__version__}, and the sweep runs with "
            f"{token.split()[-1]}: numbers could differ. Install one version everywhere."
        )


class SharedWorkers(AnnouncedExecutor):
    """Runs the units of several studies on one executor.

    A unit that two studies ask for is run once. One that fails, by an error that is not the
    user's or with its worker, is begun again, and set aside after `MOST_FAILURES`.

    Parameters
    ----------
    root : Path
        The sweep's folder, absolute; units are kept there.
    workers : concurrent.futures.Executor
        Raises `LostWorkerError` for what a dead worker had.
    token : str
        See `run_marked`.
    """

    def __init__(self, root: Path, workers: Executor, token: str) -> None:
        self.root, self.token = root, token
        #: Units that studies have told of, and their estimated seconds.
        self.known: dict[str, float] = {}
        #: Workers that died with a unit in hand.
        self.n_lost = 0
        self.workers = workers
        self._lock = threading.RLock()
        self._asked: dict[str, list[Future[Any]]] = {}
        self._begun: dict[str, Future[Any]] = {}
        self._failures: dict[str, list[str]] = {}
        self._losses: Counter[str] = Counter()
        self._stopped = False

    def announce(self, units: Iterable[Unit], costs: Mapping[str, float]) -> None:
        """Take notice of units that wait, and of their estimated seconds by key."""
        with self._lock:
            self.known |= {unit.key: costs.get(unit.key, 0.0) for unit in units}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a unit, by `run_unit`, or call any other function in a worker."""
        answer: Future[Any] = Future()
        if fn is run_unit:
            unit: Unit = args[1]
            key, call = unit.key, (run_marked, self.root, self.token, unit)
        else:
            unit, key = Unit("call", 1), f"call-{id(answer)}"
            call = (fn, *args)
        with self._lock:
            if self._stopped:
                answer.set_exception(KeyboardInterrupt())
            elif (self.root / SET_ASIDE / f"{key}.json").exists():
                answer.set_exception(set_aside_error(self.root, key))
            else:
                waiting = self._asked.setdefault(key, [])
                waiting.append(answer)
                if len(waiting) == 1:
                    self._begin(key, unit, call, kwargs)
        return answer

    def stop(self) -> None:
        """Let go of all that is asked for, as Ctrl-C does."""
        with self._lock:
            self._stopped = True
            begun = list(self._begun.values())
            for key in list(self._asked):
                self._answer(key, error=KeyboardInterrupt())
        for future in begun:
            future.cancel()

    def _begin(self, key: str, unit: Unit, call: tuple[Any, ...], options: dict[str, Any]) -> None:
        try:
            future = self.workers.submit(*call, **options)
        except Exception as error:  # an answer that never came would be waited for without end
            self._answer(key, error=error)
            return
        self._begun[key] = future
        future.add_done_callback(lambda ended: self._ended(key, unit, call, options, ended))

    def _ended(
        self,
        key: str,
        unit: Unit,
        call: tuple[Any, ...],
        options: dict[str, Any],
        future: Future[Any],
    ) -> None:
        with self._lock:
            if self._stopped or key not in self._asked:
                return
            error = future.exception()
            if error is None or isinstance(error, BreadthError):
                self._answer(key, future.result() if error is None else None, error)
                return
            times = 1
            if isinstance(error, LostWorkerError):
                marker = self.root / RUNNING / key
                # Work that waited for the worker that died has no part in its death.
                times = error.times if marker.exists() or call[0] is not run_marked else 0
                self._losses[key] += 1
                if self._losses[key] >= MOST_LOSSES:
                    times = MOST_FAILURES
                marker.unlink(missing_ok=True)
                self.n_lost += bool(times)
            told = "".join(traceback.format_exception(error))
            failures = self._failures.setdefault(key, [])
            failures += [told] * times
            if len(failures) < MOST_FAILURES:
                self._begin(key, unit, call, options)
            elif call[0] is not run_marked:
                self._answer(key, error=error)
            else:
                content = {"unit": asdict(unit), "reason": _reason(error), "failures": failures}
                path = self.root / SET_ASIDE / f"{key}.json"
                with suppress(BreadthError):  # a full disk: the reason is in what is raised
                    replace_file(path, json.dumps(content, indent=1))
                self._answer(key, error=set_aside_error(self.root, key, _reason(error)))

    def _answer(self, key: str, result: Any = None, error: BaseException | None = None) -> None:
        self._begun.pop(key, None)
        for answer in self._asked.pop(key):
            if not answer.set_running_or_notify_cancel():
                continue
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)


def set_aside(root: Path) -> list[dict[str, Any]]:
    """Return the units that a sweep set aside: key, kind, reason and the file of their failures."""
    found = []
    for path in sorted((root / SET_ASIDE).glob("*.json")):
        try:
            reason = str(json.loads(path.read_text())["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            reason = "its file is damaged"
        kind = path.stem.rsplit("-", 1)[0]
        found.append({"unit": path.stem, "kind": kind, "reason": reason, "file": str(path)})
    return found


def set_aside_error(root: Path, key: str, reason: str | None = None) -> SetAsideError:
    """Return what tells that a unit is set aside."""
    path = root / SET_ASIDE / f"{key}.json"
    why = f" ({reason})" if reason else ""
    return SetAsideError(
        f"{key} failed {MOST_FAILURES} times and is set aside{why}. {path} has the tracebacks; "
        "--resume tries it again."
    )


def begin_folders(root: Path, token: str, *, again: bool) -> None:
    """Prepare a sweep's folder for its workers.

    Parameters
    ----------
    root : Path
        Locked by this run.
    token : str
    again : bool
        Let what is set aside be tried again.
    """
    for name in (RUNNING, SET_ASIDE, "units", "partial"):
        (root / name).mkdir(exist_ok=True)
    for marker in (root / RUNNING).iterdir():
        marker.unlink()
    if again:
        for path in (root / SET_ASIDE).glob("*.json"):
            path.unlink()
    replace_file(root / TOKEN, token)


def finished_units(root: Path) -> set[str]:
    """Return the keys of all finished units."""
    folder = Store(root).folder("units").parent
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _reason(error: BaseException) -> str:
    if isinstance(error, LostWorkerError):
        return str(error.args[0])
    return f"{type(error).__name__}: {error}"
