"""One smoke study, run as a user runs it, for all tests that look at its results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BREADTH = Path(sys.executable).with_name("breadth")


@pytest.fixture(scope="session")
def run_breadth():
    """Run the command line in a process of its own, as a user does."""

    def run(*arguments, check=True, **options):
        result = subprocess.run(
            [str(BREADTH), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **options,
        )
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, run_breadth):
    """The finished smoke study and what the command printed."""
    out = tmp_path_factory.mktemp("study") / "smoke"
    result = run_breadth("study", "tradeoff", "--preset", "smoke", "--out", out)
    return out, result
