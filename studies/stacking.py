"""Fits that are trained at once: which go together, and the units that train them.

The plan decides: fits of equal shape are dealt to stacks in the order in which the plan has them,
so that a run that goes on, or that other workers do, repeats itself bit for bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..diversity import ConfigurationError
from ..training import Member, TrainingConfig, fit_stack, save_potential
from ..training.batches import DENSE_ATOMS
from ..training.potentials import Potential
from ..training.stacks.memory import free_memory, stack_size
from .models import checkpoints, curve, monitored, note_divergence
from .plan import PLAN
from .pool import by_id, read_set, rows_by_id, selected
from .store import Store
from .units import Unit, canonical

#: Models that are trained at once: a number, or 'auto'.
Stack = int | Literal["auto"]
_FAULTS = "faults.json"


def largest_atoms(heavy: int) -> int:
    """Return the atoms of the largest molecule of so many heavy atoms: a saturated chain's."""
    return 3 * heavy + 2


def planned_stack(
    asked: Stack,
    out: Path | None,
    potential: Mapping[str, Any],
    training: TrainingConfig,
    heavy: int,
    workers: int = 1,
) -> Stack:
    """Return how many models a plan trains at once, as it is written in the plan.

    'auto' in a plan is one at a time. Where a GPU is there when the plan is made, 'auto' becomes
    the number that fits into a worker's part of its free memory, and whatever goes on with the
    folder takes that number.

    Parameters
    ----------
    asked : int or 'auto'
    out : Path or None
        Folder of the study, whose plan counts where there is one.
    potential : mapping
    training : TrainingConfig
    heavy : int
        Heavy atoms of the largest molecules that are trained on.
    workers : int
        Processes that share the GPU.
    """
    planned: Stack | None = None
    if out is not None and (out / PLAN).exists():
        try:
            there = json.loads((out / PLAN).read_text())["configuration"].get("stack", "auto")
        except (ValueError, KeyError, TypeError, AttributeError):
            there = "auto"  # the plan is damaged, or another study's: opening it tells so
        planned = there if isinstance(there, int) else "auto"
    if asked != "auto":
        # One at a time is 'auto' in a plan; against a plan of more it stays what it is, to be told.
        return "auto" if asked == 1 and planned in (None, "auto") else asked
    if planned is not None:
        return planned
    if training.device == "cpu" or training.random_cutoff or not torch.cuda.is_available():
        return "auto"
    found = stack_size(
        potential,
        batch_size=training.batch_size,
        n_atoms=largest_atoms(heavy),
        device="cuda",
        memory=free_memory("cuda"),
        workers=workers,
    )
    return found if found > 1 else "auto"


def check_stack(asked: Stack, training: TrainingConfig, heavy: int) -> None:
    """Raise where models cannot be trained at once, before any work is done.

    Raises
    ------
    ConfigurationError
        It says why.
    """
    if asked in ("auto", 1):
        return
    if training.random_cutoff is not None:
        raise ConfigurationError(
            "stack: models with random cutoffs are trained one by one; leave stack out."
        )
    most = largest_atoms(heavy)
    if most > DENSE_ATOMS:
        raise ConfigurationError(
            f"stack: molecules of {heavy} heavy atoms can have {most} atoms, and models that are "
            f"trained at once take {DENSE_ATOMS} at most. Leave stack out, or train on smaller "
            "molecules."
        )


def in_stacks(fits: Sequence[Unit], size: int) -> tuple[list[Unit], list[Unit]]:
    """Deal fits to stacks of at most so many models of equal shape.

    Parameters
    ----------
    fits : sequence of Unit
        By `fit_unit`, in the plan's order; one may stand there more than once.
    size : int
        Models at once; with 1 nothing changes.

    Returns
    -------
    members : list of Unit
        In place of the fits: those that read a stack, or the fit itself where it has none to
        share one with.
    stacks : list of Unit
    """
    groups: dict[str, dict[str, Unit]] = {}
    for fit in fits:
        shape = canonical([fit.parameters, fit.inputs["pool"], fit.inputs["monitor"]])
        groups.setdefault(shape, {})[fit.key] = fit
    members: dict[str, Unit] = {}
    stacks = []
    for group in groups.values():
        alike = list(group.values())
        # As equal as they can be: none is left over alone where others are full.
        for part in np.array_split(np.arange(len(alike)), -(-len(alike) // max(1, size))):
            if len(part) < 2:
                continue
            together = [alike[i] for i in part]
            stack = stack_unit(together)
            stacks.append(stack)
            members |= {fit.key: _member(fit, stack, k) for k, fit in enumerate(together)}
    return [members.get(fit.key, fit) for fit in fits], stacks


def stack_unit(fits: Sequence[Unit]) -> Unit:
    """Return the unit that trains the models of fits of equal shape at once."""
    first = fits[0]
    inputs = {role: first.inputs[role] for role in ("pool", "monitor")}
    inputs |= {f"train/{k:03d}": fit.inputs["train"] for k, fit in enumerate(fits)}
    parameters = {**first.parameters, "seeds": [fit.seed for fit in fits]}
    return Unit("stack", 1, parameters, inputs)


def _member(fit: Unit, stack: Unit, place: int) -> Unit:
    """Return the unit that takes a fit's model from its stack, and else stands for the fit."""
    parameters = {**fit.parameters, "member": place}
    return Unit("member", 1, parameters, {**fit.inputs, "stack": stack.key}, fit.seed)


def run_stack(unit: Unit, store: Store, folder: Path) -> None:
    """Train models at once; each gets a folder, those that diverged a line in a file."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    config = TrainingConfig(**asked["training"])
    pool = read_set(store, unit.inputs["pool"])
    watched = by_id(pool, selected(store, unit.inputs["monitor"]))

    def monitor(member: int, update: int, potential: Potential) -> dict[str, float]:
        return {"monitor_force_mae": monitored(potential, watched, asked["level"])}

    found = fit_stack(
        asked["potential"],
        pool,
        [
            Member(rows_by_id(pool, selected(store, unit.inputs[f"train/{k:03d}"])), seed)
            for k, seed in enumerate(asked["seeds"])
        ],
        level=asked["level"],
        config=config,
        directory=store.partial(unit),
        monitor=monitor,
        monitor_at=checkpoints(config.n_updates),
    )
    for place, result in enumerate(found.results):
        if place not in found.faults:
            own = folder / f"{place:03d}"
            save_potential(own / "potential", result.potential, {"level": asked["level"]})
            curve(result.history).to_netcdf(own / "curve.nc", engine="h5netcdf")
    (folder / _FAULTS).write_text(json.dumps(found.faults))


def run_member(unit: Unit, store: Store, folder: Path) -> None:
    """Take a model's weights and training curve, or why it diverged, from its stack."""
    stack, place = store.folder(unit.inputs["stack"]), unit.parameters["member"]
    fault = json.loads((stack / _FAULTS).read_text()).get(str(place))
    if fault is not None:
        note_divergence(folder, fault)
        return
    shutil.copytree(stack / f"{place:03d}", folder, dirs_exist_ok=True)
