"""Run the study: geometries → cells → labels → pool → fits → predictions → results → figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...analysis import measure_errors
from ...diversity import ConformerSet, DataError, concat
from ...diversity.randomness import ordering
from ...sampling.high_forces import high_forces
from ...training import build_potential
from ..contents import pool_contents
from ..executor import process_pool, run_unit, run_units
from ..models import fit_unit, predictions_unit
from ..plan import FINISHED, finished, open_plan
from ..pool import (
    SECONDS,
    geometry_units,
    label_unit,
    read_aside,
    read_set,
    rows_by_id,
    selection_unit,
)
from ..pooling import counter, link_pool, pool_unit, sample
from ..predictions import Evaluation, gather_predictions
from ..store import Store, replace_file
from ..units import Unit
from .cells import (
    Cell,
    choose_molecules,
    hold_out,
    plan_cells,
    replicate_seed,
    test_ids,
    training_ids,
)
from .question import TradeoffConfiguration

Progress = Callable[[str, float, float], None]

#: Share of the updates of the second fit of every cell, which tells what more updates would do.
QUARTER = 0.25
#: Measured seconds of one core per update and structure of a batch, at most 64 features.
_SECONDS_PER_STRUCTURE = 0.0012


def run_tradeoff(
    asked: TradeoffConfiguration,
    out: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run the study, or what of it is not finished, and return its results.

    Parameters
    ----------
    asked : TradeoffConfiguration
    out : Path
        Folder of the study. It gets ``plan.json``, ``units/``, ``pool`` (the labelled set),
        ``predictions.nc``, ``results.nc``, ``pool.nc``, ``curves.nc`` and ``figures/``.
    workers : int
        Processes; they change no number.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    xarray.Dataset
        ``results.nc``; see `breadth.analysis.measure_errors`.

    Raises
    ------
    ConfigurationError
        If the folder holds another study or is in use.
    ShortageError
        If designs or hold-outs cannot be filled.
    """
    asked.pool.check_engines()
    build_potential(**asked.potential)  # raises here if a hyper-parameter is wrong
    store = Store(out)
    with store.locked():
        open_plan(out, "tradeoff", asked, molecules=asked.pool.digest())
        if finished(out):
            return load(out / "results.nc")
        tell = progress or (lambda phase, done, total: None)
        with process_pool(workers, asked.threads) as executor:
            cells, pool_unit = _label(asked, store, executor, tell)
            pool = read_set(store, pool_unit.key)
            cells = _with_high_forces(asked, cells, pool)
            fits = _fit(asked, cells, pool_unit, store, executor, tell)
            tell("results and figures", 0.0, 1.0)
            results = _write_results(asked, out, store, pool, fits)
            link_pool(out, store.folder(pool_unit.key) / "set")
            # Matplotlib takes seconds for these: the workers draw one width each.
            drawn = [
                executor.submit(draw_figures, out, out / "figures", column="single"),
                executor.submit(draw_figures, out, out / "figures" / "double", column="double"),
            ]
            for future in drawn:
                future.result()
        replace_file(out / FINISHED, json.dumps({"fits": len(fits)}))
        tell("results and figures", 1.0, 1.0)
        return results


def _write_results(
    asked: TradeoffConfiguration,
    out: Path,
    store: Store,
    pool: ConformerSet,
    fits: list[tuple[Evaluation, Unit]],
) -> xr.Dataset:
    """Gather predictions, compute the errors, and write all that figures are drawn from."""
    predictions = gather_predictions(
        store,
        pool,
        [evaluation for evaluation, _ in fits],
        asked.designs(),
        level=asked.pool.engine,
        prior=asked.pool.prior,
    )
    results = measure_errors(predictions, random_state=asked.seed)
    results.attrs["study"] = json.dumps(asked.model_dump(mode="json"))
    save(predictions, out / "predictions.nc")
    save(results, out / "results.nc")
    save(pool_contents(pool, level=asked.pool.engine), out / "pool.nc")
    save(_curves(store, fits), out / "curves.nc")
    return results


def draw_figures(run: Path, directory: Path, *, column: Any = "single") -> list[Path]:
    """Draw the figures of a study whose results are written, and return their paths.

    Raises
    ------
    DataError
        If the folder has no results.
    """
    from ...analysis.figures import draw_all

    names = ("results", "predictions", "pool", "curves")
    missing = [f"{name}.nc" for name in names if not (run / f"{name}.nc").exists()]
    if missing:
        raise DataError(
            f"{run} has no {', '.join(missing)}: it is not the folder of a finished study."
        )
    results, predictions, contents, curves = (load(run / f"{name}.nc") for name in names)
    return draw_all(results, predictions, contents, curves, directory, column=column)


def estimate(asked: TradeoffConfiguration, *, workers: int) -> dict[str, Any]:
    """Return what a study would do and about how long it would take, without doing it.

    Times are those of a core of 2024 and a potential of 64 features, on the CPU.
    """
    n_designs, replicates = asked.designs(), asked.replicates
    n_cells = len({(m, c) for _, m, c in n_designs}) * replicates
    sizes = asked.hold_outs
    n_generated = len(choose_molecules(asked))
    held = 3 * sizes.n_molecules * sizes.n_conformers
    budgets = [m * c for _, m, c in n_designs]
    largest = max(budgets)
    tested = replicates * max(m for _, m, _ in n_designs) * sizes.n_conformers
    most = n_generated * asked.pool.n_conformers
    n_labels = min(most, held + min(2 * replicates * largest + tested, most))
    updates = n_cells * asked.training.n_updates * (1 + QUARTER)
    width = int(asked.potential.get("n_features", 64)) / 64
    seconds = {
        "geometries": n_generated * SECONDS["molecule"]
        + n_generated * asked.pool.n_conformers * SECONDS["geometry"],
        "labels": n_labels * SECONDS["label"],
        "fits": updates * asked.training.batch_size * _SECONDS_PER_STRUCTURE * max(1.0, width),
    }
    return {
        "designs": [f"{e}: {m} × {c}" for e, m, c in n_designs],
        "replicates": replicates,
        "molecules_sampled": n_generated,
        "geometries": most,
        "labels_at_most": n_labels,
        "level": asked.pool.engine,
        "fits": 2 * n_cells,
        "updates_in_all": round(updates),
        "workers": workers,
        "core_hours": round(sum(seconds.values()) / 3600, 3),
        "minutes": round(sum(seconds.values()) / workers / 60 + 0.5, 1),
    }


def _label(
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


def _with_high_forces(
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
    return [
        Cell(c.n_molecules, c.n_conformers, c.replicate, c.train, {**c.tests, "high_forces": high})
        for c in cells
    ]


def _fit(
    asked: TradeoffConfiguration,
    cells: list[Cell],
    pool: Unit,
    store: Store,
    executor: Executor,
    tell: Progress,
) -> list[tuple[Evaluation, Unit]]:
    """Fit every cell with all updates and with a quarter of them, and predict its hold-outs."""
    unseen = cells[0].tests["unseen_molecules"]
    watched = [unseen[i] for i in ordering(f"{asked.seed} monitor", unseen)[: asked.n_monitor]]
    monitor = selection_unit(watched)
    selections, fits, units = [monitor], [], []
    costs: dict[str, float] = {}
    for cell in cells:
        train = selection_unit(cell.train)
        test = selection_unit(sorted({i for ids in cell.tests.values() for i in ids}))
        selections += [train, test]
        for fraction in (1.0, QUARTER):
            n_updates = max(1, math.ceil(fraction * asked.training.n_updates))
            fit = fit_unit(
                pool=pool,
                train=train,
                monitor=monitor,
                potential=asked.potential,
                training=asked.training.model_copy(update={"n_updates": n_updates}),
                level=asked.pool.engine,
                threads=asked.threads,
                seed=replicate_seed(asked, cell.replicate),
            )
            predicted = predictions_unit(fit=fit, pool=pool, test=test, threads=asked.threads)
            costs[fit.key] = n_updates * asked.training.batch_size * _SECONDS_PER_STRUCTURE
            costs[predicted.key] = 1.0
            units += [fit, predicted]
            evaluation = Evaluation(
                predicted.key,
                cell.n_molecules,
                cell.n_conformers,
                cell.replicate,
                fraction,
                cell.tests,
            )
            fits.append((evaluation, fit))
    for selection in selections:
        run_unit(store.root, selection)
    unique = list({unit.key: unit for unit in units}.values())
    total = sum(costs[unit.key] for unit in unique)
    passed = 0.0

    def count(unit: Unit, cost: float) -> None:
        nonlocal passed
        passed += cost
        tell("fits", passed, total)

    run_units(store, unique, executor, costs=costs, progress=count)
    return fits


def _curves(store: Store, fits: list[tuple[Evaluation, Unit]]) -> xr.Dataset:
    curves = [load(store.folder(fit.key) / "curve.nc") for _, fit in fits]
    # Short fits have fewer checkpoints; a coordinate to align along fills theirs up with NaN.
    curves = [c.assign_coords(checkpoint=np.arange(c.sizes["checkpoint"])) for c in curves]
    curve = xr.concat(curves, dim="model", join="outer")
    rows = [evaluation for evaluation, _ in fits]
    return curve.assign_coords(
        n_molecules=("model", [e.n_molecules for e in rows]),
        n_conformers=("model", [e.n_conformers for e in rows]),
        replicate=("model", [e.replicate for e in rows]),
        updates_fraction=("model", [e.updates_fraction for e in rows]),
    ).assign_attrs(monitor="unseen_molecules")


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a Dataset as NetCDF, aside and renamed."""
    aside = path.with_name(f".{path.name}")
    compressed = {
        str(name): {"zlib": True, "complevel": 1}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind in "fiub" and variable.size > 1000
    }
    dataset.to_netcdf(aside, engine="h5netcdf", encoding=compressed)
    aside.replace(path)


def load(path: Path) -> xr.Dataset:
    """Read a Dataset whole."""
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()
