"""The numbers of a sweep on clusters, whatever happens to them: minutes of real studies."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
from ruamel.yaml import YAML

pytestmark = pytest.mark.slow

BREADTH = Path(sys.executable).with_name("breadth")
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "slurm.yaml"
#: Over the example's: a study that takes seconds.
TINY = {
    "training.n_updates": 12,
    "pool.n_molecules": 18,
    "hold_outs.n_molecules": 2,
    "fixed_molecules": None,
}
#: Seconds after which a test gives up.
PATIENCE = 900


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Write the example's sweep, of a tiny study, for an executor."""
    folder = tmp_path_factory.mktemp("plans")

    def write(name, executor):
        content = YAML(typ="safe").load(EXAMPLE) | {"set": TINY, "executor": executor}
        path = folder / f"{name}.yaml"
        YAML().dump(content, path)
        return path

    return write


@pytest.fixture(scope="module")
def undisturbed(plan, tmp_path_factory, run_breadth):
    """The sweep on one process."""
    out = tmp_path_factory.mktemp("sweep") / "one"
    run_breadth("sweep", plan("one", {"workers": 1}), "--out", out)
    return out


def begin(file, out):
    return subprocess.Popen(
        [str(BREADTH), "sweep", str(file), "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ended(process):
    said, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said + complained
    return json.loads(said)


def wait_for(process, found):
    """Wait until something is found, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        there = found()
        if there:
            return there
        time.sleep(0.02)
    raise AssertionError("not seen")


def in_hand(out, kind):
    """Return a unit of a kind that is running, and the process that has it."""
    for path in (out / "running").glob(f"{kind}-*"):
        try:
            return path.name, json.loads(path.read_text())["process"]
        except (OSError, ValueError):
            continue
    return None


def same(one, other):
    for name in ("results.nc", "points/learning_rate=0.006/predictions.nc"):
        with xr.open_dataset(one / name) as a, xr.open_dataset(other / name) as b:
            xr.testing.assert_identical(a.load(), b.load())


@pytest.mark.parametrize("workers", [2, 4])
def test_processes(undisturbed, plan, run_breadth, tmp_path, workers):
    run_breadth("sweep", plan("more", {"workers": workers}), "--out", tmp_path / "more")
    same(undisturbed, tmp_path / "more")


@pytest.mark.parametrize("kind", ["processes", "local"])
def test_a_worker_that_dies_loses_the_unit_in_hand(undisturbed, plan, tmp_path, kind):
    out = tmp_path / "out"
    work = begin(plan(kind, {"kind": kind, "workers": 2}), out)
    unit, process = wait_for(work, lambda: in_hand(out, "fit"))
    before = set(os.listdir(out / "units"))
    os.kill(process, signal.SIGKILL)
    made = ended(work)
    assert made["failed"] == {}
    assert json.loads((out / "state.json").read_text())["points"]
    assert unit in os.listdir(out / "units")
    assert before <= set(os.listdir(out / "units"))
    same(undisturbed, out)


def test_a_killed_sweep_goes_on(undisturbed, plan, tmp_path):
    out, file = tmp_path / "out", plan("killed", {"kind": "local", "workers": 2})
    work = begin(file, out)
    wait_for(work, lambda: in_hand(out, "fit"))
    work.kill()
    work.communicate()
    before = {p.name: p.stat().st_mtime_ns for p in (out / "units").iterdir()}
    assert ended(begin(file, out))["failed"] == {}
    after = {p.name: p.stat().st_mtime_ns for p in (out / "units").iterdir()}
    assert before.items() <= after.items(), "what was finished is not run again"
    same(undisturbed, out)


def test_a_scheduler_that_is_started_again(undisturbed, plan, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, out = f"tcp://127.0.0.1:{port}", tmp_path / "out"
    running = []

    def start():
        common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
        dask = [sys.executable, "-m", "distributed.cli"]
        scheduler = [*dask[:2], "distributed.cli.dask_scheduler", "--host", address]
        worker = [*dask[:2], "distributed.cli.dask_worker", address, "--nthreads", "1"]
        threads = {**os.environ, "OMP_NUM_THREADS": "1"}
        running[:] = [
            subprocess.Popen([*scheduler, "--no-dashboard"], **common, env=threads),
            subprocess.Popen([*worker, "--nworkers", "2"], **common, env=threads),
        ]

    start()
    try:
        executor = {"kind": "address", "address": address, "timeout": 120}
        work = begin(plan("address", executor), out)
        wait_for(work, lambda: in_hand(out, "labels"))
        for process in running:
            process.kill()
            process.wait()
        start()
        assert ended(work)["failed"] == {}
    finally:
        for process in running:
            process.terminate()
            process.wait()
    same(undisturbed, out)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A SLURM on this machine."""
    if shutil.which("slurmctld") is None or shutil.which("munged") is None or os.geteuid() != 0:
        pytest.skip("needs root and a SLURM: apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    script = Path(__file__).with_name("slurm.sh")
    subprocess.run(["bash", script, "start", folder], check=True, timeout=120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
    subprocess.run(["bash", script, "stop", folder], check=True, timeout=60)


def test_jobs_of_slurm(undisturbed, plan, tmp_path, slurm):
    """By the example of the documentation; all jobs are cancelled, and others take their place."""
    out = tmp_path / "out"
    work = begin(plan("slurm", YAML(typ="safe").load(EXAMPLE)["executor"]), out)
    wait_for(work, lambda: in_hand(out, "fit"))

    def jobs():
        listed = subprocess.run(
            ["squeue", "--noheader", "--states=RUNNING", "--format=%i"],
            capture_output=True,
            text=True,
            check=True,
        )
        return sorted(map(int, listed.stdout.split()))

    subprocess.run(["scancel", *map(str, jobs())], check=True)
    assert ended(work)["failed"] == {}
    same(undisturbed, out)


def test_what_slurm_refuses_is_told(plan, tmp_path, slurm, run_breadth):
    executor = YAML(typ="safe").load(EXAMPLE)["executor"]
    executor["options"]["queue"] = "nowhere"
    refused = run_breadth(
        "sweep", plan("refused", executor), "--out", tmp_path / "out", check=False
    )
    assert refused.returncode == 1
    assert "invalid partition specified: nowhere" in refused.stderr
