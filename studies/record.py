"""What a run tells of itself: when, with what and on what it was done.

It stands beside the results and never in them: equal plans give equal ``results.nc``, and no two
runs take the same time.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..diversity import DataError
from .store import replace_file

RECORD = "record.json"

#: Packages that numbers may hang on, by their names in registries; those that are there are told.
PACKAGES = (
    *("numpy", "scipy", "numba", "scikit-learn", "xarray", "ase", "rdkit", "tblite", "torch"),
    "dscribe",
    *("pyscf", "pyscf-dispersion", "so3krates-torch", "sevenn", "chgnet", "mace-torch"),
    *("distributed", "dask-jobqueue"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python, of breadth and of the packages that its numbers hang on."""
    found = {"python": platform.python_version(), "breadth": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def processor() -> str:
    """Return the name of this machine's processor, its architecture where it has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def accelerator() -> str | None:
    """Return the name of the CUDA device that this process uses; None where it uses none.

    Nothing is imported or started for it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return str(torch.cuda.get_device_name())


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Return the system, processor, cores that may be used and memory (GiB) of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(memory / 2**30, 1),
    }


def begin_session(root: Path) -> None:
    """Tell that a run begins, or goes on, in a folder."""
    session = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "ended": None,
        "seconds": None,
        # For the time that passes, which no change of the clock on the wall touches.
        "clock": time.monotonic(),
        "versions": versions(),
        "machine": machine(),
    }
    _write(root, [*sessions(root), session])


def end_session(root: Path, **facts: Any) -> None:
    """Tell that the run that began last in a folder has finished its study.

    Parameters
    ----------
    root : Path
        Folder of the study.
    **facts
        More to tell, such as the number of workers.
    """
    found = sessions(root)
    if not found or "clock" not in found[-1]:  # nobody began: what is lost is only gathered anew
        return
    found[-1] |= {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - found[-1].pop("clock"), 3),
        **facts,
    }
    _write(root, found)


def sessions(root: Path) -> list[dict[str, Any]]:
    """Return what runs told of themselves, the first first; none of versions that did not tell.

    One without ``ended`` was stopped, or is at work.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = root / RECORD
    if not path.exists():
        return []
    try:
        return [dict(one) for one in json.loads(path.read_text())["sessions"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({type(error).__name__}: {error}). It tells when and on what the "
            "study ran, and no number hangs on it: remove it, and run the same command again."
        ) from None


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Write beside a unit's results how long it took, and on what.

    Of a unit that was killed and begun again, the last time counts.
    """
    start = time.monotonic()
    yield
    told = {
        "seconds": round(time.monotonic() - start, 4),
        "processor": processor(),
        "accelerator": accelerator(),
    }
    (folder / RECORD).write_text(json.dumps(told))


def _write(root: Path, told: list[dict[str, Any]]) -> None:
    replace_file(root / RECORD, json.dumps({"sessions": told}, indent=1))
