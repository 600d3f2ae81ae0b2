"""Every cell fitted, with all updates and with a quarter of them, and what it predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
import xarray as xr

from ...diversity.randomness import ordering
from ..executor import counted, run_unit, run_units
from ..models import divergence, fit_unit, predictions_unit
from ..pool import selection_unit
from ..predictions import Evaluation
from ..results import load
from ..specs import CELL_FIELDS
from ..stacking import in_stacks
from ..store import Store
from ..units import Unit
from .cells import Cell, Progress, replicate_seed
from .question import TradeoffConfiguration

#: Share of the updates of the second fit of every cell, which tells what more updates would do.
QUARTER = 0.25
#: Measured seconds of one core per update and structure of a batch, at most 64 features.
SECONDS_PER_STRUCTURE = 0.0012


def fit_cells(
    asked: TradeoffConfiguration,
    cells: list[Cell],
    pool: Unit,
    store: Store,
    executor: Executor,
    tell: Progress,
) -> list[tuple[Evaluation, Unit]]:
    """Fit every cell with all updates and with a quarter of them, and predict its hold-outs.

    A fit that diverges is finished too: `breadth.studies.tradeoff.diverged` tells which did.
    """
    unseen = cells[0].tests["unseen_molecules"]
    watched = [unseen[i] for i in ordering(f"{asked.seed} monitor", unseen)[: asked.n_monitor]]
    monitor = selection_unit(watched)
    selections, alone, evaluated = [monitor], [], []
    for cell in cells:
        train = selection_unit(cell.train)
        test = selection_unit(sorted({i for ids in cell.tests.values() for i in ids}))
        selections += [train, test]
        for fraction in (1.0, QUARTER):
            n_updates = max(1, math.ceil(fraction * asked.training.n_updates))
            alone.append(
                fit_unit(
                    pool=pool,
                    train=train,
                    monitor=monitor,
                    potential=asked.potential,
                    training=asked.training.model_copy(update={"n_updates": n_updates}),
                    level=asked.pool.engine,
                    threads=asked.threads,
                    seed=replicate_seed(asked, cell.replicate),
                )
            )
            evaluated.append((cell, fraction, test))
    models, stacks = in_stacks(alone, asked.models_at_once)
    costs = {unit.key: fit_seconds(unit) for unit in (*alone, *stacks)}
    fits, units = [], [*stacks]
    for (cell, fraction, test), model in zip(evaluated, models, strict=True):
        predicted = predictions_unit(fit=model, pool=pool, test=test, threads=asked.threads)
        costs |= {model.key: costs.get(model.key, 0.0), predicted.key: 1.0}
        units += [model, predicted]
        evaluation = Evaluation(predicted.key, cell.spec, cell.replicate, fraction, cell.tests)
        fits.append((evaluation, model))
    for selection in selections:
        run_unit(store.root, selection)
    unique = list({unit.key: unit for unit in units}.values())
    count = counted(tell, "fits", sum(costs[unit.key] for unit in unique))
    run_units(store, unique, executor, costs=costs, progress=count)
    return fits


def fit_seconds(unit: Unit) -> float:
    """Return about how long a unit that trains takes on a core: models at once one by one there."""
    training, n = unit.parameters["training"], len(unit.parameters.get("seeds", [unit.seed]))
    return float(n * training["n_updates"] * training["batch_size"] * SECONDS_PER_STRUCTURE)


def training_curves(store: Store, fits: Sequence[tuple[Evaluation, Unit]]) -> xr.Dataset:
    """Join the training curves of all fits; the layout is that of `figures.training_curves`.

    Those of models that diverged are left out.
    """
    fits = [(e, fit) for e, fit in fits if divergence(store, e.predictions) is None]
    curves = [load(store.folder(fit.key) / "curve.nc") for _, fit in fits]
    # Short fits have fewer checkpoints; a coordinate to align along fills theirs up with NaN.
    curves = [c.assign_coords(checkpoint=np.arange(c.sizes["checkpoint"])) for c in curves]
    curve = xr.concat(curves, dim="model", join="outer")
    rows = [evaluation for evaluation, _ in fits]
    return curve.assign_coords(
        {name: ("model", [getattr(e.spec, name) for e in rows]) for name in CELL_FIELDS}
        | {
            name: ("model", [getattr(e, name) for e in rows])
            for name in ("replicate", "updates_fraction")
        }
    ).assign_attrs(monitor="unseen_molecules")
