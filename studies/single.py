"""One fit and one evaluation outside a study: what `breadth train` and `breadth evaluate` do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..diversity import ConfigurationError, ConformerSet, DataError, ShortageError
from ..diversity.randomness import ordering
from ..training import FitResult, PriorTask, TrainingConfig, fit, predict, save_potential
from ..training.potentials.foundation import PretrainedPotential
from ..training.profiling import Profile
from .adapting import with_prior_labels
from .configuration import Section
from .evaluating import measure_errors
from .registry import COMMITTEE, potential_and_facts


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
    committee: int = Field(1, ge=1, le=1000)
    """Members of a committee, one potential from as many seeds: `seed` and those after it."""
    stack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Members that are fitted at once. 'auto' is one on a CPU, where more win nothing, and what
    fits into the free memory of a GPU; a folder that was begun keeps its number."""

    @model_validator(mode="after")
    def _of_a_committee(self) -> TrainConfiguration:
        if self.committee == 1 and self.stack not in ("auto", 1):
            raise ValueError("stack: a single model is no stack; ask for a committee too")
        return self


@dataclass(frozen=True, eq=False)
class Asked:
    """What a fit is made of, once data, level and validation are settled.

    Parameters
    ----------
    data : ConformerSet
        With the prior's labels, where one is learnt beside.
    configuration : TrainConfiguration
    level : str
    train, validation : array of int
        Conformers to learn from; and those whose loss is followed, which may be none.
    """

    data: ConformerSet
    configuration: TrainConfiguration
    level: str
    train: np.ndarray
    validation: np.ndarray

    @property
    def held(self) -> np.ndarray | None:
        """Conformers for validation, None where there are none."""
        return self.validation if len(self.validation) else None

    @property
    def prior(self) -> PriorTask | None:
        """What is learnt beside."""
        asked = self.configuration
        if asked.prior is None:
            return None
        return PriorTask(level=asked.prior, train=self.train, weight=asked.prior_weight)

    @property
    def facts(self) -> dict[str, Any]:
        """What is kept with the potential."""
        return {"level": self.level, "configuration": self.configuration.model_dump(mode="json")}

    @staticmethod
    def losses(result: FitResult) -> tuple[float, float | None]:
        """Return the mean loss of the last hundred updates, and the last validation loss."""
        held = result.history["validation_loss"]
        last = result.history["loss"][-min(100, result.updates) :]
        return float(last.mean()), float(held[-1]) if len(held) else None


def asked_of(data: ConformerSet, configuration: TrainConfiguration, level: str | None) -> Asked:
    """Settle what is fitted; errors are those of :func:`train_potential`."""
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
    return Asked(data, configuration, name, order[n_validation:], order[:n_validation])


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

    With `committee` in the configuration, as many; see
    :func:`~breadth.studies.committees.train_committee`.

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
    ConfigurationError
        If the folder holds another fit, or a committee.
    """
    if configuration.committee > 1:
        from .committees import train_committee

        return train_committee(
            data, out, configuration, level=level, progress=progress, tell=tell, profile=profile
        )
    if (out / COMMITTEE).exists():
        raise ConfigurationError(f"{out} holds a committee. Give another --out, or --committee.")
    asked = asked_of(data, configuration, level)
    result = fit(
        configuration.potential,
        asked.data,
        level=asked.level,
        train=asked.train,
        validation=asked.held,
        config=configuration.training,
        seed=configuration.seed,
        directory=out,
        progress=progress,
        tell=tell,
        profile=profile,
        prior=asked.prior,
    )
    save_potential(out, result.potential, asked.facts)
    loss, validation_loss = asked.losses(result)
    return {
        "potential": str(out),
        "level": asked.level,
        "n_train": len(asked.train),
        "n_validation": len(asked.validation),
        "updates": result.updates,
        "without_prior_label": result.left_out if configuration.prior else None,
        "loss": loss,
        "validation_loss": validation_loss,
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
