"""How benchmarks call SchNetPack, by its own interpreter, and measure it beside this suite.

`requirements-schnetpack.txt` says how to install it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from breadth.diversity import ConformerSet

HERE = Path(__file__).resolve().parent
INTERPRETER = HERE.parent / ".venvs/schnetpack/bin/python"


def schnetpack(data: ConformerSet, scale: float, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return what `schnetpack_painn.py` measures on frames of one molecule; None without it."""
    if not INTERPRETER.exists():
        return None
    labels = data.labels()
    n, atoms = len(data), int(data.counts[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npz"
        np.savez(
            path,
            numbers=data.numbers[:atoms].astype(np.int64),
            positions=data.positions.reshape(n, atoms, 3),
            energies=labels.energy - labels.energy.mean(),
            forces=labels.forces.reshape(n, atoms, 3),
            scale=scale,
        )
        return call([INTERPRETER, HERE / "schnetpack_painn.py", path, json.dumps(options)], options)


def call(command: list[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Run a command with its threads; return the JSON object of its last line."""
    threads = str(options.get("threads", 1))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise RuntimeError(f"{command[1]} failed; its messages are on stderr")
    return json.loads(done.stdout.splitlines()[-1])
