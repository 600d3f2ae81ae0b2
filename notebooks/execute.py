"""Run the notebooks, each in a kernel of its own, and say how long each took.

    python notebooks/execute.py [--keep FOLDER] [--limit SECONDS] [NAME …]

What is run are the scripts; nothing is written beside them. A notebook that fails, or takes more
than the limit, makes this fail. The limit is of a processor's seconds, so that a busy machine makes
nothing fail; on an idle one a notebook takes about as long, since each runs in one process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
#: Seconds of a processor that a notebook may take, where nothing else is said.
LIMIT = 60


def run(script: Path, keep: Path | None, *, sockets: str, limit: float) -> tuple[float, float, str]:
    """Return the seconds that a notebook took, those of a processor, and what is wrong, or ''."""
    notebook = jupytext.read(script)
    # The kernel of this Python, which need not be installed.
    client = NotebookClient(
        notebook,
        timeout=round(10 * limit),  # of a cell that hangs
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    kernel = client.create_kernel_manager()
    kernel.transport, kernel.ip = "ipc", sockets  # no open ports
    begun, before, wrong = time.monotonic(), _processor_seconds(), ""
    try:
        client.execute()
    except Exception as error:  # of a cell, of one that takes too long, of a kernel that died
        wrong = f"{type(error).__name__}: {error}"
    seconds, spent = time.monotonic() - begun, _processor_seconds() - before
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, keep / f"{script.stem}.ipynb")
    if not wrong and spent > limit:
        wrong = f"{spent:.0f} s of a processor are more than {limit:g}"
    return seconds, spent, wrong


def main() -> int:
    """Run those named, or all, one after another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="folder for notebooks with their outputs")
    parser.add_argument("--limit", type=float, default=LIMIT, help="processor seconds for each")
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01; all by default")
    asked = parser.parse_args()
    scripts = sorted(FOLDER.glob("[0-9]*.py"))
    if asked.names:
        scripts = [s for s in scripts if s.name.startswith(tuple(asked.names))]
    if not scripts:
        parser.error(f"there is no notebook that begins with {' or '.join(asked.names)}")
    failed = 0
    for script in scripts:
        with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
            seconds, spent, wrong = run(
                script, asked.keep, sockets=f"{folder}/kernel", limit=asked.limit
            )
        verdict = "FAILED" if wrong else "ok"
        print(f"{script.stem:<28}{seconds:6.1f} s{spent:6.1f} s of CPU  {verdict}", flush=True)
        if wrong:
            failed += 1
            print(wrong, file=sys.stderr, flush=True)
    return 1 if failed else 0


def _processor_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


if __name__ == "__main__":
    sys.exit(main())
