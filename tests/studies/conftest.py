"""One smoke study, run as a user runs it, for all tests that look at its results."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from breadth.studies.cli.app import app

BREADTH = Path(sys.executable).with_name("breadth")


@pytest.fixture(scope="session")
def run_breadth():
    """Run a command as a user does, but in this process: a new one takes seconds to start."""

    def run(*arguments, check=True, cwd="."):
        command = [str(BREADTH), *map(str, arguments)]
        out, err, status = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                app.meta(command[1:])
            except SystemExit as end:
                status = end.code or 0
        result = subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def new_process():
    """Run the command line in a process of its own."""

    def run(*arguments, **options):
        return subprocess.run(
            [str(BREADTH), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **options,
        )

    return run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, run_breadth):
    """The finished smoke study and what the command printed."""
    out = tmp_path_factory.mktemp("study") / "smoke"
    result = run_breadth("study", "tradeoff", "--preset", "smoke", "--out", out)
    return out, result
