"""What a fit is made ready with: tasks, initial weights, references, scale and fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, DataError
from .configuration import TrainingConfig, choose_device
from .fingerprint import Fingerprint, data_digest
from .low_rank import attach
from .order import canonical
from .potentials import Potential
from .starting import continued_references, hyper_parameters, initial_potential
from .tasks import PriorTask, Replay, Task, prior_rows


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a fit begins with; what :func:`~breadth.training.fit` is asked follows from it.

    Parameters
    ----------
    potential : Potential
        With initial weights, references and scales, on the device.
    tasks : list of (float, Task)
        Weight in the loss and what is learnt; the first is the main one.
    held : Task or None
        Conformers whose loss is followed.
    frozen : set of str
        Names of parameters that stay.
    fingerprint : Fingerprint
        Of everything that decides the result.
    left_out : int
        Conformers that a prior gave no label.
    """

    potential: Potential
    tasks: list[tuple[float, Task]]
    held: Task | None
    frozen: set[str]
    fingerprint: Fingerprint
    left_out: int


def prepare(
    potential: Mapping[str, Any] | None,
    data: ConformerSet,
    *,
    level: str,
    train: np.ndarray,
    validation: np.ndarray | None = None,
    config: TrainingConfig,
    seed: int = 0,
    prior: PriorTask | None = None,
    levels: Sequence[str] = (),
    start: Potential | None = None,
    frozen: Sequence[str] = (),
    conformational: bool = False,
    replay: Replay | None = None,
    low_rank: int | None = None,
) -> Prepared:
    """Make a fit ready; arguments and errors are those of :func:`~breadth.training.fit`."""
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
            data_digest(data, prior.level, cheap), prior.weight, prior.energy_weight
        ]  # fmt: skip
    if start is not None:
        beside["start"] = _weights_digest(start)
    if frozen:
        beside["frozen"] = sorted(frozen)
    if conformational:
        beside["conformational"] = True
    if replay is not None:
        own = data_digest(replay.data, replay.level, replay.rows)
        beside["replay"] = [own, replay.level, replay.weight]
    if low_rank is not None:
        beside["low_rank"] = low_rank
    fingerprint = Fingerprint.of(
        data,
        level,
        train,
        held,
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
    held_task = None
    if held is not None:
        held_task = Task(
            data, held, level, config, seed=seed, device=device, conformational=conformational
        )
    return Prepared(model, tasks, held_task, still, fingerprint, left_out)


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
