"""The models that methods build on: one fit for each arm and training set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...diversity.randomness import ordering
from ...training import PriorTask, TrainingConfig, fit, save_potential
from ...training.refinement import difference, difference_level, pretrain_freeze
from ..pool import read_set, rows_by_id, selected, selection_unit
from ..store import Store
from ..units import Unit
from .question import BASES, RefinementConfiguration
from .systems import Experiment, TrainingSet

#: Arms that are fits; all other methods take one of them or the prior's own labels.
ARMS = (
    *("none", "weight_decay", "early_stopping", "joint", "pretrain_freeze", "random_cutoff"),
    "delta",
)
#: Passes through the model, in those of `none`, that an update of each arm takes about.
EFFORT = {"joint": 2.0, "pretrain": 1.8}
#: In Å: reach of random cutoffs about the trained one where no range is asked for.
REACH = 0.5


def arm_of(method: str) -> str | None:
    """Return the fit that a method takes; None for the prior itself.

    Examples
    --------
    >>> arm_of("both"), arm_of("radius"), arm_of("test_time_uff"), arm_of("prior")
    ('joint', 'none', 'joint_uff', None)
    """
    if method in BASES:
        return BASES[method]
    if method.startswith("prior"):
        return None
    if method.startswith("fine_tune"):
        return "none"
    return method.replace("test_time_", "joint_")


def arm_unit(
    asked: RefinementConfiguration,
    experiment: Experiment,
    one: TrainingSet,
    arm: str,
) -> tuple[Unit, Unit]:
    """Return the units of a training set and of the fit of one arm on it."""
    train = selection_unit(one.train)
    if arm == "none" and one.fitted is not None:
        return train, one.fitted
    kind, _, other = arm.partition("_") if arm.startswith("joint_") else (arm, "", "")
    given = experiment.training or asked.training_of(experiment.name).model_dump(mode="json")
    training = TrainingConfig(**given)
    changes: dict[str, Any] = {}
    if experiment.relative:
        changes["relative_energies"] = True
    parameters: dict[str, Any] = {
        "arm": kind,
        "potential": dict(experiment.potential or asked.potential),
        "level": experiment.level,
        "threads": asked.threads,
    }
    if kind in ("joint", "pretrain_freeze", "delta"):
        parameters["prior"] = other or experiment.prior
        parameters["prior_weight"] = asked.prior_weight
    if kind == "weight_decay":
        changes["weight_decay"] = asked.regularisation.weight_decay
    if kind == "early_stopping":
        parameters["validation"] = asked.regularisation.validation
        changes["patience"] = asked.regularisation.patience
        changes["validate_every"] = asked.regularisation.validate_every
    if kind == "random_cutoff":
        changes["random_cutoff"] = cutoff_range(asked, parameters["potential"])
    parameters["training"] = training.model_copy(update=changes).model_dump(mode="json")
    return train, Unit(
        "arm", 1, parameters, {"data": experiment.data.key, "train": train.key}, one.seed
    )


def cutoff_range(
    asked: RefinementConfiguration, potential: Mapping[str, Any]
) -> tuple[float, float]:
    """Return the range of cutoffs, in Å, that the model of random cutoffs is trained with."""
    if asked.random_cutoff is not None:
        return asked.random_cutoff
    cutoff = trained_cutoff(potential)
    return cutoff - REACH, cutoff + REACH


def trained_cutoff(potential: Mapping[str, Any]) -> float:
    """Return a potential's cutoff in Å, its default where none is given."""
    from ...training import POTENTIALS

    return float(potential.get("cutoff", POTENTIALS[potential["name"]].defaults()["cutoff"]))


def run_arm(unit: Unit, store: Store, folder: Path) -> None:
    """Fit one arm on one training set, and keep its weights."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    config = TrainingConfig(**asked["training"])
    data = read_set(store, unit.inputs["data"])
    ids = selected(store, unit.inputs["train"])
    level, validation = asked["level"], None
    if asked["arm"] == "early_stopping":
        order = ordering(f"{unit.seed} validation", ids)
        n = max(1, round(asked["validation"] * len(ids)))
        validation, ids = _named(ids, order[:n]), _named(ids, order[n:])
    if asked["arm"] == "delta":
        data = difference(data, level=level, prior_level=asked["prior"])
        level = difference_level(level, asked["prior"])
    rows = rows_by_id(data, ids)
    options: dict[str, Any] = {
        "level": level,
        "train": rows,
        "config": config,
        "seed": unit.seed,
        "directory": store.partial(unit),
    }
    if asked["arm"] in ("joint", "pretrain_freeze"):
        options["prior"] = PriorTask(level=asked["prior"], train=rows, weight=asked["prior_weight"])
    if validation is not None:
        options["validation"] = rows_by_id(data, validation)
    fitted = (pretrain_freeze if asked["arm"] == "pretrain_freeze" else fit)(
        asked["potential"], data, **options
    )
    save_potential(folder / "potential", fitted.potential, {"level": level, "arm": asked["arm"]})
    facts = {"updates": fitted.updates, "loss": float(fitted.history["loss"][-50:].mean())}
    (folder / "fit.json").write_text(json.dumps(facts))


def _named(ids: Sequence[str], order: np.ndarray) -> list[str]:
    return [ids[i] for i in order]
