"""Fitting a potential to the labels of one level: a fixed number of updates, resumable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from ..diversity.errors import BreadthError, ConfigurationError, DataError
from ..diversity.randomness import seed_sequence
from .batches import FrameStore
from .configuration import TrainingConfig, choose_device
from .loss import batch_loss, mean_loss
from .order import BatchOrder, canonical
from .potentials import Potential, build_potential
from .references import reference_energies
from .state import FitResult, TrainingState

Monitor = Callable[[int, Potential], Mapping[str, float]]
Progress = Callable[[int, int, float], None]


def fit(
    potential: Mapping[str, Any],
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
) -> FitResult:
    """Fit a potential.

    The result depends on the training conformers, options, seed, number of threads and kind of
    device, and on nothing else: neither on the order of records nor on interruptions.

    Parameters
    ----------
    potential : mapping
        `name` and hyper-parameters for :func:`~breadth.training.build_potential`.
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

    Returns
    -------
    FitResult

    Raises
    ------
    DataError
        If there is nothing to learn from, or reference energies are ill-posed.
    ConfigurationError
        If the folder holds another fit.
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

    hyper = {**potential, "levels": (level,)}
    fingerprint = _fingerprint(
        data,
        level,
        train,
        *([] if held is None else [held]),
        potential=hyper,
        # How often it is saved changes no number.
        config=config.model_dump(exclude={"checkpoint_every", "device"}),
        seed=seed,
    )
    references = reference_energies(
        data,
        level,
        train,
        shrinkage=config.shrinkage,
        allow_relative=config.relative_energies,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed_sequence(seed, "weights").generate_state(1, np.uint64)[0]))
        model = build_potential(**hyper).to(device)
    model.set_level(
        level,
        references=references.energies,
        scale=_force_scale(data, level, train),
        anchored=references.anchored,
    )
    run = TrainingState(model, config)
    folder = None if directory is None else Path(directory)
    if folder is not None:
        run.load(folder, fingerprint)

    store = FrameStore(data, train, level=level, device=device)
    held_store = None if held is None else FrameStore(data, held, level=level, device=device)
    order = BatchOrder(store.counts, config.batch_size, seed)
    calls = set(monitor_at) if monitor is not None else set()
    while run.update < config.n_updates and not run.finished:
        batch, targets = store.labelled(order.batch(run.update))
        loss = batch_loss(run.potential, batch, targets, level, config, differentiable=True)
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
        if held_store is not None and (u % config.validate_every == 0 or u == config.n_updates):
            run.finished = run.validate(mean_loss(run.average, held_store, level, config))
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
    return run.result()


def _fingerprint(data: ConformerSet, level: str, *indices: np.ndarray, **options: Any) -> str:
    digest = hashlib.blake2b(json.dumps(options, sort_keys=True, default=str).encode())
    for index in indices:
        part = data.select(index)
        labels = part.labels(level)
        for array in (part.id, labels.energy, labels.forces, labels.has_energy, labels.has_forces):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(json.dumps(sorted(labels.reference_energies.items())).encode())
    return digest.hexdigest()


def _force_scale(data: ConformerSet, level: str, train: np.ndarray) -> float:
    labels = data.labels(level)
    there = labels.has_forces[data.atom_conformer] & np.isin(data.atom_conformer, train)
    forces = labels.forces[there].astype(np.float64)
    # Without forces, or with all of them zero, 1 eV is of the order of atomisation energies.
    scale = float(np.sqrt(np.mean(forces**2))) if len(forces) else 0.0
    return scale if scale > 0 else 1.0
