"""Run a study in a child for each folder that stdin names: what it imports is imported once.

``python -m tests.reliability.zygote KEY=VALUE…`` prints ``ready``; then for each line the number of
the child, and its exit status when it has ended, negative where a signal ended it.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from breadth.analysis.figures import style  # noqa: F401 - what a study imports late
from breadth.studies import measuring, models  # noqa: F401
from breadth.studies.configuration import load
from breadth.studies.tradeoff import TradeoffConfiguration, run_tradeoff

from . import watched  # noqa: F401 - notes the units


def main(*overrides: str) -> None:
    """Serve until stdin ends."""
    torch.manual_seed(0)  # at the first one torch imports its compiler
    asked = load(TradeoffConfiguration, preset="smoke", overrides=overrides)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            # One thread at work, since a child of this process has no other to fork.
            with ThreadPoolExecutor(1) as executor:
                run_tradeoff(asked, Path(line.strip()), executor=executor, figures=False)
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
