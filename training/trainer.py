"""Fitting a potential to the labels of one level: a fixed number of updates, resumable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from ..diversity.errors import BreadthError, ConfigurationError, DataError
from .configuration import TrainingConfig, choose_device
from .low_rank import attach, merge
from .order import canonical, update_cutoff
from .potentials import Potential
from .starting import continued_references, hyper_parameters, initial_potential
from .state import FitResult, TrainingState
from .tasks import PriorTask, Replay, Task, prior_rows

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
    device = choose_device(config.device)
    train = canonical(data, train)
    if len(train) == 0:
        raise DataError("There is no conformer to train on.")
    held = None if validation is None else canonical(data, validation)
    if held is not None and len(held) == 0:
        held = None
    if config.patience is not None and held is None:
        raise ConfigurationError("Early stopping (`patience`) needs validation conformers.")

    if prior is not None and prior.level == level:
        raise ConfigurationError(f"The prior and what is to be learnt are one level: {level!r}.")
    cheap, left_out = (None, 0) if prior is None else prior_rows(data, prior.level, prior.train)
    taught: tuple[str, ...] = (level,) if prior is None else (level, prior.level)
    if replay is not None:
        if start is None or replay.level not in start.levels:
            have = "no start" if start is None else ", ".join(map(repr, start.levels))
            raise ConfigurationError(
                f"Replay needs a level that the potential to start from knows, not "
                f"{replay.level!r}: there is {have}."
            )
        taught = tuple(dict.fromkeys((*taught, replay.level)))
    hyper = hyper_parameters(potential, start, (*taught, *levels))
    # Only what is asked for beside the plain fit, so that checkpoints of plain fits go on.
    beside: dict[str, Any] = {}
    if prior is not None:
        assert cheap is not None
        beside["prior"] = [
            _fingerprint(data, prior.level, cheap), prior.weight, prior.energy_weight
        ]  # fmt: skip
    if start is not None:
        beside["start"] = _weights_digest(start)
    if frozen:
        beside["frozen"] = sorted(frozen)
    if conformational:
        beside["conformational"] = True
    if replay is not None:
        own = _fingerprint(replay.data, replay.level, replay.rows)
        beside["replay"] = [own, replay.level, replay.weight]
    if low_rank is not None:
        beside["low_rank"] = low_rank
    fingerprint = _fingerprint(
        data,
        level,
        train,
        *([] if held is None else [held]),
        potential=hyper,
        # How often it is saved changes no number.
        config=config.model_dump(exclude={"checkpoint_every", "device"}),
        seed=seed,
        **beside,
    )
    task = Task(data, train, level, config, seed=seed, device=device, conformational=conformational)
    tasks = [(1.0, task)]
    if prior is not None:
        assert cheap is not None
        tasks.append(
            (prior.weight, Task.of_prior(prior, data, cheap, config, seed=seed, device=device))
        )
    model = initial_potential(hyper, seed=seed, start=start).to(device)
    if config.random_cutoff is not None:
        model.set_cutoff_range(*config.random_cutoff)
    replayed = () if replay is None or replay.level != level else ((replay.data, replay.rows),)
    for _, each in tasks:
        known = start is not None and each.level in start.levels
        _set_level(model, each, known=known, beside=replayed if each is task else ())
    if replay is not None:
        tasks.append((replay.weight, Task.of_replay(replay, config, seed=seed, device=device)))
    for _, each in tasks:
        model.check(each.data.select(each.rows))
    still = _all_frozen(model, frozen, taught)
    if low_rank is not None:
        still = attach(model, low_rank, still, seed=seed)
    run = TrainingState(model, config, still)
    folder = None if directory is None else Path(directory)
    if folder is not None:
        run.load(folder, fingerprint)

    held_task = None
    if held is not None:
        held_task = Task(
            data, held, level, config, seed=seed, device=device, conformational=conformational
        )
    calls = set(monitor_at) if monitor is not None else set()
    while run.update < config.n_updates and not run.finished:
        cutoff = update_cutoff(config, seed, run.update)
        loss = task.loss(run.potential, run.update, cutoff)
        for weight, other in tasks[1:]:
            loss = loss + weight * other.loss(run.potential, run.update, cutoff)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BreadthError(
                f"Training diverged: the loss is {value} at update {run.update + 1} of "
                f"{config.n_updates}. Lower `learning_rate` (now {config.learning_rate}), or look "
                "for absurd labels in the training set."
            )
        run.losses[run.update] = value
        run.step(loss)
        u = run.update
        if held_task is not None and (u % config.validate_every == 0 or u == config.n_updates):
            run.finished = run.validate(held_task.mean_loss(run.average))
        if monitor is not None and u in calls:
            run.monitored.append((u, {k: float(v) for k, v in monitor(u, run.average).items()}))
        if progress is not None:
            progress(u, config.n_updates, value)
        if folder is not None and (u % config.checkpoint_every == 0 or u == config.n_updates):
            run.save(folder, fingerprint)
    if not bool(torch.isfinite(run.mean).all()):
        raise BreadthError(
            "Training diverged: weights are not finite after the last update. Lower "
            f"`learning_rate` (now {config.learning_rate})."
        )
    if folder is not None and run.finished:
        run.save(folder, fingerprint)
    result = run.result()
    if low_rank is not None:
        merge(result.potential)
    return replace(result, left_out=left_out)


def _fingerprint(data: ConformerSet, level: str, *indices: np.ndarray, **options: Any) -> str:
    digest = hashlib.blake2b(json.dumps(options, sort_keys=True, default=str).encode())
    for index in indices:
        part = data.select(index)
        labels = part.labels(level)
        for array in (part.id, labels.energy, labels.forces, labels.has_energy, labels.has_forces):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(json.dumps(sorted(labels.reference_energies.items())).encode())
    return digest.hexdigest()


def _weights_digest(potential: Potential) -> str:
    digest = hashlib.blake2b()
    for name, tensor in potential.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _set_level(
    model: Potential,
    task: Task,
    *,
    known: bool,
    beside: Sequence[tuple[ConformerSet, np.ndarray]] = (),
) -> None:
    """Set a task's references and scale, or move those that its head was learnt with."""
    place = model.level_index(task.level)
    if not known:
        references, scale = task.references(), task.force_scale()
    elif task.conformational:
        return
    else:
        references = continued_references(model, task.data, task.level, task.rows, beside=beside)
        scale = float(model.scales[place])
    model.set_level(
        task.level, references=references.energies, scale=scale, anchored=references.anchored
    )


def _all_frozen(model: Potential, frozen: Sequence[str], taught: Sequence[str]) -> set[str]:
    """Return the names of all parameters that stay: those asked for, and heads of other levels."""
    names = [name for name, _ in model.named_parameters()]
    for name in frozen:
        if name not in names:
            raise ConfigurationError(f"The potential has no parameter {name!r} to freeze.")
    idle = tuple(f"heads.{i}." for i, x in enumerate(model.levels) if x not in taught)
    found = {*frozen, *(name for name in names if idle and name.startswith(idle))}
    if len(found) == len(names):
        raise ConfigurationError("All parameters are frozen: there is nothing to train.")
    return found
