"""How far a sweep is: written by the run at work, read from files alone."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...diversity import ConfigurationError
from ..plan import finished, study_of
from ..record import RECORD
from ..store import replace_file
from .sharing import RUNNING, finished_units, set_aside

if TYPE_CHECKING:
    from .sharing import SharedWorkers

STATE = "state.json"


class State:
    """What a run tells of its points while it is at work.

    Parameters
    ----------
    root : Path
        The sweep's folder.
    names : list of str
        Of all points.
    """

    def __init__(self, root: Path, names: list[str]) -> None:
        self._root, self._lock = root, threading.Lock()
        self._points: dict[str, dict[str, Any]] = {
            name: {"state": "finished" if finished(root / "points" / name) else "waiting"}
            for name in names
        }
        self._written = ""

    def tell(self, name: str, **facts: Any) -> None:
        """Take up what a point tells of itself."""
        with self._lock:
            self._points[name] |= facts

    def write(self, shared: SharedWorkers | None) -> None:
        """Write what is known, if it has changed."""
        with self._lock:
            content: dict[str, Any] = {"points": self._points}
            if shared is not None:
                content |= {"known": dict(shared.known), "workers_lost": shared.n_lost}
            text = json.dumps(content)
        if text != self._written:
            replace_file(self._root / STATE, text)
            self._written = text

    def summary(self) -> dict[str, Any]:
        """Return where every point ended."""
        failed = {
            name: {"state": told["state"], "reason": told.get("reason", "")}
            for name, told in self._points.items()
            if told["state"] != "finished"
        }
        return {
            "points": {name: str(self._root / "points" / name) for name in self._points},
            "failed": failed,
            "set_aside": set_aside(self._root),
        }


def sweep_status(root: Path) -> dict[str, Any]:
    """Return how far a sweep is, from its files alone: it may be at work elsewhere.

    Parameters
    ----------
    root : Path
        The sweep's folder.

    Returns
    -------
    dict
        ``at_work`` (a run holds the folder), ``points`` (state, phase, done and total of each),
        ``units`` (finished, running, waiting, set aside; those that are known so far: a study
        plans its later units when it knows the earlier ones), ``running`` (host of each),
        ``core_seconds`` (that finished units took), ``core_seconds_left`` and ``seconds_left`` (of
        units that are known; None before any has finished), ``set_aside``.

    Raises
    ------
    ConfigurationError
        If the folder holds no sweep.
    """
    if study_of(root) != "sweep":
        raise ConfigurationError(f"{root} holds no sweep: it has no plan.json of one.")
    try:
        state = json.loads((root / STATE).read_text())
        points, known = dict(state["points"]), dict(state.get("known", {}))
    except (OSError, ValueError, KeyError, TypeError):  # it has only begun
        state, points, known = {}, {}, {}
    at_work = _held(root)
    done = finished_units(root)
    running = _running(root) if at_work else {}
    aside = set_aside(root)
    left = {k: v for k, v in known.items() if k not in done}
    took = _seconds(root, done)
    rate = _rate(took, known)
    ahead = None if rate is None else rate * sum(left.values())
    return {
        "out": str(root),
        "at_work": at_work,
        "points": points,
        "units": {
            "finished": len(done),
            "running": len(running),
            "waiting": len(set(left) - set(running) - {one["unit"] for one in aside}),
            "set_aside": len(aside),
        },
        "running": running,
        "workers_lost": state.get("workers_lost", 0),
        "core_seconds": round(sum(took.values()), 1),
        "core_seconds_left": None if ahead is None else round(ahead, 1),
        "seconds_left": None if ahead is None or not running else round(ahead / len(running), 1),
        "set_aside": aside,
        "results": str(root / "results.nc") if (root / "results.nc").exists() else None,
    }


def _held(root: Path) -> bool:
    """Say whether a run holds the folder: its kernel lets go when it ends, however it ends."""
    try:
        with (root / ".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _running(root: Path) -> dict[str, str]:
    """Return the host of every unit that is running."""
    found = {}
    for path in sorted((root / RUNNING).glob("*")):
        try:
            found[path.name] = str(json.loads(path.read_text())["host"])
        except (OSError, ValueError, KeyError, TypeError):  # it ends or begins in this moment
            continue
    return found


def _seconds(root: Path, keys: set[str]) -> dict[str, float]:
    """Return how long units took, where they tell."""
    found = {}
    for key in keys:
        try:
            told = json.loads((root / "units" / key / RECORD).read_text())
            found[key] = float(told["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _rate(took: Mapping[str, float], known: Mapping[str, float]) -> float | None:
    """Return measured over estimated seconds of the kinds that have an estimate."""
    both = [(took[key], cost) for key, cost in known.items() if cost > 0 and key in took]
    expected = sum(cost for _, cost in both)
    return sum(seconds for seconds, _ in both) / expected if expected else None
