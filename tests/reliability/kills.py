"""Kill a run at chosen moments, start it again, and see what it did twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

ROOT = Path(__file__).parents[2]
#: Seconds that one start may last, whatever the machine.
PATIENCE = 900.0


@dataclass
class Killing:
    """One run that is killed and started again until it ends, and what was seen.

    Parameters
    ----------
    command : sequence of str
        Of `breadth`.
    out : Path
        Its output folder.
    log : Path
        Where workers note the units that they begin and end.
    """

    command: Sequence[str]
    out: Path
    log: Path
    victims: Counter[str] = field(default_factory=Counter)
    kept: dict[Path, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    starts: int = 0

    def start(self, victims: Iterable[tuple[Callable[[float], bool], str]] = ()) -> bool:
        """Run the command, kill what is named, and say whether the run ended well.

        Each of `victims` is when (of the seconds that have passed) and what to kill: 'run' (the
        process that was started), 'all' (it and its workers), at which nothing more is killed, or
        'worker', one of them: a study ends by itself then, with an error that says what to do, and
        a sweep goes on.
        """
        there = {folder.name for folder in self.units()}
        self.log.write_text("")
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.watched", *self.command],
            cwd=ROOT,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "BREADTH_WATCHED": str(self.log),
                "PYTHONPATH": str(ROOT / "src"),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            killed: list[str] = []
            for when, victim in victims:
                while process.poll() is None and not when(time.monotonic() - began):
                    time.sleep(0.005)
                if process.poll() is None:
                    killed.append(self._kill(process, victim))
                if process.poll() is not None or killed[-1] != "worker":
                    break
            said = process.communicate(timeout=PATIENCE)[1]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.seconds = time.monotonic() - began
        self.starts += 1
        self.look(there, process.returncode, said, "worker" in killed)
        return process.returncode == 0

    def _kill(self, process: subprocess.Popen[str], victim: str) -> str:
        workers = _workers(process.pid)
        if victim == "worker" and workers:
            os.kill(workers[0], signal.SIGKILL)
        elif victim == "all":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            victim = "run"
            process.kill()
            process.wait()
            time.sleep(1.0)  # what workers do when they find themselves orphans
        self.victims[victim] += 1
        return victim

    def look(self, there: set[str], status: int, said: str, torn: bool) -> None:
        """Compare the folder with what it held, and the log with what needed no work."""
        for path, digest in self.kept.items():
            if not path.exists():
                self.faults.append(f"{path} was finished and is gone")
            elif _digest(path) != digest:
                self.faults.append(f"{path} was finished and is another now")
        self.kept = {folder: _digest(folder) for folder in self.units()}
        ended, begun = set(there), set()
        for word, key, _ in (line.split() for line in self.log.read_text().splitlines()):
            if word == "ended":
                ended.add(key)
                begun.discard(key)
            elif key in ended:
                self.faults.append(f"{key} was finished and ran again")
            elif key in begun and not torn:
                self.faults.append(f"{key} ran twice at once")
            else:
                begun.add(key)
        # A worker's death ends the run with 1, in words.
        if status not in (0, -signal.SIGKILL) and not (status == 1 and "to go on" in said):
            self.faults.append(f"it ended with {status}: {said[-500:]}")

    def units(self) -> list[Path]:
        """Return the folders of finished units."""
        return sorted(self.out.rglob("units/*"))


def differences(whole: Path, torn: Path) -> list[str]:
    """Return the names of NetCDF files of a study that differ from those of an undisturbed run."""
    found = []
    for path in sorted(whole.rglob("*.nc")):
        name = path.relative_to(whole)
        if "units" in name.parts:
            continue
        with xr.open_dataset(path) as one, xr.open_dataset(torn / name) as other:
            if not one.identical(other):
                found.append(str(name))
    return found


def _workers(parent: int) -> list[int]:
    """Return the processes of a run that are at work for it, in the order of their numbers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, fields = path.read_text().rpartition(")")
            # The resource tracker of multiprocessing is a child too, and no worker.
            line = (path.parent / "cmdline").read_bytes()
            if int(fields.split()[1]) == parent and b"spawn_main" in line:
                found.append(int(name.split()[0]))
    return sorted(found)


def _digest(folder: Path) -> str:
    """Return the digest of a folder's files, their names and the folder's own number on disk."""
    digest = hashlib.sha256(str(folder.stat().st_ino).encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
