"""Every unit of every method of an experiment, and what each is about to cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..units import Unit
from .fits import EFFORT, arm_of, arm_unit
from .gathering import Refined
from .question import RefinementConfiguration
from .refining import kind_of, refinement_units
from .systems import Experiment, TrainingSet

#: Measured seconds of one core per update and structure of a batch, of about 64 features.
SECONDS_PER_STRUCTURE = 0.0012


@dataclass
class Work:
    """Units to run: selections at once, the others by an executor.

    Parameters
    ----------
    selections : list of Unit
    fits : dict of (experiment, design, replicate, arm) to (Unit, Unit)
        The fit, and the selection that it was trained on.
    refined : list of Refined
    costs : dict of str to float
        Estimated seconds of one core, by key.
    """

    selections: list[Unit] = field(default_factory=list)
    fits: dict[tuple[str, int, int, str], tuple[Unit, Unit]] = field(default_factory=dict)
    refined: list[Refined] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)

    def units(self) -> list[Unit]:
        """Return fits and refinements, each once."""
        every = [fit for fit, _ in self.fits.values()] + [done.unit for done in self.refined]
        return list({unit.key: unit for unit in every}.values())

    def fit(self, experiment: Experiment, one: TrainingSet, arm: str) -> tuple[Unit, Unit]:
        """Return the fit of an arm, and its training selection."""
        return self.fits[experiment.name, one.design, one.replicate, arm]


def plan_methods(
    asked: RefinementConfiguration,
    experiments: Sequence[Experiment],
    kept: Sequence[str] = (),
) -> Work:
    """Return the units of all methods, experiments and training sets.

    Parameters
    ----------
    asked : RefinementConfiguration
    experiments : sequence of Experiment
    kept : sequence of str
        Names of systems whose adapted potential is kept.
    """
    work = Work()
    for experiment in experiments:
        methods = methods_of(asked, experiment)
        for one in experiment.sets:
            for method in methods:
                arm = arm_of(method)
                if arm is None or method == "both":
                    continue
                key = (experiment.name, one.design, one.replicate, arm)
                if key not in work.fits:
                    train, fit = arm_unit(asked, experiment, one, arm)
                    work.selections.append(train)
                    work.fits[key] = fit, train
                    work.costs[fit.key] = _fit_cost(asked, fit, arm)
                fit, train = work.fits[key]
                units = refinement_units(
                    asked, experiment, one, method, fit, train,
                    with_radius=method == "test_time" and "both" in methods,
                    kept=kept,
                )  # fmt: skip
                for unit in units:
                    work.refined.append(Refined(experiment, one, unit))
                    work.costs[unit.key] = _refinement_cost(asked, unit, method)
    return work


def methods_of(asked: RefinementConfiguration, experiment: Experiment) -> list[str]:
    """Return the methods of an experiment, those of its further priors included."""
    methods = list(asked.methods_of(experiment.name))
    if "both" in methods and "test_time" not in methods:
        methods.append("test_time")
    for prior in experiment.priors[1:]:
        methods += [f"{name}_{prior}" for name in ("joint", "test_time") if name in methods]
    return methods


def _fit_cost(asked: RefinementConfiguration, fit: Unit, arm: str) -> float:
    if fit.kind != "arm":
        return 0.0
    training = fit.parameters["training"]
    passes = training["n_updates"] * training["batch_size"]
    return passes * EFFORT.get(arm.split("_")[0], 1.0) * SECONDS_PER_STRUCTURE


def _refinement_cost(asked: RefinementConfiguration, unit: Unit, method: str) -> float:
    n = len(unit.parameters["systems"])
    kind = kind_of(method)
    if kind == "test_time":
        batch = asked.test_time.batch_size
        return 1.0 + n * asked.test_time.n_steps * batch * SECONDS_PER_STRUCTURE
    if kind == "fine_tune":
        training, half = unit.parameters["training"], 0
        for adapted, _ in unit.parameters["systems"].values():
            half = max(half, len(adapted))
        sizes = [min(k, training["batch_size"]) for k in unit.parameters["n"] if k <= half]
        return 1.0 + n * training["n_updates"] * sum(sizes) * SECONDS_PER_STRUCTURE
    return 1.0
