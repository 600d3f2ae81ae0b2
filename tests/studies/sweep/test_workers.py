"""Workers that die, are lost or do not see the folder: what is counted and what is run again."""

import os
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest
from xarray.backends.locks import get_dask_scheduler

from breadth import __version__
from breadth.diversity import ConfigurationError
from breadth.studies.cluster import open_cluster
from breadth.studies.executor import SetAsideError, run_unit
from breadth.studies.sweep import ExecutorSection
from breadth.studies.sweep.processes import LostWorkerError, Processes
from breadth.studies.sweep.sharing import SharedWorkers, begin_folders, run_marked
from breadth.studies.units import Unit

TOKEN = f"one {__version__}"


class Deadly(Executor):
    """Workers that die `times` before they do what they are given; `begun` or not."""

    def __init__(self, root, times, *, begun=True):
        self.root, self.left, self.begun = root, times, begun
        self.here = ThreadPoolExecutor(1)

    def submit(self, fn, /, *args, **options):
        if not self.left:
            return self.here.submit(fn, *args, **options)
        self.left -= 1
        if self.begun:
            (self.root / "running" / args[2].key).touch()
        dead = Future()
        dead.set_exception(LostWorkerError("a worker died"))
        return dead


@pytest.fixture
def folder(study, tmp_path):
    begin_folders(tmp_path, TOKEN, again=False)
    return tmp_path


@pytest.mark.parametrize(
    ("deaths", "begun", "kept"),
    [(2, True, True), (3, True, False), (10, False, True), (40, False, False)],
)
def test_only_workers_that_die_of_a_unit_count_against_it(folder, deaths, begun, kept):
    shared = SharedWorkers(folder, Deadly(folder, deaths, begun=begun), TOKEN)
    unit = Unit("term", 1, {"value": 7})
    answer = shared.submit(run_unit, folder, unit)
    if kept:
        assert answer.result(20) == unit.key
        assert (folder / "units" / unit.key / "value").read_text() == "7"
    else:
        with pytest.raises(SetAsideError, match="a worker died"):
            answer.result(20)
    assert list((folder / "running").iterdir()) == []


def test_other_functions_are_called_too(folder):
    with ThreadPoolExecutor(1) as here:
        shared = SharedWorkers(folder, here, TOKEN)
        assert shared.submit(max, 1, 2).result(20) == 2
        with pytest.raises(ZeroDivisionError):
            shared.submit(divmod, 1, 0).result(20)
        shared.stop()
        with pytest.raises(KeyboardInterrupt):
            shared.submit(max, 1, 2).result(20)


def test_what_is_queued_is_let_go_of(folder, ran):
    free = threading.Event()
    with ThreadPoolExecutor(1) as here:
        here.submit(free.wait, 20)
        shared = SharedWorkers(folder, here, TOKEN)
        answer = shared.submit(run_unit, folder, Unit("term", 1, {"value": 7}))
        shared.stop()
        free.set()
    with pytest.raises(KeyboardInterrupt):
        answer.result(20)
    assert ran == [], "the executor has ended, and did nothing that nobody waits for"


def test_workers_that_take_no_more_are_not_waited_for(folder):
    workers = Deadly(folder, 1)
    shared = SharedWorkers(folder, workers, TOKEN)
    workers.here.shutdown()  # what is begun again is refused
    with pytest.raises(RuntimeError, match="after shutdown"):
        shared.submit(run_unit, folder, Unit("term", 1, {"value": 7})).result(20)


def test_a_worker_that_does_not_see_the_folder_says_so(folder, tmp_path_factory):
    unit = Unit("term", 1, {"value": 7})
    for root in (folder / "elsewhere", tmp_path_factory.mktemp("other")):
        with pytest.raises(ConfigurationError, match="all workers share"):
            run_marked(root, TOKEN, unit)
    (folder / ".token").write_text("one 0.0.1")
    with pytest.raises(ConfigurationError, match=r"0\.0\.1"):
        run_marked(folder, "one 0.0.1", unit)


def test_a_process_that_dies_takes_no_other_with_it():
    with Processes(2, 1) as processes:
        slow = processes.submit(time.sleep, 0.3)
        dead = processes.submit(os._exit, 1)
        with pytest.raises(LostWorkerError) as lost:
            dead.result(60)
        assert lost.value.times == 1
        assert slow.result(60) is None
        assert processes.submit(max, 1, 2).result(60) == 2


def test_a_dask_cluster_in_this_process(folder, ran):
    """Threads instead of processes: nothing to start."""
    asked = ExecutorSection(kind="local", gpus=1, options={"processes": False})
    with open_cluster(asked, workers=1, threads=1, root=folder, token=TOKEN) as executor:
        assert executor.deaths == 1
        shared = SharedWorkers(folder, executor, TOKEN)
        unit = Unit("term", 1, {"value": 7})
        assert shared.submit(run_unit, folder, unit).result(30) == unit.key
        # Xarray takes no lock of the cluster, for which results in memory have no name.
        assert executor.submit(get_dask_scheduler).result(30) == get_dask_scheduler() == "threaded"
        bad = Unit("term", 1, {"value": 8, "fails": "always"})
        with pytest.raises(SetAsideError, match="meant to fail"):
            shared.submit(run_unit, folder, bad).result(30)
        assert ran.count(bad.key) == 3
        assert "run_term" in (folder / "set_aside" / f"{bad.key}.json").read_text()
        # Torch's kinds wait for a GPU, of which the worker has one.
        asked_for = []
        submit = executor.client.submit

        def watch(*args, **options):
            asked_for.append(options.get("resources"))
            return submit(*args, **options)

        executor.client.submit = watch
        executor.submit(repr, Unit("fit", 1)).result(30)
        executor.submit(repr, Unit("labels", 1)).result(30)
        assert asked_for == [{"GPU": 1}, None]
    with (
        pytest.raises(ConfigurationError, match="all workers share"),
        open_cluster(asked, workers=1, threads=1, root=folder / "no", token=TOKEN),
    ):
        pass


def test_clusters_that_cannot_be(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for section, why in (
        ({"kind": "local", "options": {"security": True, "processes": False}}, "cryptography"),
        ({"kind": "address", "address": "tcp://127.0.0.1:1", "timeout": 0.2}, "No Dask scheduler"),
        ({"kind": "local", "options": {"wrkers": 3, "processes": False}}, "'wrkers'"),
    ):
        asked = ExecutorSection(**section)
        with (
            pytest.raises(ConfigurationError, match=why),
            open_cluster(asked, workers=1, threads=1, root=folder, token=TOKEN),
        ):
            pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ConfigurationError, match=r"breadth\[cluster\]"),
        open_cluster(ExecutorSection(kind="local"), workers=1, threads=1, root=folder, token=TOKEN),
    ):
        pass
