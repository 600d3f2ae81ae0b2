"""Run the notebooks, each in a kernel of its own, and say how long each took.

    python notebooks/execute.py [--keep FOLDER] [NAME …]

What is run are the scripts; nothing is written beside them. A notebook that fails, or takes longer
than `LIMIT`, makes this fail.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

FOLDER = Path(__file__).parent
#: Seconds that a notebook may take.
LIMIT = 60


def run(script: Path, keep: Path | None, *, sockets: str) -> tuple[float, str]:
    """Return the seconds that a notebook took, and what is wrong with it: '' if nothing is."""
    notebook = jupytext.read(script)
    client = NotebookClient(
        notebook,
        timeout=2 * LIMIT,
        # The kernel of this Python, which need not be installed; by sockets, and no open ports.
        km=AsyncKernelManager(kernel_name="python3", transport="ipc", ip=sockets),
        resources={"metadata": {"path": str(FOLDER)}},
    )
    begun, wrong = time.monotonic(), ""
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        wrong = str(error)
    seconds = time.monotonic() - begun
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, keep / f"{script.stem}.ipynb")
    if not wrong and seconds > LIMIT:
        wrong = f"{seconds:.0f} s are more than {LIMIT}"
    return seconds, wrong


def main() -> int:
    """Run those named, or all, one after another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="folder for notebooks with their outputs")
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
            seconds, wrong = run(script, asked.keep, sockets=f"{folder}/kernel")
        print(f"{script.stem:<40} {seconds:5.1f} s  {'FAILED' if wrong else 'ok'}", flush=True)
        if wrong:
            failed += 1
            print(wrong, file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
