"""The long run of the tests of reliability: ``make soak``.

Kills at random moments, damaged files by the ten thousand, a full disk, and what else goes wrong
around a run. Prints what was done and found as JSON, and ends with 1 where anything is amiss.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from breadth import __version__
from breadth.diversity.randomness import generator
from breadth.studies.record import processor

from .bombs import MARKER, armed
from .corpus import RUN, Subject, subjects
from .kills import ROOT, Killing, differences
from .surroundings import TINY, breadth, clocks, full_disk, read_only, two_runs
from .trials import IN_ALL, attempt

#: A sweep of two studies that take seconds each: enough to be killed in.
PLAN = """\
study: tradeoff
preset: smoke
set:
  training: {n_updates: 12}
  pool: {n_molecules: 18}
  hold_outs: {n_molecules: 2}
  fixed_molecules: null
over: {seed: [0, 1]}
"""
#: Mean seconds from a start, or from its first unit, to its kill.
MOMENT = 12.0
#: Sweeps that are killed, and subjects that are read, side by side.
AT_ONCE = 3


def kills(scratch: Path, count: int) -> dict[str, Any]:
    """Kill sweeps at `count` random moments, and compare what they end with."""
    plan, whole = scratch / "plan.yaml", scratch / "whole"
    plan.write_text(PLAN)
    undisturbed = Killing(("sweep", str(plan), "--out", str(whole)), whole, scratch / "log")
    shares = [count // AT_ONCE + (i < count % AT_ONCE) for i in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        first = pool.submit(undisturbed.start)
        made = [pool.submit(_killed, scratch, plan, share, i) for i, share in enumerate(shares)]
        runs = [one for future in made for one in future.result()]
    if not first.result():
        undisturbed.faults.append("the undisturbed run failed")
    for run in runs:
        if not run.faults:
            run.faults += [f"{name} differs" for name in differences(whole, run.out)]
    victims = sum((run.victims for run in runs), Counter[str]())
    return {
        "kills": sum(victims.values()),
        "victims": dict(victims),
        "sweeps": len(runs),
        "starts": sum(run.starts for run in runs),
        "units_of_a_sweep": len(list((whole / "units").iterdir())),
        "faults": undisturbed.faults + [fault for run in runs for fault in run.faults],
    }


def _killed(scratch: Path, plan: Path, count: int, number: int) -> list[Killing]:
    """Run sweeps until `count` kills are made and the last has ended; return what was seen."""
    random = generator(0, "kills", number)
    runs: list[Killing] = []

    def left() -> int:
        return count - sum(sum(run.victims.values()) for run in runs)

    def victims(log: Path) -> Iterator[tuple[Callable[[float], bool], str]]:
        last = 0.0
        while left() > 0:
            # From the start, or from the first unit, before which nothing is at work.
            at_work = random.random() < 0.8
            moment = float(random.exponential(MOMENT))
            since: list[float] = [] if at_work and not last else [last]

            def due(passed: float, since: list[float] = since, moment: float = moment) -> bool:
                nonlocal last
                if not since and log.stat().st_size:
                    since.append(passed)
                last = passed
                return bool(since) and passed - since[0] > moment

            yield due, ("run", "all", "worker")[int(random.integers(3))]

    while left() > 0:
        out, log = scratch / f"torn-{number}-{len(runs)}", scratch / f"log-{number}"
        workers = str(1 + number % 2)
        run = Killing(("sweep", str(plan), "--out", str(out), "--workers", workers), out, log)
        runs.append(run)
        ended = False
        while not ended and not run.faults:
            ended = run.start(victims(log))
            units = len(list((out / "units").glob("*")))
            _tell(f"runner {number}: {dict(run.victims)}, {units} units, {run.faults}")
    return runs


def mutations(scratch: Path, count: int) -> dict[str, Any]:
    """Try damaged files, `count` in all, each subject in processes of its own."""
    # What commands make of finished studies needs one.
    if RUN not in os.environ:
        run = scratch / "run"
        made = breadth(*TINY, "--out", str(run))
        if made.returncode:
            return {"faults": [made.stderr]}
        os.environ[RUN] = str(run)
    chosen = subjects()
    total = sum(one.share for one in chosen)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wanted = [1 + round(count * one.share / total) for one in chosen]
        tried = dict(zip(chosen, pool.map(_tried, chosen, wanted), strict=True))
    told = [one for outcomes, _ in tried.values() for one in outcomes]
    deaths = [one for _, deaths in tried.values() for one in deaths]
    faults = [
        f"{t['subject']} {t['case']}: {t['said'][-600:]}" for t in told if t["kind"] == "fault"
    ]
    return {
        "cases": len(told) + len(deaths),
        "outcomes": {**Counter(one["kind"] for one in told), "deaths": len(deaths)},
        "peak_megabytes": round(max(one["peak"] for one in told) / 2**20),
        "slowest_seconds": round(max(one["seconds"] for one in told), 2),
        "by_subject": {
            subject.name: dict(Counter(one["kind"] for one in outcomes))
            for subject, (outcomes, _) in tried.items()
        },
        "faults": faults + deaths,
    }


def _tried(subject: Subject, cases: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Try the cases of a subject; return the outcomes, and at which ones the process died."""
    outcomes: list[dict[str, Any]] = []
    deaths: list[str] = []
    following = 0
    while following < cases:
        following, lines, death = _in_a_process(subject.name, following, cases)
        outcomes += lines
        if death:
            deaths.append(f"{subject.name} {following}: {death}")
            following += 1
    _tell(f"{subject.name}: {dict(Counter(one['kind'] for one in outcomes))} {deaths}")
    return outcomes, deaths


def _in_a_process(name: str, first: int, last: int) -> tuple[int, list[dict[str, Any]], str]:
    """Try cases of one subject; return the case that was next, the outcomes, and how it died."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.trials", name, str(first), str(last)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    following, lines, death = first, [], ""
    # Beyond the patience of a case, which a loop outside Python does not hear of.
    watchdog = threading.Timer(2 * IN_ALL, process.kill)
    watchdog.start()
    for line in process.stdout:
        watchdog.cancel()
        watchdog = threading.Timer(2 * IN_ALL, process.kill)
        watchdog.start()
        told = json.loads(line)
        following = told["next"]
        if "kind" in told:
            lines.append(told)
    watchdog.cancel()
    if process.wait() != 0:
        death = f"the process ended with {process.returncode}"
    return following, lines, death


def bombs(scratch: Path, count: int) -> dict[str, Any]:
    """Read files that would run code or fill the memory."""
    marker = scratch / "executed"
    os.environ[MARKER] = str(marker)
    faults, tried = [], 0
    for subject, pattern, content in armed(subjects()):
        folder = scratch / f"bomb-{tried}"
        folder.mkdir()
        subject.make(folder)
        for path in [p for p in folder.rglob(pattern) if p.is_file()]:
            path.write_bytes(content)
        outcome = attempt(subject, folder, 0)
        if outcome.kind == "fault" or marker.exists():
            faults.append(f"{subject.name} {pattern} {content[:40]!r}: {outcome.said[-300:]}")
        marker.unlink(missing_ok=True)
        tried += 1
    return {"files": tried, "faults": faults}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "bombs": bombs,
    "mutations": mutations,
    "kills": kills,
    "full_disk": full_disk,
    "read_only": read_only,
    "two_runs": two_runs,
    "clocks": clocks,
}
COUNTS = {"mutations": 10_000, "kills": 50}


def _tell(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Run all parts, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--count", type=int, help="cases or kills, in place of the part's own")
    asked = parser.parse_args()
    record: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{processor()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        "breadth": __version__,
    }
    for name in asked.parts:
        _tell(f"{name} …")
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
            record[name] = PARTS[name](Path(scratch), asked.count or COUNTS.get(name, 0))
        record[name]["seconds"] = round(time.monotonic() - start)
        _tell(f"{name}: {json.dumps(record[name])}")
    print(json.dumps(record, indent=1))
    sys.exit(any(record[name]["faults"] for name in asked.parts))


if __name__ == "__main__":
    main()
