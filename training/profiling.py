"""Where the time of a fit goes: seconds by stage, read off a clock around the real work."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .tasks import Task

#: Of an update, in the order in which they come; what is compiled is one stage.
UPDATE_STAGES = (
    "batch assembly",
    "forward",
    "forces",
    "loss",
    "double backward",
    "optimizer and mean",
    "compiled updates",
)
#: All stages. 'the rest' is what no other is: Python between them, callbacks, looks at losses.
STAGES = (
    "preparation",
    "compilation",
    *UPDATE_STAGES,
    "validation",
    "monitor",
    "checkpoints",
    "the rest",
)

#: Whose inner stages count for them: predictions are forward passes too.
_WHOLE = ("preparation", "compilation", "validation", "monitor")

_active: Profile | None = None
_NOTHING: AbstractContextManager[None] = nullcontext()


def stage(name: str) -> AbstractContextManager[None]:
    """Count the time inside as a stage of the profile that is being taken, if there is one.

    A stage within a stage counts for the inner one alone, except in validation and the like.
    Within what is being compiled there is none: a graph knows no clock.
    """
    if torch.compiler.is_compiling():
        return nullcontext()
    return _NOTHING if _active is None else _Stage(_active, name)


class _Stage:
    __slots__ = ("name", "profile")

    def __init__(self, profile: Profile, name: str) -> None:
        self.profile, self.name = profile, name

    def __enter__(self) -> None:
        self.profile._enter(self.name)

    def __exit__(self, *_: object) -> None:
        self.profile._leave()


class Profile:
    """Seconds by stage of what runs inside ``with profile:``; see `breadth train --profile`.

    On CUDA the device is waited for at both ends of each stage, or its work would count where
    the host next waits; an eager fit is slower for it, a compiled one is not, since it is one
    stage between two looks at the losses.

    Attributes
    ----------
    seconds, entries : mapping of str
        By stage.
    updates : int
        Of single models: one of a stack of K counts K times.
    atoms : int
        Learnt from, structures counted each time, padding not.
    form : str
        How updates were computed, and why so.
    device : torch.device
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.entries: Counter[str] = Counter()
        self.updates = self.atoms = 0
        self.form = ""
        self.device = torch.device("cpu")
        self._stack: list[str] = []
        self._mark = 0.0
        self._outer: Profile | None = None

    def __enter__(self) -> Profile:
        global _active
        self._outer, _active = _active, self
        self._enter("the rest")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _active
        while self._stack:
            self._leave()
        _active = self._outer

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _enter(self, name: str) -> None:
        now = self._now()
        if self._stack:
            outer = self._stack[-1]
            self.seconds[outer] += now - self._mark
            name = outer if outer in _WHOLE else name
        self._stack.append(name)
        self.entries[name] += 1
        self._mark = now

    def _leave(self) -> None:
        now = self._now()
        self.seconds[self._stack.pop()] += now - self._mark
        self._mark = now

    def count(self, tasks: Sequence[tuple[float, Task]], updates: range) -> None:
        """Count updates that were made, counted from 0, and the atoms that they learnt from."""
        self.updates += len(updates)
        for _, task in tasks:
            self.atoms += sum(int(task.store.counts[task.order.batch(u)].sum()) for u in updates)

    def count_stack(self, atoms: int, updates: int) -> None:
        """Count updates of members of a stack, and the atoms that all of them learnt from."""
        self.updates += updates
        self.atoms += atoms

    def overhead(self) -> float:
        """Return about how many seconds of all went into reading the clock."""
        trial, n = Profile(), 2000
        trial.device = self.device
        start = time.perf_counter()
        for _ in range(n):
            with _Stage(trial, "trial"):
                pass
        return (time.perf_counter() - start) / n * self.entries.total()

    def summary(self) -> dict[str, Any]:
        """Return what a table of it holds: plain numbers in seconds, atoms and bytes."""
        total = sum(self.seconds.values())
        in_updates = sum(self.seconds[name] for name in UPDATE_STAGES)
        stages = {
            name: {"seconds": self.seconds[name], "share": self.seconds[name] / total}
            for name in STAGES
            if self.entries[name]
        }
        return {
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "form": self.form,
            "updates": self.updates,
            "seconds": total,
            "stages": stages,
            "seconds_per_update": in_updates / self.updates if self.updates else None,
            "atoms_per_second": self.atoms / in_updates if in_updates else None,
            "peak_memory_bytes": peak_memory(self.device),
            "overhead_seconds": self.overhead(),
        }


def device_name(device: torch.device) -> str:
    """Return 'cpu', or the name of the CUDA device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory(device: torch.device) -> int:
    """Return the most bytes in use so far: of tensors on CUDA, of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
