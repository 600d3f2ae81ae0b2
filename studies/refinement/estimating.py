"""What a study of refinement would do and cost, without doing it."""

from __future__ import annotations

from typing import Any

from ...training import TrainingConfig
from ...training.refinement import FINE_TUNING
from ..pool import SECONDS
from .finished import SHIFTS as HOLD_OUTS
from .finished import study_plan
from .fits import EFFORT, arm_of
from .methods import SECONDS_PER_STRUCTURE
from .pools import SHIFTS, SPARE
from .question import RefinementConfiguration
from .refining import kind_of
from .simulating import SECONDS_PER_STEP
from .trajectories import MOLECULES, SECONDS_PER_LABEL, training_triples


def estimate(asked: RefinementConfiguration, *, workers: int) -> dict[str, Any]:
    """Return what a study would do and about how long it would take.

    Times are those of a core of 2024 and a potential of 64 features, on the CPU.
    """
    labels = 0
    seconds = {"labels": 0.0, "fits": 0.0, "refinements": 0.0, "dynamics": 0.0}
    fits = refinements = 0
    told: dict[str, str] = {}
    for name, section in asked.experiments().items():
        sets, systems, n_labels, per_label = _sizes(asked, name)
        methods = list(asked.methods_of(name))
        priors = len(asked.pools.priors) if name == "pools" and asked.pools else 1
        arms = {arm for arm in map(arm_of, methods) if arm is not None}
        training = asked.training_of(name)
        if asked.models is not None:
            training = TrainingConfig(**study_plan(asked.models.run)["configuration"]["training"])
            arms.discard("none")
        passes = training.n_updates * training.batch_size * SECONDS_PER_STRUCTURE
        effort = sum(EFFORT.get(arm.split("_")[0], 1.0) for arm in arms)
        effort += (priors - 1) * EFFORT["joint"] * ("joint" in arms)
        adapted = sum(kind_of(m) == "test_time" for m in methods)
        adapted += (priors - 1) * ("test_time" in methods)
        half = section.n_structures // 2
        steps = asked.test_time.n_steps * min(asked.test_time.batch_size, half)
        tuned = sum(min(n, FINE_TUNING.batch_size) for n in asked.fine_tune.n if n <= half)
        tuned *= asked.fine_tune.training.get("n_updates", FINE_TUNING.n_updates)
        work = adapted * steps + tuned * ("fine_tune" in methods)
        labels += n_labels
        fits += sets * (len(arms) + priors - 1)
        refinements += sets * systems * len(methods)
        seconds["labels"] += n_labels * per_label
        seconds["fits"] += sets * effort * passes
        seconds["refinements"] += sets * systems * work * SECONDS_PER_STRUCTURE
        told[name] = f"{sets} training sets, {systems} systems, methods {', '.join(methods)}"
    if asked.dynamics is not None:
        runs = asked.replicates * len(asked.dynamics.systems) * len(asked.dynamics.methods)
        seconds["dynamics"] = runs * asked.dynamics.n_steps * SECONDS_PER_STEP
    width = max(1.0, int(asked.potential.get("n_features", 64)) / 64)
    total = sum(seconds.values()) * width
    return {
        **told,
        "labels_at_most": labels,
        "fits": fits,
        "refinements_at_most": refinements,
        "workers": workers,
        "core_hours": round(total / 3600, 3),
        "minutes": round(total / workers / 60 + 0.5, 1),
    }


def _sizes(asked: RefinementConfiguration, name: str) -> tuple[int, int, int, float]:
    """Return training sets, systems of each, labels at most, and seconds for a label."""
    if name == "pools":
        assert asked.pools is not None
        section = asked.pools
        systems = (len(SHIFTS) - 1) * section.n_tested + section.n_in_distribution
        train = asked.replicates * section.n_trained * section.n_conformers
        tested = systems * section.n_structures * SPARE
        return asked.replicates, systems, round(train + tested), SECONDS["label"]
    if name == "rmd17":
        assert asked.rmd17 is not None
        triples = training_triples(asked.rmd17, asked.seed)
        sets = asked.replicates if len(triples) == 1 else len(triples)
        trained = len(asked.rmd17.trained)
        new = len(asked.rmd17.tested) if len(triples) == 1 and asked.rmd17.tested else 0
        systems = trained + (new or len(MOLECULES) - trained)
        train = sets * trained * asked.rmd17.n_trained
        n = min(train, 10_000) + min(systems, 10) * asked.rmd17.n_structures
        return sets, systems, n, SECONDS_PER_LABEL
    if name == "acac":
        assert asked.acac is not None
        n = asked.replicates * asked.acac.n_trained + 2 * asked.acac.n_structures + 60
        return asked.replicates, 4, n, SECONDS_PER_LABEL
    assert asked.models is not None
    plan = study_plan(asked.models.run)["configuration"]
    cells = sum(
        len(set(plan[experiment][axis]))
        for experiment, axis in (
            ("fixed_budget", "n_molecules"),
            ("fixed_molecules", "n_conformers"),
        )
        if plan.get(experiment)
    )
    return cells * plan["replicates"], len(HOLD_OUTS) * asked.models.n_tested, 0, 0.0
