"""What a study of fine-tuning would do and cost, without doing it."""

from __future__ import annotations

from typing import Any

from .arms import plan_arms, unit_counts
from .question import FinetuningConfiguration
from .released import estimate_released
from .starting import name_of


def estimate(asked: FinetuningConfiguration, *, workers: int) -> dict[str, Any]:
    """Return what a study would do and about how long it would take.

    Times are those of a core of 2024, SO3LR and a molecule of about fifteen atoms.
    """
    if asked.released is not None:
        return estimate_released(asked, workers=workers)
    work = plan_arms(asked)
    units = {unit.key: unit for unit in work.units()}
    runs = [unit for unit in units.values() if unit.kind == "exploration"]
    steps = sum(u.parameters["settings"]["n_steps"] for u in runs if "engine" not in u.parameters)
    labels = sum(u.parameters["n"] for u in units.values() if u.kind == "visited")
    seconds: dict[str, float] = {}
    for key, cost in work.costs.items():
        kind = units[key].kind
        seconds[kind] = seconds.get(kind, 0.0) + cost
    total = sum(seconds.values())
    timestep = asked.dynamics.timestep
    return {
        "system": name_of(asked),
        "universal_model": asked.potential,
        "arms": ", ".join(asked.arms),
        "frames_of_each_iteration": list(asked.n_frames),
        "replicates": asked.replicates,
        "runs": len(runs),
        "steps_of_models": steps,
        "simulated_ps": round(steps * timestep / 1000, 3),
        "labels_at_most": labels,
        "fits": unit_counts(work).get("fine_tuned", 0),
        "workers": workers,
        "core_minutes": {kind: round(value / 60, 2) for kind, value in seconds.items()},
        "minutes": round(total / workers / 60 + 0.5, 1),
    }
