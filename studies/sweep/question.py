"""What a sweep is asked: a study, the keys that vary, and where its units run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...diversity import ConfigurationError
from ..catalogue import STUDIES
from ..configuration import Section, load
from ..plan import PLAN
from ..record import machine

#: Where a sweep keeps how it was run last, which is no part of its plan.
EXECUTOR = "executor.json"
#: Kinds of executors that are clusters of dask-jobqueue.
QUEUES = ("slurm", "pbs", "lsf")


class ExecutorSection(Section):
    """Where units run; it changes no number and may change when a sweep goes on."""

    kind: Literal["processes", "local", "address", "slurm", "pbs", "lsf"] = "processes"
    """processes of this machine; local, a Dask cluster on it; address, a Dask scheduler that is
    there; slurm, pbs and lsf, jobs of these queues."""
    workers: int | None = Field(None, ge=1)
    """Worker processes, one per core of this machine by default; jobs of a queue need a number. A
    scheduler at an address has its own."""
    gpus: int = Field(0, ge=0)
    """GPUs of each worker: units that train or predict wait for a worker that has one."""
    address: str | None = None
    """Of the scheduler, such as tls://head-node:8786."""
    timeout: float = Field(60.0, gt=0)
    """Seconds to wait for a scheduler, and for one that was lost to come back."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed on: to the cluster of dask-jobqueue (queue, cores, memory, walltime, …), to Dask's
    LocalCluster, or to the Client of an address. `security` may hold files for TLS."""

    @model_validator(mode="after")
    def _complete(self) -> ExecutorSection:
        if (self.kind == "address") != (self.address is not None):
            raise ValueError("kind address, and no other, needs an address")
        if self.kind in QUEUES and self.workers is None:
            raise ValueError(f"kind {self.kind} needs a number of workers")
        if self.kind == "address" and self.workers is not None:
            raise ValueError("the scheduler at an address has its own workers")
        if self.kind == "processes" and (self.options or self.gpus):
            raise ValueError("processes take neither options nor gpus; use kind local")
        return self


class SweepPlan(Section):
    """All that decides the numbers of a sweep."""

    study: str
    """Name of the study: tradeoff, refinement or finetuning."""
    preset: str | None = None
    """Bundled preset that every point starts from."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of every point, dotted or nested, over the preset's."""
    over: dict[str, list[Any]] = Field(default_factory=dict)
    """Keys and their values: every combination is a point."""
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    """Keys and their values, which go together: first with first, second with second."""
    points: list[dict[str, Any]] = Field(default_factory=list)
    """Points written out, instead of `over` and `zip`; each names the same keys."""

    @field_validator("study")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in STUDIES:
            raise ValueError(f"there is no such study; studies: {', '.join(STUDIES)}")
        return name

    @model_validator(mode="after")
    def _varies(self) -> SweepPlan:
        if bool(self.points) == bool(self.over or self.zip):
            raise ValueError("a sweep needs values in over or zip, or else points")
        if len({tuple(sorted(point)) for point in self.points}) > 1:
            raise ValueError("points: each needs the same keys")
        if self.points and not self.points[0]:
            raise ValueError("points: they name no key")
        for key, values in {**self.over, **self.zip}.items():
            if not values:
                raise ValueError(f"{key} has no values")
        if len({len(values) for values in self.zip.values()}) > 1:
            raise ValueError("zip: its lists need one length")
        twice = sorted(set(self.over) & set(self.zip))
        if twice:
            raise ValueError(f"{twice[0]} stands in over and in zip")
        return self


class SweepConfiguration(SweepPlan):
    """A sweep as its YAML file has it."""

    executor: ExecutorSection = ExecutorSection()
    at_once: int = Field(4, ge=1)
    """Points that are at work at once; what each keeps in memory is that of its study."""

    def plan(self) -> SweepPlan:
        """Return what decides the numbers."""
        return SweepPlan(**self.model_dump(exclude={"executor", "at_once"}))

    def worker_count(self, given: int | None, threads: int) -> int:
        """Return how many workers a run has: those given, the plan's, or what fills this machine.

        A scheduler at an address has its own: at least one, before it is asked.
        """
        fill = 1 if self.executor.kind == "address" else max(1, machine()["cores"] // threads)
        return given or self.executor.workers or fill


def load_sweep(path: Path | None, out: Path) -> SweepConfiguration:
    """Read a sweep from its YAML file; without one, as it stands in its folder.

    Raises
    ------
    ConfigurationError
        If a key is misspelt or a value does not fit, or the folder holds no sweep.
    """
    if path is not None:
        return load(SweepConfiguration, path=path)
    try:
        plan = json.loads((out / PLAN).read_text())
        if plan["study"] != "sweep":
            raise ConfigurationError(
                f"{out} holds a study, {plan['study']}, and no sweep. Name the sweep's YAML file."
            )
        content = {**plan["configuration"], **json.loads((out / EXECUTOR).read_text())}
        return SweepConfiguration.model_validate(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{out} holds no sweep that can be read ({type(error).__name__}). Name the sweep's "
            "YAML file."
        ) from None
