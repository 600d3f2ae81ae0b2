"""Run every benchmark beside this file, one JSON object a line on stdout, all else on stderr.

A benchmark is a module with ``main()``, which prints its rows and returns None, or another number
than 0 if a row failed. Each runs in a process of its own, so that its peak of memory and its
threads are its own. Names on the command line pick some: ``python benchmarks/run.py data``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

HERE = Path(__file__).resolve().parent
#: `rows` prints; the others take an hour and more: `make bench-accuracy`, `make bench-scale`.
NOT_RUN = {"run", "rows", "accuracy", "scale"}
#: Seconds that one module may take.
LIMIT = 1500
_CALL = "import sys; sys.path.insert(0, {folder!r}); import {name}; sys.exit({name}.main() or 0)"


def modules() -> list[str]:
    """Return the names of the benchmarks, sorted."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_RUN)


def run(name: str) -> bool:
    """Run one module and hand on its rows; tell whether it and all its rows succeeded."""
    code = _CALL.format(folder=str(HERE), name=name)
    # One thread unless the caller wants otherwise: many small calculations slow down with more.
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONUNBUFFERED": "1"}
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    timer = Timer(LIMIT, process.kill)
    timer.start()
    sound, told = True, False
    assert process.stdout is not None
    for line in process.stdout:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            print(line, end="", file=sys.stderr, flush=True)
            continue
        failed = "error" in row
        sound, told = sound and not failed, told or failed
        print(line, end="", flush=True)
    code_left = process.wait()
    timer.cancel()
    seconds = time.monotonic() - start
    print(f"{name}: {seconds:.0f} s, exit status {code_left}", file=sys.stderr, flush=True)
    if code_left and not told:
        why = f"took more than {LIMIT} s" if seconds >= LIMIT else f"exit status {code_left}"
        print(json.dumps({"row": name, "error": f"benchmarks/{name}.py: {why}"}), flush=True)
    return sound and not code_left


def main() -> int:
    """Run the modules that were named, or all; return 1 if one failed."""
    known, named = modules(), sys.argv[1:]
    if unknown := sorted(set(named) - set(known)):
        print(f"No benchmark {', '.join(unknown)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    ended_well = [run(name) for name in named or known]
    return int(not all(ended_well))


if __name__ == "__main__":
    sys.exit(main())
