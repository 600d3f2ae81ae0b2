"""Read damaged files, one after another, within limits of time and memory.

``python -m tests.reliability.trials SUBJECT FIRST LAST MARKER`` prints a line of JSON for each
case: what it is before it is tried, so that a reader of the lines knows at which one the process
died or hangs, and what came of it.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from breadth.diversity import BreadthError
from breadth.diversity.randomness import generator

from .corpus import Subject, subjects
from .mutations import mutated

#: Seconds of a processor that one case may take, and seconds in all, however loaded the machine.
PATIENCE, IN_ALL = 30, 300
#: Bytes that a process may hold.
MEMORY = 2 * 1024**3


class Hung(BaseException):
    """No answer in time; no part of the program catches it."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    Parameters
    ----------
    subject : str
    case : int
    kind : {'answer', 'error', 'fault'}
        An error is one that a user can read.
    seconds : float
    said : str
        The error, or what is wrong.
    """

    subject: str
    case: int
    kind: str
    seconds: float
    said: str = ""


@contextmanager
def patience() -> Iterator[None]:
    """Raise `Hung` where what is done inside takes too long."""

    def hung(number: int, frame: Any) -> None:
        raise Hung(f"no answer within {PATIENCE} s of a processor, or {IN_ALL} s")

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, PATIENCE),)
    timers += ((signal.SIGALRM, signal.ITIMER_REAL, IN_ALL),)
    before = [signal.signal(number, hung) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def attempt(subject: Subject, folder: Path, case: int) -> Outcome:
    """Read what lies in a folder and say what came of it."""
    start = time.monotonic()
    kind, said = "answer", ""
    try:
        with patience():
            subject.read(folder, case)
    except BreadthError as error:
        kind, said = "error", str(error)
        if not said.strip() or "\n\n" in said:
            kind, said = "fault", f"an error that is no paragraph: {said!r}"
    except (Exception, Hung):
        kind, said = "fault", traceback.format_exc(limit=-6)
    return Outcome(subject.name, case, kind, time.monotonic() - start, said)


def run_cases(subject: Subject, cases: Sequence[int], scratch: Path) -> Iterator[Outcome]:
    """Damage one file of a subject for each case, and read it."""
    whole = scratch / "whole"
    whole.mkdir(parents=True)
    subject.make(whole)
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    files = [p for p in files if not p.name.startswith(".")]
    contents = [(whole / p).read_bytes() for p in files]
    for case in cases:
        random = generator(0, "mutation", subject.name, str(case))
        folder = scratch / "torn"
        shutil.copytree(whole, folder)
        at = int(random.integers(len(files)))
        (folder / files[at]).write_bytes(mutated(contents[at], random, contents))
        yield attempt(subject, folder, case)
        shutil.rmtree(folder)


def peak_memory() -> int:
    """Return the most bytes that this process has held in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak() -> int:
    """Let the peak begin anew from what the process holds now, where Linux allows it; return it.

    Without, a test would be told the peak of whatever ran in its process before.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def main(name: str, first: int, last: int) -> None:
    """Try the cases of one subject."""
    # Private memory that is asked for, touched or not.
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    subject = next(one for one in subjects() if one.name == name)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({"next": first}), flush=True)
        for outcome in run_cases(subject, range(first, last), Path(scratch)):
            told = {**asdict(outcome), "next": outcome.case + 1, "peak": peak_memory()}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
