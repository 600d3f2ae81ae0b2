"""One JSON object a line: what every benchmark prints."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any


def add_peers(name: str) -> None:
    """Let packages of ``.venvs/NAME`` be imported, after all that breadth itself brings."""
    sys.path.append(str(Path(__file__).resolve().parent / ".venvs" / name))


def emit(
    row: str,
    *,
    ours: float,
    peer: float | None,
    unit: str,
    equal: bool | None,
    peer_name: str | None = None,
    higher_is_better: bool = False,
    device: str = "cpu",
    threads: int = 1,
    packages: tuple[str, ...] = (),
    **facts: Any,
) -> None:
    """Print one row.

    Parameters
    ----------
    row : str
        Name of the row.
    ours, peer : float
        Measured in this run; `peer` is None without one.
    unit : str
        Of both.
    equal : bool or None
        Whether the results agree; None where there is nothing to compare.
    packages : tuple of str
        Distributions whose versions matter, beside breadth's own.
    """
    ratio = None if not peer else (ours / peer if higher_is_better else peer / ours)
    versions = {name: metadata.version(name) for name in ("breadth", "torch", "numpy", *packages)}
    print(
        json.dumps(
            {
                "row": row,
                "ours": round(ours, 6),
                "peer": None if peer is None else round(peer, 6),
                "peer_name": peer_name,
                "ratio": None if ratio is None else round(ratio, 2),
                "equal": equal,
                "unit": unit,
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
                "device": f"{device} ({platform.processor() or platform.machine()})",
                "threads": threads,
                "versions": versions,
                **facts,
            }
        ),
        flush=True,
    )


def alternate(
    ours: Callable[[], Any], peer: Callable[[], Any], *, runs: int = 5
) -> tuple[float, float]:
    """Time two functions in turn after a warm-up; the median seconds of each."""
    ours()
    peer()
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for function, times in zip((ours, peer), taken, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])


def empty(*rows: str, why: str) -> None:
    """Print rows that cannot be measured here, and why."""
    for row in rows:
        print(json.dumps({"row": row, "ours": None, "peer": None, "why": why}), flush=True)
