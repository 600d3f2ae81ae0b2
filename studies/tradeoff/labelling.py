"""From molecules to a labelled pool: only what some cell trains on or is tested on is labelled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from ...diversity import ConformerSet, concat
from ...sampling.high_forces import high_forces
from ..executor import run_units
from ..pool import SECONDS, geometry_units, label_unit, read_aside, rows_by_id
from ..pooling import counter, pool_unit, sample
from ..store import Store
from ..units import Unit
from .cells import Cell, choose_molecules, hold_out, plan_cells, test_ids, training_ids
from .question import TradeoffConfiguration

Progress = Callable[[str, float, float], None]


def label_cells(
    asked: TradeoffConfiguration, store: Store, executor: Executor, tell: Progress
) -> tuple[list[Cell], Unit]:
    """Generate geometries, plan the cells and label what they need; fill up where labels fail."""
    units = geometry_units(
        choose_molecules(asked),
        n_conformers=asked.pool.n_conformers,
        settings=asked.pool.settings(),
        seed=asked.seed,
    )
    made = sample(store, units, executor, tell)
    sets = {u.key: s for u, s in zip(units, made, strict=True) if s is not None}
    geometries = concat(list(sets.values()))
    home = {i: key for key, s in sets.items() for i in s.id.astype("U32").tolist()}
    by_key = {unit.key: unit for unit in units}

    done: dict[str, Unit] = {}
    failed: set[str] = set()
    labelled: set[str] = set()
    while True:
        usable = ~np.isin(geometries.id.astype("U32"), sorted(failed))
        cells = plan_cells(asked, hold_out(asked, geometries.select(usable)))
        tested = test_ids(cells)
        wanted = (training_ids(cells) | tested) - labelled
        if not wanted:
            break
        chunks: dict[str, list[str]] = {}
        for i in sorted(wanted):
            chunks.setdefault(home[i], []).append(i)
        fresh = [
            label_unit(by_key[key], ids, engine=asked.pool.engine, prior=asked.pool.prior)
            for key, ids in chunks.items()
        ]
        costs = {u.key: SECONDS["label"] * len(u.parameters["ids"]) for u in fresh}
        run_units(store, fresh, executor, costs=costs, progress=counter(tell, "labels", len(fresh)))
        for unit in fresh:
            done[unit.key] = unit
            level = asked.pool.engine
            aside = [a.record for a in read_aside(store, unit.key) if a.reason.startswith(level)]
            failed.update(aside)
            labelled.update(unit.parameters["ids"])
    atoms, pool = pool_unit(store, list(done.values()), asked.pool.engine)
    run_units(store, [atoms, pool], executor)
    return cells, pool


def with_high_forces(
    asked: TradeoffConfiguration, cells: list[Cell], pool: ConformerSet
) -> list[Cell]:
    """Add the hold-out of high forces, which needs labels: one set for all cells."""
    if not asked.hold_outs.high_forces:
        return cells
    train = rows_by_id(pool, sorted(training_ids(cells)))
    unseen = rows_by_id(pool, cells[0].tests["unseen_molecules"])
    found = high_forces(pool, train, unseen, level=asked.pool.engine)
    high = tuple(pool.id[found].astype("U32").tolist())
    if not high:
        return cells
    return [replace(cell, tests={**cell.tests, "high_forces": high}) for cell in cells]
