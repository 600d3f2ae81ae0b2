"""What each design's training sets are: their measures, their size and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
import xarray as xr

from ..executor import run_unit, run_units
from ..measuring import gather_measures, measures_unit
from ..pool import selection_unit
from ..pooling import counter
from ..store import Store
from ..units import Unit
from .cells import Cell, Progress
from .question import TradeoffConfiguration


def measure_cells(
    asked: TradeoffConfiguration,
    cells: Sequence[Cell],
    pool: Unit,
    store: Store,
    executor: Executor,
    tell: Progress,
) -> xr.DataArray:
    """Measure every training set, and return measures by design and replicate."""
    units = {}
    for cell in cells:
        train = selection_unit(cell.train)
        run_unit(store.root, train)
        units[cell.spec.cell, cell.replicate] = measures_unit(
            pool=pool, train=train, level=asked.pool.engine, seed=asked.seed
        )
    unique = list({unit.key: unit for unit in units.values()}.values())
    run_units(store, unique, executor, progress=counter(tell, "measures", len(unique)))
    return gather_measures(store, units, asked.designs(), asked.replicates)


def training_costs(
    asked: TradeoffConfiguration, cells: Sequence[Cell]
) -> dict[str, tuple[tuple[str, str], np.ndarray, dict[str, str]]]:
    """Return training conformers and labels by design and replicate, as variables of results."""
    by_cell = {(cell.spec.cell, cell.replicate): cell for cell in cells}
    rows = [
        [by_cell[spec.cell, replicate] for replicate in range(asked.replicates)]
        for spec in asked.designs()
    ]
    variables = {
        "n_train": ("conformers trained on", [[len(c.train) for c in row] for row in rows]),
        "n_labels": (
            "reference labels that the training set costs: those trained on, and those that its "
            "selectors read",
            [[c.n_labels for c in row] for row in rows],
        ),
    }
    return {
        name: (
            ("design", "replicate"),
            np.array(counts),
            {"units": "1", "long_name": text, "missing": "none"},
        )
        for name, (text, counts) in variables.items()
    }
