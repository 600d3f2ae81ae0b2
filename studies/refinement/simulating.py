"""Which systems have dynamics and surfaces, and the units of all of them."""

from __future__ import annotations

from collections.abc import Sequence

from ..units import Unit
from .dynamics import dynamics_units
from .methods import Work
from .potentials import REFERENCE
from .question import RefinementConfiguration
from .surfaces import surface_unit
from .systems import Experiment

#: Measured seconds of one core per step of dynamics, of a potential and of GFN2-xTB.
SECONDS_PER_STEP, SECONDS_PER_REFERENCE_STEP = 0.0025, 0.015


def chosen_systems(
    asked: RefinementConfiguration, experiments: Sequence[Experiment]
) -> tuple[list[str], list[str]]:
    """Return the names of the systems with dynamics and with surfaces."""
    moving: list[str] = []
    seen: list[str] = []
    if asked.dynamics is not None:
        there = [s.name for e in experiments for s in e.systems]
        moving = [name for name in asked.dynamics.systems if name in there]
    if asked.surfaces is not None:
        by_shift: dict[str, list[str]] = {}
        for experiment in experiments:
            if experiment.name == "pools":
                for system in experiment.systems:
                    by_shift.setdefault(system.shift, []).append(system.name)
        # One of each shift in turn, the shifted ones first.
        queues = [by_shift[shift] for shift in sorted(by_shift, key=lambda s: s.startswith("in_"))]
        turns = max((len(queue) for queue in queues), default=0)
        ordered = [queue[i] for i in range(turns) for queue in queues if i < len(queue)]
        seen = ordered[: asked.surfaces.n_systems]
    return moving, seen


def plan_simulations(
    asked: RefinementConfiguration, experiments: Sequence[Experiment], work: Work
) -> dict[str, list[Unit]]:
    """Return the units of dynamics and of surfaces."""
    moving, seen = chosen_systems(asked, experiments)
    planned: dict[str, list[Unit]] = {"dynamics": [], "surface": []}
    for experiment in experiments:
        for system in experiment.systems:
            for one in experiment.sets:
                if system.name in moving and system.name in one.systems:
                    planned["dynamics"] += dynamics_units(asked, experiment, one, system, work)
            if system.name in seen:
                planned["surface"].append(surface_unit(asked, experiment, system, work))
    planned = {kind: list({u.key: u for u in units}.values()) for kind, units in planned.items()}
    for unit in planned["dynamics"]:
        steps = unit.parameters["settings"]["n_steps"]
        slow = unit.parameters["method"] == REFERENCE
        work.costs[unit.key] = steps * (SECONDS_PER_REFERENCE_STEP if slow else SECONDS_PER_STEP)
    work.costs |= {unit.key: 8.0 for unit in planned["surface"]}
    return planned
