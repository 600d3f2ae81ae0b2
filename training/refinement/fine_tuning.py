"""Going on from a potential: with a prior's representation frozen, or on a few new labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity.conformers import ConformerSet
from ..configuration import TrainingConfig
from ..order import canonical
from ..potentials import Potential
from ..state import FitResult
from ..tasks import PriorTask, prior_rows
from ..trainer import Progress, fit
from .freezing import representation

#: A tenth of the rate of training from scratch, and few updates: a handful of structures is
#: learnt soon, and what the potential knew is to stay.
FINE_TUNING = TrainingConfig(
    n_updates=300, learning_rate=6e-4, ema_decay=0.98, relative_energies=True, warmup=0.1
)


def fine_tune(
    potential: Potential,
    data: ConformerSet,
    *,
    level: str,
    index: np.ndarray,
    config: TrainingConfig | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Go on training a potential with a few labelled structures of a new system.

    The level keeps its scale; a constant by which energies of a new composition are off is taken
    off beforehand, so that it is not the weights that learn it. Heads of other levels stay.

    Parameters
    ----------
    potential : Potential
        Untouched.
    data : ConformerSet
    level : str
        One that the potential knows.
    index : array of int or bool
        From one structure on; a batch is never larger than there are structures.
    config : TrainingConfig, optional
        `FINE_TUNING` by default.
    seed, directory, progress
        See :func:`~breadth.training.fit`.

    Raises
    ------
    ConfigurationError
        If the potential does not know the level.
    DataError
        If there is no structure to learn from.
    """
    config = config or FINE_TUNING
    potential.level_index(level)
    rows = canonical(data, index)
    few = min(config.batch_size, max(1, len(rows)))
    return fit(
        None,
        data,
        level=level,
        train=rows,
        config=config.model_copy(update={"batch_size": few}),
        seed=seed,
        directory=directory,
        progress=progress,
        start=potential,
    )


def pretrain_freeze(
    potential: Mapping[str, Any],
    data: ConformerSet,
    *,
    level: str,
    train: np.ndarray,
    prior: PriorTask,
    config: TrainingConfig | None = None,
    pretraining: TrainingConfig | None = None,
    validation: np.ndarray | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Fit representation and prior head to the prior, freeze both, then fit the main head.

    Parameters
    ----------
    potential, data, level, train, validation, config, seed, progress
        See :func:`~breadth.training.fit`.
    prior : PriorTask
        Its weight is not used: the two fits share no update.
    pretraining : TrainingConfig, optional
        Of the fit to the prior; `config` without early stopping by default.
    directory : path, optional
        Checkpoints of both fits go to folders in it.

    Returns
    -------
    FitResult
        The second fit's.
    """
    config = config or TrainingConfig()
    pretraining = pretraining or config.model_copy(update={"patience": None})
    if prior.energy_weight is not None:
        pretraining = pretraining.model_copy(update={"energy_weight": prior.energy_weight})
    rows, left_out = prior_rows(data, prior.level, prior.train)
    folders = (None, None) if directory is None else (Path(directory) / "prior", Path(directory))
    first = fit(
        potential,
        data,
        level=prior.level,
        train=rows,
        config=pretraining,
        seed=seed,
        directory=folders[0],
        progress=progress,
        conformational=True,
    ).potential
    second = fit(
        None,
        data,
        level=level,
        train=train,
        validation=validation,
        config=config,
        seed=seed,
        directory=folders[1],
        progress=progress,
        start=first,
        # And the prior's head, like any for which nothing is learnt.
        frozen=representation(first),
    )
    return FitResult(second.potential, second.history, second.updates, left_out)
