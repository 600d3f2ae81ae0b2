"""Killed at three places and started again, a study ends as if nothing had happened.

`make soak` kills sweeps, their workers and both at random moments, through the command.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from .kills import ROOT, Killing, differences

#: A study that takes seconds: enough to be killed in, too small for anything else.
TINY = (
    *("training.n_updates=12", "pool.n_molecules=18", "hold_outs.n_molecules=2"),
    *("fixed_molecules=null", "threads=1"),
)


@pytest.fixture
def more():
    """Keys of the study beside `TINY`."""
    return ()


@pytest.fixture
def zygote(tmp_path, more):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.zygote", *TINY, *more],
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "BREADTH_WATCHED": str(tmp_path / "log"),
            "PYTHONPATH": str(ROOT / "src"),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.wait()


def started(zygote, run, until=None):
    """Start the study, kill it where files that `until` names are there; return its status."""
    there = {folder.name for folder in run.units()}
    run.log.write_text("")
    zygote.stdin.write(f"{run.out}\n")
    zygote.stdin.flush()
    child = int(zygote.stdout.readline())
    if until is not None:
        while not any(run.out.glob(until)) and os.path.exists(f"/proc/{child}"):
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    status = int(zygote.stdout.readline())
    run.look(there, status, "", torn=False)
    return status


@pytest.mark.parametrize(
    ("more", "training"),
    [
        ((), "partial/fit-*"),
        pytest.param(
            ("stack=2", "training.checkpoint_every=3"),
            "partial/stack-*/state.safetensors",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["alone", "in stacks"],
)
def test_three_kills_change_no_value_and_lose_no_unit(tmp_path, zygote, training):
    log = tmp_path / "log"
    whole, torn = (Killing((), tmp_path / name, log) for name in ("whole", "torn"))
    assert started(zygote, whole) == 0
    for stage in ("units/labels-*", training, "predictions.nc"):
        assert started(zygote, torn, until=stage) == -signal.SIGKILL, stage
        assert not (torn.out / "finished.json").exists()
    assert started(zygote, torn) == 0
    assert torn.faults == whole.faults == []
    assert differences(whole.out, torn.out) == []
    assert [name for name in ("aside", "partial") if any((torn.out / name).glob("*/*"))] == []
