"""Fitting a potential to the labels of one level: a fixed number of updates, resumable."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from .configuration import TrainingConfig
from .divergence import DivergedError, divergence
from .low_rank import merge
from .potentials import Potential
from .potentials.foundation import PretrainedPotential
from .preparing import Prepared, prepare
from .profiling import Profile, stage
from .state import FitResult, TrainingState
from .tasks import PriorTask, Replay
from .updates.compilation import CompiledUpdates, DoesNotFitError, NotCompiledError
from .updates.eager import EagerUpdates, Tell
from .updates.forms import choose, obstacle_of

Monitor = Callable[[int, Potential], Mapping[str, float]]
Progress = Callable[[int, int, float], None]


def fit(
    potential: Mapping[str, Any] | None,
    data: ConformerSet,
    *,
    level: str,
    train: np.ndarray,
    validation: np.ndarray | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    monitor: Monitor | None = None,
    monitor_at: Iterable[int] = (),
    progress: Progress | None = None,
    prior: PriorTask | None = None,
    levels: Sequence[str] = (),
    start: Potential | None = None,
    frozen: Sequence[str] = (),
    conformational: bool = False,
    replay: Replay | None = None,
    low_rank: int | None = None,
    tell: Tell | None = None,
    profile: Profile | None = None,
) -> FitResult:
    """Fit a potential.

    The result depends on the training conformers, options, seed, number of threads and kind of
    device, and on nothing else: neither on the order of records nor on interruptions.

    Parameters
    ----------
    potential : mapping or None
        `name` and hyper-parameters for :func:`~breadth.training.build_potential`; None takes
        those of `start`.
    data : ConformerSet
    level : str
        Level of theory to learn.
    train, validation : array of int or bool
        Conformers to learn from; and those whose loss is followed.
    config : TrainingConfig, optional
    seed : int
        Root of the streams for initial weights and batches.
    directory : path, optional
        Keep checkpoints there, and go on from one that is there.
    monitor : callable, optional
        Called as ``monitor(update, potential)`` with the running mean of the weights after each
        update in `monitor_at`; what it returns enters the history.
    monitor_at : iterable of int
        Updates, counted from 1; the last one is 'config.n_updates'.
    progress : callable, optional
        Called as ``progress(update, n_updates, loss)`` for each update: after it, and on CUDA
        where losses are next looked at, after 64 updates at most.
    prior : PriorTask, optional
        Learn the labels of a prior beside, with a head of its own (joint training).
    levels : sequence of str
        Further heads, which stay untrained in this fit.
    start : Potential, optional
        Begin with its weights, which keep their levels. A level that it knows keeps its scale,
        and its references as :func:`~breadth.training.starting.continued_references` says.
    frozen : sequence of str
        Names of parameters that stay as they are. Heads that nothing is learnt for always do.
    conformational : bool
        Learn energy differences between conformers of one molecule alone, not energies.
    replay : Replay, optional
        Structures that `start` was made with, learnt beside so that it does not forget them.
    low_rank : int, optional
        Move linear maps of the representation by products of this rank alone, and nothing else
        of it but the heads; see :mod:`~breadth.training.low_rank`.
    tell : callable, optional
        Called with messages in words: that a batch was split since it does not fit in memory, or
        that compilation was asked for and is not to be had. By default they are warnings.
    profile : Profile, optional
        Takes where the time goes; see :class:`~breadth.training.profiling.Profile`.

    Returns
    -------
    FitResult

    Raises
    ------
    DataError
        If there is nothing to learn from, or reference energies are ill-posed.
    ConfigurationError
        If the folder holds another fit, or options contradict each other.
    DivergedError
        If the loss or the weights become NaN or infinite.
    BreadthError
        If a structure does not fit in memory by itself.
    """
    config = config or TrainingConfig()
    with profile or nullcontext():
        with stage("preparation"):
            ready = prepare(
                potential,
                data,
                level=level,
                train=train,
                validation=validation,
                config=config,
                seed=seed,
                prior=prior,
                levels=levels,
                start=start,
                frozen=frozen,
                conformational=conformational,
                replay=replay,
                low_rank=low_rank,
            )
            fitting = _Fitting(ready, config, seed, tell or _warn, low_rank=low_rank is not None)
        if profile is not None:
            profile.device = fitting.run.mean.device
        fitting.go(
            None if directory is None else Path(directory),
            monitor=monitor,
            monitor_at=monitor_at,
            progress=progress,
            profile=profile,
        )
        result = fitting.run.result()
        if low_rank is not None:
            merge(result.potential)
    return replace(result, left_out=ready.left_out)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)


class _Fitting:
    """A fit on its way: its state, and the form that its updates take."""

    def __init__(
        self, ready: Prepared, config: TrainingConfig, seed: int, tell: Tell, *, low_rank: bool
    ) -> None:
        self.ready, self.config, self.seed, self.tell = ready, config, seed, tell
        self.run = TrainingState(ready.potential, config, ready.frozen)
        task, device = ready.tasks[0][1], self.run.mean.device.type
        obstacle = obstacle_of(
            config,
            task,
            pretrained=isinstance(ready.potential, PretrainedPotential),
            n_tasks=len(ready.tasks),
            low_rank=low_rank,
        )
        hyper = ready.potential.hyper
        self.choice = choose(config, hyper, task.store.counts, device, obstacle=obstacle)
        #: What the profile says of it.
        self.form = str(self.choice)
        if config.compile == "always" and obstacle is not None:
            tell(f"Compilation was asked for, but {obstacle}: the fit is eager.")

    def updates(self) -> EagerUpdates | CompiledUpdates:
        """Return what makes the updates."""
        run = self.run
        # What did not fit in memory once goes on in parts, or a resumed fit would differ.
        if self.choice.compiled and run.at_once is None:
            try:
                return CompiledUpdates(run, self.ready.tasks[0][1], self.ready.frozen)
            except NotCompiledError as error:
                # A checkpoint keeps it, or a fit would change its form where a compiler turns up.
                run.at_once = self.ready.tasks[0][1].order.batch_size
                self.form = f"eager: {error}"
                self.tell(f"Nothing could be compiled: {error}. The fit is eager.")
            except DoesNotFitError as error:
                self._in_parts(error)
        return EagerUpdates(run, self.ready.tasks, self.seed, self.tell)

    def _in_parts(self, error: DoesNotFitError) -> None:
        self.run.at_once = self.ready.tasks[0][1].order.batch_size
        self.form = "eager: the compiled update does not fit in memory"
        self.tell(f"The compiled update does not fit in memory ({error}). The fit is eager.")

    def go(
        self,
        folder: Path | None,
        *,
        monitor: Monitor | None,
        monitor_at: Iterable[int],
        progress: Progress | None,
        profile: Profile | None,
    ) -> None:
        """Go to the end, from a checkpoint where there is one."""
        run, config, held = self.run, self.config, self.ready.held
        if folder is not None:
            with stage("checkpoints"):
                run.load(folder, self.ready.fingerprint)
        calls = sorted(set(monitor_at)) if monitor is not None else []
        updates = None
        while run.update < config.n_updates and not run.finished:
            updates = updates or self.updates()
            if profile is not None:
                profile.form = self.form
            begin = run.update
            stops = [config.n_updates, begin + updates.look, *(c for c in calls if c > begin)]
            if held is not None:
                stops.append(_next(begin, config.validate_every))
            if folder is not None:
                stops.append(_next(begin, config.checkpoint_every))
            try:
                losses = updates.advance(min(stops)).tolist()
            except DoesNotFitError as error:
                self._in_parts(error)
                updates = None
                continue
            u = run.update
            run.losses[begin:u] = losses
            for i, value in enumerate(losses):
                if not math.isfinite(value):
                    raise DivergedError(divergence(config, begin + i + 1, value))
            if profile is not None:
                profile.count(self.ready.tasks, range(begin, u))
            if held is not None and (u % config.validate_every == 0 or u == config.n_updates):
                with stage("validation"):
                    run.finished = run.validate(held.mean_loss(run.average))
            if monitor is not None and u in calls:
                with stage("monitor"):
                    found = monitor(u, run.average)
                run.monitored.append((u, {k: float(v) for k, v in found.items()}))
            if progress is not None:
                for i, value in enumerate(losses):
                    progress(begin + i + 1, config.n_updates, value)
            if folder is not None and (u % config.checkpoint_every == 0 or u == config.n_updates):
                with stage("checkpoints"):
                    run.save(folder, self.ready.fingerprint)
        if not bool(torch.isfinite(run.mean).all()):
            raise DivergedError(divergence(config, config.n_updates))
        if folder is not None and run.finished:
            with stage("checkpoints"):
                run.save(folder, self.ready.fingerprint)


def _next(update: int, every: int) -> int:
    """Return the next multiple after an update."""
    return (update // every + 1) * every
