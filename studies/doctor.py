"""What `breadth doctor` finds: what is installed, on what machine, and what should be otherwise."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from .. import __version__
from .record import machine
from .registry import PROGRAMS

#: What each extra is for.
EXTRAS = {
    "explore": "notebooks, and pages of maps on which structures are turned",
    "cluster": "sweeps on Dask and on schedulers of jobs",
    "dft": "labels by density functional theory, with PySCF",
    "foundation": "the universal potentials SO3LR, SevenNet-0 and CHGNet",
    "mace": "models of MACE, in an environment of their own",
    "docs": "building the documentation",
    "dev": "the tests and tools of those who change breadth",
}

#: Variables that change what numeric libraries do; no others are told, since some hold secrets.
VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
    *("CUDA_VISIBLE_DEVICES", "NUMBA_CACHE_DIR", "TMPDIR", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"),
)

#: In GB: studies of the size `demo` take less.
ENOUGH_DISK = 1.0
#: In GiB: a worker process with torch takes half of one.
ENOUGH_MEMORY = 2.0


def examine() -> dict[str, Any]:
    """Tell what is installed, on what machine, and what should be otherwise.

    Returns
    -------
    dict
        ``breadth``, ``python``, ``folder`` (of the package); ``packages``, the version of each
        that breadth needs, None where it is missing; ``device``; ``extras``, each with
        ``installed``, ``for`` and ``lacks``; ``programs``, the path of each engine's program,
        None where there is none; ``disk``, free GB of the working and the temporary folder;
        ``environment``; and ``problems``, which stop work, and ``advice``, each a sentence.
    """
    needs = _requirements()
    packages = {need.name: _version(need.name) for need in needs[""]}
    problems = [_wrong(need) for need in needs[""] if not _met(need)]
    found: dict[str, Any] = {
        "breadth": __version__,
        "python": sys.version.split()[0],
        "folder": str(Path(__file__).parents[1]),
        "packages": packages,
        "device": {**machine(), "available_gib": _available_memory(), **_torch()},
        "extras": {name: _extra(needs.get(name, []), EXTRAS[name]) for name in EXTRAS},
        "programs": {name: shutil.which(name) for name in PROGRAMS},
        "disk": {
            "here": _free(Path.cwd()),
            "temporary": _free(Path(tempfile.gettempdir())),
        },
        "environment": {name: os.environ.get(name) for name in VARIABLES},
    }
    return {**found, "problems": problems, "advice": _advice(found)}


def _requirements() -> dict[str, list[Requirement]]:
    """Return what breadth needs by extra, '' for what it always needs."""
    needs: dict[str, list[Requirement]] = {"": []}
    for text in metadata.requires("breadth") or ():
        need = Requirement(text)
        # An extra of an extra is told where it stands itself.
        if need.name == "breadth" or (need.marker and not need.marker.evaluate({"extra": ""})):
            for extra in EXTRAS:
                if need.marker and need.marker.evaluate({"extra": extra}):
                    needs.setdefault(extra, []).append(need)
        else:
            needs[""].append(need)
    return needs


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _met(need: Requirement) -> bool:
    version = _version(need.name)
    return version is not None and need.specifier.contains(version, prereleases=True)


def _wrong(need: Requirement) -> str:
    version = _version(need.name)
    have = "is not installed" if version is None else f"is {version}"
    return f"{need.name} {have}, and breadth needs {need.specifier}: pip install '{need.name}" + (
        f"{need.specifier}'."
    )


def _extra(needs: list[Requirement], purpose: str) -> dict[str, Any]:
    lacks = [need.name for need in needs if need.name != "breadth" and not _met(need)]
    return {"installed": not lacks, "for": purpose, "lacks": lacks}


def _available_memory() -> float | None:
    """Return the memory in GiB that can be had now; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        told = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, IndexError):
        return None
    return round(int(told) / 2**20, 1)


def _torch() -> dict[str, Any]:
    """Return torch's threads and CUDA devices."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"threads": None, "cuda": [], "cuda_reason": f"torch cannot be loaded: {error}"}
    devices = [
        {
            "name": torch.cuda.get_device_name(k),
            "memory_gib": round(torch.cuda.get_device_properties(k).total_memory / 2**30, 1),
        }
        for k in range(torch.cuda.device_count())
    ]
    reason = None
    if not devices and torch.version.cuda is None:
        reason = f"torch {torch.__version__} is built without CUDA"
    elif not devices:
        reason = f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no device"
    return {"threads": torch.get_num_threads(), "cuda": devices, "cuda_reason": reason}


def _free(folder: Path) -> dict[str, Any]:
    return {"folder": str(folder), "free_gb": round(shutil.disk_usage(folder).free / 1e9, 1)}


def _advice(found: dict[str, Any]) -> list[str]:
    said = []
    threads = found["environment"]["OMP_NUM_THREADS"]
    if threads != "1":
        said.append(
            f"OMP_NUM_THREADS is {threads or 'not set'}: worker processes fill the cores, and "
            "tblite slows down with more threads than one. Use: export OMP_NUM_THREADS=1."
        )
    if found["environment"]["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"]:
        said.append(
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set: other programs' torch files can then run "
            "code. Unset it."
        )
    for place in found["disk"].values():
        if place["free_gb"] < ENOUGH_DISK:
            said.append(
                f"{place['folder']} has {place['free_gb']} GB left. Free some, or work elsewhere "
                "(--out, TMPDIR)."
            )
    memory = found["device"]["available_gib"]
    if memory is not None and memory < ENOUGH_MEMORY:
        said.append(
            f"{memory} GiB of memory are left, and a worker takes about half of one. End other "
            "programs, or use --workers 1."
        )
    if not found["device"]["cuda"] and shutil.which("nvidia-smi"):
        said.append(
            f"There is an NVIDIA driver, but {found['device']['cuda_reason']}. For fits on the "
            "GPU install a build of torch with CUDA: https://pytorch.org/get-started."
        )
    return said
