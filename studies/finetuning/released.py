"""Fine-tuning on released sets: which models are fitted, and on which frames they are tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from ...analysis.finetuning import finetuning_errors, foresee_arms
from ...analysis.finetuning.layout import UNIVERSAL
from ..executor import counted, given_or_pool, run_units
from ..models import predictions_unit
from ..plan import finish, finished, open_plan
from ..pool import selection_unit
from ..pooling import Tell
from ..refinement.systems import frames_unit, joined_unit
from ..results import draw_widths, load, save
from ..store import Store
from ..units import Unit
from .released_frames import read_released, tested_frames
from .released_models import gather_released
from .starting import tuning_of, universal_of

if TYPE_CHECKING:
    from .question import FinetuningConfiguration

#: Seconds of one core for CHGNet on a frame of 197 atoms: an update with it, and its forces.
SECONDS = {"update": 1.6, "forces": 0.5, "scores": 30.0}
ONE_TRAJECTORY = (
    "One trajectory stands behind each arm of the released sets: seeds are no replicates of the "
    "dynamics, and intervals over them say nothing of other trajectories."
)


@dataclass(frozen=True)
class ReleasedModel:
    """A model, and the units behind it."""

    arm: str
    iteration: int
    replicate: int
    n_frames: int
    fit: Unit
    predictions: Unit
    scores: Unit | None = None

    @property
    def units(self) -> list[Unit]:
        """All that is to be run for it."""
        return [u for u in (self.fit, self.predictions, self.scores) if u is not None]


@dataclass(frozen=True)
class ReleasedPlan:
    """All units: frames, their set, and the models, those of the first seed first."""

    frames: list[Unit]
    data: Unit
    selections: dict[str, Unit]
    tested: dict[str, tuple[str, ...]]
    models: list[ReleasedModel]

    def costs(self) -> dict[str, float]:
        """Return about how many seconds of one core each unit takes."""
        costs = {}
        for model in self.models:
            n = sum(map(len, self.tested.values()))
            costs[model.predictions.key] = n * SECONDS["forces"]
            if model.scores is not None:
                training = model.fit.parameters["training"]
                batch = min(training["batch_size"], model.n_frames)
                costs[model.fit.key] = training["n_updates"] * batch * SECONDS["update"]
                costs[model.scores.key] = SECONDS["scores"]
        return costs


def plan_released(asked: FinetuningConfiguration) -> ReleasedPlan:
    """Read the sets and return the units of all models.

    Parameters
    ----------
    asked : FinetuningConfiguration
        With ``released``; see `ReleasedSection` for what else counts. Its seed is that of the
        choice of tested frames, and the root of the seeds of fits.

    Raises
    ------
    ConfigurationError
        See :func:`~.released_frames.read_released`.
    """
    section = asked.released
    assert section is not None
    sets = read_released(section, level=asked.engine)
    tested = tested_frames(sets, n_tested=section.n_tested, seed=asked.seed)
    every = [i for ids in tested.values() for i in ids]
    frames, taken = [], set[str]()
    for one in sets:
        new = [i for i in one.ids if i not in taken]
        taken.update(new)
        if new:
            frames.append(frames_unit(one.path, new, digest=one.digest, level=asked.engine))
    data = joined_unit(frames)
    common = {"universal": universal_of(asked), "threads": asked.threads}
    start = Unit("released_universal", 1, {**common, "level": None})
    whole = selection_unit(every)
    selections = {whole.key: whole}

    def predictions(fit: Unit, test: Unit) -> Unit:
        return predictions_unit(fit=fit, pool=data, test=test, threads=asked.threads)

    models = [ReleasedModel(UNIVERSAL, 0, -1, 0, start, predictions(start, whole))]
    parameters = {
        **common,
        "level": asked.engine,
        "what": asked.fine_tuning.what,
        "training": tuning_of(asked).model_dump(mode="json"),
    }
    scored = {
        "descriptor": asked.descriptor,
        "n_components": asked.n_components,
        "threads": asked.threads,
    }
    for replicate in range(asked.replicates):
        for one in sets:
            if one.iteration not in section.iterations:
                continue
            train = selection_unit(one.ids)
            test = selection_unit(i for i in every if i not in one.ids)
            selections |= {train.key: train, test.key: test}
            inputs = {"data": data.key, "train": train.key}
            fit = Unit("released_fit", 1, parameters, inputs, asked.seed + replicate)
            scores = Unit(
                "released_scores", 1, scored, {**inputs, "test": test.key, "universal": start.key}
            )
            place = (one.arm, one.iteration, replicate, len(one.ids))
            models.append(ReleasedModel(*place, fit, predictions(fit, test), scores))
    return ReleasedPlan(frames, data, selections, tested, models)


def run_released(
    asked: FinetuningConfiguration,
    out: Path,
    draw: Callable[..., Any],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Tell | None = None,
    figures: bool = True,
) -> xr.Dataset:
    """Run the study of released sets, or what of it is not finished, and return its results.

    A seed at a time, so that an interrupted study holds whole comparisons.

    Parameters
    ----------
    asked : FinetuningConfiguration
        With ``released``.
    out : Path
        Folder of the study. It gets ``plan.json``, ``units/``, ``predictions.nc``, ``results.nc``,
        ``foresight.nc`` and ``figures/``.
    draw : callable
        ``draw(run, directory, column=…)``.
    workers, executor, progress, figures
        See :func:`~.run.run_finetuning`.
    """
    store, tell = Store(out), progress or (lambda phase, done, total: None)
    with store.locked():
        plan = plan_released(asked)
        open_plan(out, "finetuning", asked, data=plan.data.key)
        if finished(out):
            return load(out / "results.nc")
        costs = plan.costs()
        count = counted(tell, "fine-tuning on released sets", sum(costs.values()))
        with given_or_pool(executor, workers, asked.threads) as executor:
            run_units(store, plan.frames, executor)
            run_units(store, [plan.data, *plan.selections.values()], executor)
            for replicate in sorted({model.replicate for model in plan.models}):
                todo = {u.key: u for m in plan.models if m.replicate == replicate for u in m.units}
                run_units(store, todo.values(), executor, costs=costs, progress=count)
            predictions = gather_released(store, plan, level=asked.engine)
            results = finetuning_errors(predictions, random_state=asked.seed)
            results.attrs["study"] = json.dumps(asked.model_dump(mode="json"))
            results.attrs["warnings"] = json.dumps([ONE_TRAJECTORY])
            save(predictions, out / "predictions.nc")
            save(results, out / "results.nc")
            save(foresee_arms(predictions, random_state=asked.seed), out / "foresight.nc")
            if figures:
                draw_widths(draw, out, executor)
        finish(out, workers=workers, fits=len(plan.models) - 1)
        return results


def estimate_released(asked: FinetuningConfiguration, *, workers: int) -> dict[str, Any]:
    """Return what a study of released sets would do and about how long it would take."""
    plan = plan_released(asked)
    seconds = sum(plan.costs().values())
    return {
        "universal_model": asked.potential,
        "sets": sorted({f"{m.arm} {m.n_frames}" for m in plan.models if m.scores is not None}),
        "tested_frames": {arm: len(ids) for arm, ids in plan.tested.items()},
        "fits": len(plan.models) - 1,
        "updates": sum(
            m.fit.parameters["training"]["n_updates"] for m in plan.models if m.scores is not None
        ),
        "workers": workers,
        "core_minutes": round(seconds / 60, 2),
        "minutes": round(seconds / workers / 60 + 0.5, 1),
    }
