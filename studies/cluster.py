"""Units on a Dask cluster: on this machine, at an address, or as jobs of a queue."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..diversity import BreadthError, ConfigurationError
from .executor import GPU_KINDS, thread_variables
from .sweep.processes import LostWorkerError
from .sweep.sharing import check_sees
from .units import Unit

if TYPE_CHECKING:
    from .sweep.question import ExecutorSection

#: Clusters of dask-jobqueue by kind of executor.
_QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}
#: Seconds between two looks at whether jobs have ended.
_LOOK = 15.0


class DaskExecutor(Executor):
    """An executor whose workers are those of a Dask client.

    Parameters
    ----------
    client : distributed.Client
    gpus : bool
        Let units that torch does wait for a worker with a GPU.
    deaths : int
        Workers that die of a task before the scheduler gives it up.
    """

    def __init__(self, client: Any, *, gpus: bool, deaths: int) -> None:
        self.client, self.gpus, self.deaths = client, gpus, deaths
        self._held: dict[Future[Any], Any] = {}
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function on a worker.

        Raises
        ------
        BreadthError
            If the scheduler is gone for good.
        """
        if self.client.status in ("closed", "closing"):
            raise BreadthError(
                "The Dask scheduler is gone. What was finished is kept; start it again, and then "
                "the same command goes on."
            )
        torch = any(isinstance(one, Unit) and one.kind in GPU_KINDS for one in args)
        options = {"resources": {"GPU": 1}} if self.gpus and torch else {}
        # Not pure: Dask would take a unit that failed for one that is known.
        task = self.client.submit(_apart, fn, *args, **kwargs, **options, pure=False, retries=0)
        answer: Future[Any] = Future()
        with self._lock:
            self._held[answer] = task  # or Dask forgets it
        task.add_done_callback(lambda ended: self._pass_on(answer, ended))
        return answer

    def _pass_on(self, answer: Future[Any], task: Any) -> None:
        from distributed import KilledWorker

        with self._lock:
            self._held.pop(answer, None)
        if not answer.set_running_or_notify_cancel():
            return
        if task.status == "finished":
            # In a thread of its own: this one is that of all callbacks, and a result is fetched.
            threading.Thread(target=_fetch, args=(answer, task), daemon=True).start()
        elif task.status != "error":
            answer.set_exception(LostWorkerError("the scheduler was lost", 0))
        else:
            error = task.exception()
            if isinstance(error, KilledWorker):
                error = LostWorkerError("a worker died; it may have run out of memory", self.deaths)
            answer.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of tasks; the cluster is closed by `open_cluster`."""
        if cancel_futures:
            with self._lock:
                tasks = list(self._held.values())
            self.client.cancel(tasks)


def _apart(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function on a worker as if there were no cluster.

    Else xarray asks the scheduler for a lock of every file, and of results in memory has none.
    """
    import dask

    with dask.config.set(scheduler="threads"):
        return fn(*args, **kwargs)


def _fetch(answer: Future[Any], task: Any) -> None:
    try:
        answer.set_result(task.result())
    except BaseException as error:
        answer.set_exception(LostWorkerError(f"its result was lost: {error}", 0))


@contextmanager
def open_cluster(
    asked: ExecutorSection, *, workers: int, threads: int, root: Path, token: str
) -> Iterator[DaskExecutor]:
    """Give an executor on the cluster that is asked for, and close what was opened.

    Parameters
    ----------
    asked : ExecutorSection
    workers : int
        That are started; a scheduler at an address has its own.
    threads : int
        Of each worker.
    root : Path
        Folder that all workers must see.
    token : str
        See `sharing.run_marked`.

    Raises
    ------
    ConfigurationError
        If the extra `cluster` is not installed, options do not fit, no scheduler answers, or a
        worker does not see the folder.
    """
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise ConfigurationError(
            f"executor.kind {asked.kind} needs Dask: pip install 'breadth[cluster]'."
        ) from None

    environment = thread_variables(threads)
    settings = {
        "distributed.scheduler.allowed-failures": 0,  # here they are counted by unit
        # A worker in a unit's C code may be silent for long.
        "distributed.scheduler.worker-ttl": "30 minutes",
        "distributed.nanny.pre-spawn-environ": {**environment, "MALLOC_TRIM_THRESHOLD_": "65536"},
    }
    options = _options(asked)
    apart = {"set_as_default": False}  # see `_apart`: points write their results in this process
    with ExitStack() as opened, dask.config.set(settings):
        try:
            if asked.kind == "address":
                arguments = {"address": asked.address, "timeout": asked.timeout, **options}
                client = opened.enter_context(Client(**arguments, **apart))
            else:
                cluster = opened.enter_context(
                    _cluster(asked, workers, threads, environment, options)
                )
                client = opened.enter_context(Client(cluster, timeout=asked.timeout, **apart))
                if asked.kind in _QUEUES:
                    opened.enter_context(_jobs(cluster, workers))
        except (OSError, TimeoutError) as error:
            where = asked.address or asked.kind
            raise ConfigurationError(
                f"No Dask scheduler answers at {where} within {asked.timeout:g} s ({error}). Start "
                "it, or mend executor.address."
            ) from None
        except (TypeError, ValueError, RuntimeError, ImportError) as error:
            raise ConfigurationError(
                f"No cluster of kind {asked.kind} can be had with these executor.options: "
                f"{_cause(error)}."
            ) from None
        client.run(check_sees, root, token)
        deaths = 1 + int(client.run_on_scheduler(_allowed_failures))
        yield DaskExecutor(client, gpus=asked.gpus > 0, deaths=deaths)


def _cluster(
    asked: ExecutorSection,
    workers: int,
    threads: int,
    environment: Mapping[str, str],
    options: dict[str, Any],
) -> Any:
    """Return a cluster with the workers that are asked for, one unit at a time on each."""
    resources = {"resources": {"GPU": asked.gpus}} if asked.gpus else {}
    if asked.kind == "local":
        from distributed import LocalCluster

        common = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
        common["silence_logs"] = logging.ERROR
        return LocalCluster(n_workers=workers, **{**common, **resources, **options})
    import dask_jobqueue

    made = getattr(dask_jobqueue, _QUEUES[asked.kind])
    if shutil.which(made.job_cls.submit_command.split()[0]) is None:
        raise ConfigurationError(
            f"executor.kind {asked.kind} submits jobs by {made.job_cls.submit_command}, which is "
            "not on this machine. Start the sweep where it is, or choose another kind."
        )
    lines = [f"export {name}={value}" for name, value in environment.items()]
    extra = ["--nthreads", "1"]  # one unit at a time, whatever the cores
    if asked.gpus:
        extra += ["--resources", f"GPU={asked.gpus}"]
    given: dict[str, Any] = {"cores": threads, "processes": 1, "memory": "4GB"}
    given |= {"death_timeout": 300} | options  # shared file systems are slow to import from
    given.setdefault("scheduler_options", {"dashboard_address": ":0"})  # two sweeps at once
    given["job_script_prologue"] = [*lines, *given.get("job_script_prologue", ())]
    given["worker_extra_args"] = [*extra, *given.get("worker_extra_args", ())]
    return made(**given)


@contextmanager
def _jobs(cluster: Any, workers: int) -> Iterator[None]:
    """Submit a job for each worker, and another whenever one has ended, by its time limit say."""
    from distributed.core import Status

    async def submitted() -> None:
        await cluster
        for job in cluster.workers.values():
            try:
                await job
            except RuntimeError:  # the queue refuses it
                job.status = Status.failed  # or the cluster cannot be closed
                raise

    cluster.scale(workers)
    cluster.sync(submitted)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK):
            cluster.scale(workers)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _options(asked: ExecutorSection) -> dict[str, Any]:
    """Return the options, with the files of TLS as Dask takes them."""
    options = dict(asked.options)
    if isinstance(options.get("security"), dict):
        from distributed import Security

        options["security"] = Security(**options["security"])
    return options


def _cause(error: BaseException) -> BaseException:
    """Return the first of the errors that led to one."""
    return error if error.__cause__ is None else _cause(error.__cause__)


def _allowed_failures(dask_scheduler: Any) -> int:
    return int(dask_scheduler.allowed_failures)
