"""What goes wrong around a run: the disk is full or read-only, another run, a clock that jumps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .kills import ROOT, differences

#: The study that is run: seconds of work.
TINY = (
    *("study", "tradeoff", "--preset", "smoke", "--workers", "2", "--set"),
    *("training.n_updates=12", "pool.n_molecules=18", "hold_outs.n_molecules=2"),
    "fixed_molecules=null",
)


def breadth(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "breadth.studies.cli.app", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT / "src"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a disk of few kilobytes on a folder; needs the rights to."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, option: str) -> None:
    """Change a mounted disk."""
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def can_mount() -> bool:
    """Say whether this process may mount a disk."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    # In a user's own container root may be less than that.
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "CapEff" in x)
    return bool(int(line.split()[1], 16) >> 21 & 1)


def full_disk(scratch: Path, count: int = 0, step: int = 1024) -> dict[str, Any]:
    """Run a study on a disk that is too small, and enlarge it by `step` kB until the study ends."""
    if not can_mount():
        return {"skipped": "needs root", "faults": []}
    whole, disk = scratch / "whole", scratch / "disk"
    made = breadth(*TINY, "--out", str(whole))
    faults = [made.stderr] if made.returncode else []
    size, refusals = 64, 0
    with small_disk(disk, size):
        out = disk / "run"
        while not faults:
            there = {p: p.stat().st_mtime_ns for p in out.glob("units/*")}
            made = breadth(*TINY, "--out", str(out))
            if any(not p.exists() or p.stat().st_mtime_ns != t for p, t in there.items()):
                faults.append(f"at {size} kB a finished unit was lost or changed")
            if made.returncode == 0:
                break
            refusals += 1
            told = made.stderr
            if "No space left on device" not in told or "Traceback" in told:
                faults.append(f"at {size} kB: {told[-800:]}")
            size += step
            remount(disk, f"size={size}k")
        if not faults:
            faults += [f"{name} differs" for name in differences(whole, out)]
    return {"refusals": refusals, "kilobytes_at_last": size, "faults": faults}


def read_only(scratch: Path, count: int = 0) -> dict[str, Any]:
    """Run, and read what was run, on a disk that takes nothing."""
    if not can_mount():
        return {"skipped": "needs root", "faults": []}
    disk, faults = scratch / "disk", []
    with small_disk(disk, 64_000):
        out = disk / "run"
        made = breadth(*TINY, "--out", str(out))
        remount(disk, "ro")
        for arguments in ((*TINY, "--out", str(disk / "new")), (*TINY, "--out", str(out))):
            refused = breadth(*arguments)
            said = refused.stderr
            if refused.returncode != 1 or "Read-only" not in said or "Traceback" in said:
                faults.append(f"{arguments[-1]}: {refused.returncode} {said[-500:]}")
        drawn = breadth("figures", str(out), "--out", str(scratch / "figures"))
        if drawn.returncode or not list((scratch / "figures").rglob("*.p*")):
            faults.append(f"figures: {drawn.stderr[-500:]}")
    return {"ran": made.returncode == 0, "faults": faults}


def two_runs(scratch: Path, count: int = 0) -> dict[str, Any]:
    """Start a study while it is at work in the same folder."""
    out = scratch / "run"
    first = subprocess.Popen(
        [sys.executable, "-m", "breadth.studies.cli.app", *TINY, "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
    )
    while not (out / "plan.json").exists() and first.poll() is None:
        time.sleep(0.01)
    second = breadth(*TINY, "--out", str(out))
    faults = []
    if second.returncode != 1 or "Another run is at work" not in second.stderr:
        faults.append(f"the second ended with {second.returncode}: {second.stderr[-500:]}")
    if first.wait() != 0:
        faults.append(f"the first ended with {first.returncode}")
    return {"faults": faults}


def clocks(scratch: Path, count: int = 0) -> dict[str, Any]:
    """Run a study while the clock goes back and forth by ten years, and go on from files to come.

    The clock is that of the processes, by libfaketime; the monotonic one goes on as it does when
    an administrator sets the time.
    """
    library = next(Path("/usr/lib").rglob("libfaketimeMT.so.1"), None)
    if library is None:
        return {"skipped": "needs libfaketime", "faults": []}
    whole, torn, shift = scratch / "whole", scratch / "torn", scratch / "shift"
    made = breadth(*TINY, "--out", str(whole))
    shift.write_text("+0d")
    jumps, over = 0, threading.Event()

    def jump() -> None:
        nonlocal jumps
        while not over.wait(0.7):
            aside = shift.with_suffix(".new")
            aside.write_text(("-3650d", "+3650d", "+0d")[jumps % 3])
            aside.replace(shift)
            jumps += 1

    jumper = threading.Thread(target=jump)
    jumper.start()
    try:
        jumping = breadth(
            *TINY,
            *("--out", str(torn)),
            LD_PRELOAD=str(library),
            FAKETIME_TIMESTAMP_FILE=str(shift),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
    finally:
        over.set()
        jumper.join()
    faults = [one.stderr[-500:] for one in (made, jumping) if one.returncode]
    faults = faults or [f"{name} differs" for name in differences(whole, torn)]
    units = {path: path.stat().st_ino for path in torn.glob("units/*")}
    later = time.time() + 20 * 365 * 86400
    for path in torn.rglob("*"):
        os.utime(path, (later, later))
    (torn / "finished.json").unlink(missing_ok=True)
    again = breadth(*TINY, "--out", str(torn))
    if again.returncode or {path: path.stat().st_ino for path in torn.glob("units/*")} != units:
        faults.append(f"with files of the future: {again.stderr[-500:]}")
    faults += [f"{name} differs, later" for name in differences(whole, torn)]
    return {"jumps": jumps, "faults": faults}
