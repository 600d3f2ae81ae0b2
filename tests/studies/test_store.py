"""Units, the store and the executor: equal content once, nothing half, nothing lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from breadth.diversity import BreadthError, ConfigurationError
from breadth.studies import executor as executing
from breadth.studies.executor import process_pool, run_units
from breadth.studies.store import Store, replace_file
from breadth.studies.units import Unit


def double(unit, store, folder):
    """Write twice the sum of its inputs and its own value."""
    total = unit.parameters["value"]
    for key in unit.inputs.values():
        total += int((store.folder(key) / "value").read_text())
    if unit.parameters.get("fail"):
        raise BreadthError("meant to fail")
    (folder / "value").write_text(str(2 * total))


@pytest.fixture(autouse=True)
def _kind(monkeypatch):
    module = sys.modules[__name__]
    monkeypatch.setattr(executing, "KINDS", {"double": f"{module.__name__}:double"})


def test_key_is_of_the_content():
    unit = Unit("fit", 1, {"a": 1, "b": 2.0}, {"pool": "x"}, 3)
    assert unit.key == Unit("fit", 1, {"b": 2.0, "a": 1}, {"pool": "x"}, 3).key
    others = [
        Unit("fit", 2, {"a": 1, "b": 2.0}, {"pool": "x"}, 3),
        Unit("fit", 1, {"a": 1, "b": 2.5}, {"pool": "x"}, 3),
        Unit("fit", 1, {"a": 1, "b": 2.0}, {"pool": "y"}, 3),
        Unit("fit", 1, {"a": 1, "b": 2.0}, {"pool": "x"}, 4),
    ]
    assert len({unit.key, *(u.key for u in others)}) == 5
    with pytest.raises(ValueError, match="JSON"):
        _ = Unit("fit", 1, {"a": float("nan")}).key


def test_units_run_after_their_inputs_and_once(tmp_path):
    store = Store(tmp_path)
    one = Unit("double", 1, {"value": 1})
    two = Unit("double", 1, {"value": 2}, {"first": one.key})
    seen = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            run_units(store, [two, one], pool, progress=lambda unit, cost: seen.append(unit.key))
    assert (store.folder(two.key) / "value").read_text() == "8"
    assert seen == [one.key, two.key, two.key, one.key]
    assert json.loads((store.folder(two.key) / "unit.json").read_text())["kind"] == "double"


def test_a_failure_leaves_what_was_finished(tmp_path):
    store = Store(tmp_path)
    good = Unit("double", 1, {"value": 1})
    bad = Unit("double", 1, {"value": 1, "fail": True}, {"first": good.key})
    with ThreadPoolExecutor(1) as pool, pytest.raises(BreadthError, match="meant to fail"):
        run_units(store, [bad, good], pool)
    assert store.has(good)
    assert not store.has(bad)
    assert list((tmp_path / "aside").iterdir()) == []


def test_an_input_that_nobody_makes_is_told(tmp_path):
    lost = Unit("double", 1, {"value": 1}, {"first": "double-absent"})
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="reads double-absent"):
        run_units(Store(tmp_path), [lost], pool)


def test_a_full_disk_is_told_and_harms_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path)
    one = Unit("double", 1, {"value": 1})
    with ThreadPoolExecutor(1) as pool:
        run_units(store, [one], pool)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def refuse(handle):
            raise full

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(BreadthError, match="No space left on device"):
            run_units(store, [Unit("double", 1, {"value": 2})], pool)
        path = tmp_path / "plan.json"
        path.write_text("old")
        with pytest.raises(BreadthError, match="No space left"):
            replace_file(path, "new")
    assert path.read_text() == "old"
    assert (store.folder(one.key) / "value").read_text() == "2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["aside", "plan.json", "units"]


def test_two_runs_on_one_folder(tmp_path):
    store = Store(tmp_path)
    other = Store(tmp_path).locked()
    with store.locked(), pytest.raises(ConfigurationError, match="Another run is at work"):
        other.__enter__()
    with store.locked():
        pass


def test_partial_work_goes_when_the_unit_is_done(tmp_path):
    store = Store(tmp_path)
    unit = Unit("double", 1, {"value": 1})
    (store.partial(unit) / "checkpoint").write_text("half")
    with store.writing(unit) as folder:
        (folder / "value").write_text("2")
    assert store.has(unit)
    assert not (tmp_path / "partial" / unit.key).exists()


PARENT = """
import sys, time
from concurrent.futures import wait
from breadth.studies.executor import process_pool
import os
if __name__ == "__main__":
    pool = process_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    path = str(Path(executing.__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])},
    )
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(50):
        status = Path(f"/proc/{worker}/stat")
        if not status.exists() or status.read_text().split(")")[1].split()[0] == "Z":
            return
        time.sleep(0.2)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def test_process_pool_sets_threads():
    pool = process_pool(1, threads=1)
    assert isinstance(pool, ProcessPoolExecutor)
    assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    pool.shutdown()


def test_what_orphans_leave_of_finished_units_is_swept(tmp_path):
    store = Store(tmp_path)
    unit, other = (Unit("double", 1, {"value": n}) for n in (1, 2))
    with store.writing(unit):
        pass
    # A worker that outlived its run's kill writes a checkpoint of what has since been finished.
    (store.partial(unit) / "checkpoint").write_text("late")
    (store.partial(other) / "checkpoint").write_text("half")
    with store.locked():
        assert not (tmp_path / "partial" / unit.key).exists()
        (store.partial(unit) / "checkpoint").write_text("later")
    assert not (tmp_path / "partial" / unit.key).exists()
    assert (tmp_path / "partial" / other.key / "checkpoint").read_text() == "half"
