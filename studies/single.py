"""One fit and one evaluation outside a study: what `breadth train` and `breadth evaluate` do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..diversity import ConformerSet, DataError, ShortageError
from ..diversity.randomness import ordering
from ..training import PriorTask, TrainingConfig, fit, predict, save_potential
from ..training.potentials.foundation import PretrainedPotential
from ..training.profiling import Profile
from .adapting import with_prior_labels
from .configuration import Section
from .evaluating import measure_errors
from .registry import potential_and_facts


class TrainConfiguration(Section):
    """All that one fit is asked."""

    seed: int = Field(0, ge=0)
    """Root of the streams for initial weights, batches and the choice of validation frames."""
    potential: dict[str, Any] = Field(default_factory=lambda: {"name": "factorised_painn"})
    """Name and hyper-parameters of the potential."""
    training: TrainingConfig = TrainingConfig()
    """Updates, batch size, learning rate, losses, early stopping."""
    n_validation: int = Field(0, ge=0)
    """Conformers of the data whose loss is followed and that are not trained on."""
    prior: str | None = None
    """A cheap level that is learnt beside, by a head of its own: what `refine test-time` needs."""
    prior_weight: float = Field(1.0, gt=0)
    """Weight of the prior's loss beside the main one."""


def train_potential(
    data: ConformerSet,
    out: Path,
    configuration: TrainConfiguration,
    *,
    level: str | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    tell: Callable[[str], None] | None = None,
    profile: Profile | None = None,
) -> dict[str, Any]:
    """Fit a potential and write it to a folder; a killed fit goes on from its checkpoint.

    Parameters
    ----------
    data : ConformerSet
    out : Path
        Gets ``potential.json``, ``weights.safetensors`` and a checkpoint, ``state.safetensors``.
    configuration : TrainConfiguration
    level : str, optional
        Level of theory to learn; the only one by default.
    progress : callable, optional
        Called as ``progress(update, n_updates, loss)``.
    tell : callable, optional
        Called with messages in words, such as that a batch was split.
    profile : Profile, optional
        Takes where the time goes.

    Returns
    -------
    dict
        Counts, updates and the last losses.

    Raises
    ------
    DataError
        If the data have no labels at the level.
    ShortageError
        If validation takes all conformers.
    """
    labels = data.labels(level)
    name = next(key for key, value in data.levels.items() if value is labels)
    if configuration.prior is not None:
        data = with_prior_labels(data, configuration.prior)
    usable = np.flatnonzero(labels.has_energy | labels.has_forces)
    if not len(usable):
        raise DataError(f"No conformer has a label at level {name!r}; there is nothing to learn.")
    n_validation = configuration.n_validation
    if n_validation >= len(usable):
        raise ShortageError(
            f"{n_validation} conformers for validation leave none to train on: {len(usable)} are "
            f"labelled. Ask for at most {len(usable) - 1}."
        )
    order = usable[ordering(f"validation {configuration.seed}", data.id[usable])]
    validation, train = order[:n_validation], order[n_validation:]
    result = fit(
        configuration.potential,
        data,
        level=name,
        train=train,
        validation=validation if n_validation else None,
        config=configuration.training,
        seed=configuration.seed,
        directory=out,
        progress=progress,
        tell=tell,
        profile=profile,
        prior=None
        if configuration.prior is None
        else PriorTask(level=configuration.prior, train=train, weight=configuration.prior_weight),
    )
    learned = {"level": name, "configuration": configuration.model_dump(mode="json")}
    save_potential(out, result.potential, learned)
    losses = result.history["validation_loss"]
    return {
        "potential": str(out),
        "level": name,
        "n_train": len(train),
        "n_validation": len(validation),
        "updates": result.updates,
        "without_prior_label": result.left_out if configuration.prior else None,
        "loss": float(result.history["loss"][-min(100, result.updates) :].mean()),
        "validation_loss": float(losses[-1]) if len(losses) else None,
    }


def evaluate_potential(
    folder: Path, data: ConformerSet, *, level: str | None = None
) -> dict[str, Any]:
    """Measure a potential's errors on a data set; errors as `breadth.analysis.errors` defines them.

    Parameters
    ----------
    folder : Path
        Of a potential that `train_potential` or a study wrote; or a universal potential's name.
    data : ConformerSet
        With labels.
    level : str, optional
        Level of theory of the data's labels; the one the potential learned where the data have
        it, else the only one.

    Returns
    -------
    dict
        Errors in eV/Å and eV; None where they cannot be told.
    """
    potential, meta = potential_and_facts(folder)
    if level is None and meta.get("level") in data.levels:
        level = meta["level"]
    labels = data.labels(level)
    predicted = predict(potential, data, level=meta.get("level"))
    found = {
        "potential": str(folder),
        "level": level or next(iter(data.levels)),
        **measure_errors(data, labels, predicted),
    }
    if isinstance(potential, PretrainedPotential) and found["level"] not in potential.levels:
        found |= {
            "energy_mae_per_atom": None,
            "energy_reason": "energies of another level of theory than the potential's: only "
            "their differences between conformers compare",
        }
    return found
