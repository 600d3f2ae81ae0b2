"""Fitting a potential to the labels of one level: a fixed number of updates, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from ..diversity.errors import BreadthError
from .configuration import TrainingConfig
from .low_rank import merge
from .order import update_cutoff
from .potentials import Potential
from .preparing import prepare
from .state import FitResult, TrainingState
from .tasks import PriorTask, Replay

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
        Called as ``progress(update, n_updates, loss)`` after each update.
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

    Returns
    -------
    FitResult

    Raises
    ------
    DataError
        If there is nothing to learn from, or reference energies are ill-posed.
    ConfigurationError
        If the folder holds another fit, or options contradict each other.
    BreadthError
        If the loss becomes NaN or infinite.
    """
    config = config or TrainingConfig()
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
    task, held = ready.tasks[0][1], ready.held
    run = TrainingState(ready.potential, config, ready.frozen)
    folder = None if directory is None else Path(directory)
    if folder is not None:
        run.load(folder, ready.fingerprint)

    calls = set(monitor_at) if monitor is not None else set()
    while run.update < config.n_updates and not run.finished:
        cutoff = update_cutoff(config, seed, run.update)
        loss = task.loss(run.potential, run.update, cutoff)
        for weight, other in ready.tasks[1:]:
            loss = loss + weight * other.loss(run.potential, run.update, cutoff)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BreadthError(divergence(config, run.update + 1, value))
        run.losses[run.update] = value
        run.step(loss)
        u = run.update
        if held is not None and (u % config.validate_every == 0 or u == config.n_updates):
            run.finished = run.validate(held.mean_loss(run.average))
        if monitor is not None and u in calls:
            run.monitored.append((u, {k: float(v) for k, v in monitor(u, run.average).items()}))
        if progress is not None:
            progress(u, config.n_updates, value)
        if folder is not None and (u % config.checkpoint_every == 0 or u == config.n_updates):
            run.save(folder, ready.fingerprint)
    if not bool(torch.isfinite(run.mean).all()):
        raise BreadthError(divergence(config, config.n_updates))
    if folder is not None and run.finished:
        run.save(folder, ready.fingerprint)
    result = run.result()
    if low_rank is not None:
        merge(result.potential)
    return replace(result, left_out=ready.left_out)


def divergence(config: TrainingConfig, update: int, loss: float | None = None) -> str:
    """Return what to tell of a fit that diverged.

    Parameters
    ----------
    config : TrainingConfig
    update : int
        Counted from 1.
    loss : float, optional
        Its loss, NaN or infinite; None where the weights after it are.
    """
    what = "weights are not finite after" if loss is None else f"the loss is {loss} at"
    return (
        f"Training diverged: {what} update {update} of {config.n_updates}. Lower `learning_rate` "
        f"(now {config.learning_rate}), or look for absurd labels in the training set."
    )
