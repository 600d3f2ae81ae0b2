"""From molecules to a labelled pool: only what some cell trains on or is tested on is labelled."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from ...diversity import ConformerSet, concat
from ...sampling.high_forces import high_forces
from ..executor import run_units
from ..pool import SECONDS, geometry_units, label_unit, read_aside, read_set, rows_by_id
from ..pooling import counter, pool_unit, sample
from ..store import Store
from ..units import Unit
from .cells import (
    Cell,
    Progress,
    choose_molecules,
    hold_out,
    plan_cells,
    replicate_seed,
    test_ids,
    training_ids,
)
from .question import TradeoffConfiguration
from .selecting import labels_read, level_read, study_features


def label_cells(
    asked: TradeoffConfiguration, store: Store, executor: Executor, tell: Progress
) -> tuple[list[Cell], Unit]:
    """Generate geometries, plan the cells and label what they need; fill up where labels fail.

    What selectors read is labelled before: at the prior's level, or at the engine's where the
    budget is charged. A geometry that has no such label is no candidate of any design.
    """
    units = geometry_units(
        choose_molecules(asked),
        n_conformers=asked.pool.n_conformers,
        settings=asked.pool.settings(),
        seed=asked.seed,
    )
    made = sample(store, units, executor, tell)
    sets = [(unit, s) for unit, s in zip(units, made, strict=True) if s is not None]
    geometries = concat([s for _, s in sets])
    home = {i: unit for unit, s in sets for i in s.id.astype("U32").tolist()}
    features = study_features(asked, geometries)
    states = [replicate_seed(asked, replicate) for replicate in range(asked.replicates)]
    engine, prior, level = asked.pool.engine, asked.pool.prior, level_read(asked)

    def label(ids: set[str], at: str, beside: str | None) -> tuple[list[Unit], set[str]]:
        """Label geometries; return the units, and the ids that have no label at the level."""
        chunks: dict[str, list[str]] = {}
        for i in sorted(ids):
            chunks.setdefault(home[i].key, []).append(i)
        fresh = [
            label_unit(home[chunk[0]], chunk, engine=at, prior=beside) for chunk in chunks.values()
        ]
        costs = {u.key: SECONDS["label"] * len(u.parameters["ids"]) for u in fresh}
        phase = "labels" if at == engine else "prior labels"
        run_units(store, fresh, executor, costs=costs, progress=counter(tell, phase, len(fresh)))
        return fresh, {
            aside.record
            for unit in fresh
            for aside in read_aside(store, unit.key)
            if aside.reason.startswith(at)
        }

    done: dict[str, Unit] = {}
    failed: set[str] = set()
    labelled: set[str] = set()
    read: set[str] = set()
    while True:
        usable = ~np.isin(geometries.id.astype("U32"), sorted(failed))
        partition = hold_out(asked, geometries.select(usable))
        unread = labels_read(asked, partition, states) - read
        if unread and level is not None:
            fresh, lost = label(unread, level, prior if level == engine else None)
            others = ~np.isin(geometries.id.astype("U32"), sorted(unread))
            written = [u.key for u in fresh if (store.folder(u.key) / "set").exists()]
            geometries = concat(
                [geometries.select(others), *(read_set(store, key) for key in written)]
            )
            read |= unread
            if level == engine:
                labelled |= unread
                done.update((unit.key, unit) for unit in fresh)
            failed |= lost
            continue
        cells = plan_cells(asked, partition, features, tell)
        wanted = (training_ids(cells) | test_ids(cells)) - labelled
        fresh, lost = label(wanted, engine, prior)
        labelled |= wanted
        done.update((unit.key, unit) for unit in fresh)
        if not lost:  # or designs and hold-outs are filled up with others
            break
        failed |= lost
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
