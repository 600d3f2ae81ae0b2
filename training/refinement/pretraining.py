"""Two fits in a row: the prior's labels shape the representation, the main level reads from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity.conformers import ConformerSet
from ..configuration import TrainingConfig
from ..state import FitResult
from ..tasks import PriorTask, prior_rows
from ..trainer import Progress, fit
from .freezing import representation


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
