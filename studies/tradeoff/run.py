"""Run the study: geometries → cells → labels → pool → fits → predictions → results → figures."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import xarray as xr

from ...analysis import measure_errors, relate_measures
from ...analysis.outside import in_place_of_models
from ...diversity import ConformerSet, DataError
from ...training import build_potential
from ..contents import pool_contents
from ..executor import given_or_pool
from ..plan import finish, finished, open_plan
from ..pool import SECONDS, read_set
from ..pooling import link_pool
from ..predictions import Evaluation, gather_predictions
from ..results import draw_widths, load, save
from ..stacking import check_stack, planned_stack
from ..store import Store
from ..units import Unit
from .cells import Cell, Progress, choose_molecules
from .diverged import diverged_models, with_diverged
from .fits import QUARTER, SECONDS_PER_STRUCTURE, fit_cells, training_curves
from .labelling import label_cells, with_high_forces
from .outside import outside_models, with_outside
from .question import TradeoffConfiguration
from .selecting import check_selectors, level_read
from .training_sets import measure_cells, training_costs


def run_tradeoff(
    asked: TradeoffConfiguration,
    out: Path,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    figures: bool = True,
) -> xr.Dataset:
    """Run the study, or what of it is not finished, and return its results.

    Parameters
    ----------
    asked : TradeoffConfiguration
    out : Path
        Folder of the study. It gets ``plan.json``, ``units/``, ``pool`` (the labelled set),
        ``predictions.nc``, ``results.nc``, ``pool.nc``, ``curves.nc`` and ``figures/``.
    workers : int
        Processes; they change no number, but for `stack` 'auto' where a plan is made with a GPU,
        which they share.
    executor : concurrent.futures.Executor, optional
        Runs units instead of processes of its own; it is used and not closed.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    figures : bool, optional
        Draw them, for a paper's single and double columns; `draw_figures` can at any time.

    Returns
    -------
    xarray.Dataset
        ``results.nc``; see `breadth.analysis.measure_errors`.

    Raises
    ------
    ConfigurationError
        If the folder holds another study or is in use, or a selector cannot be used.
    ShortageError
        If designs or hold-outs cannot be filled.
    BreadthError
        If every model diverged. Where some did, results have NaN for them, and warnings.
    """
    check(asked)
    store = Store(out)
    with store.locked():
        asked = _planned(asked, out, workers)
        open_plan(out, "tradeoff", asked, molecules=asked.pool.digest())
        if finished(out):
            return load(out / "results.nc")
        tell = progress or (lambda phase, done, total: None)
        with given_or_pool(executor, workers, asked.threads) as executor:
            cells, pool_unit = label_cells(asked, store, executor, tell)
            pool = read_set(store, pool_unit.key)
            cells = with_high_forces(asked, cells, pool)
            measured = measure_cells(asked, cells, pool_unit, store, executor, tell)
            fits = fit_cells(asked, cells, pool_unit, store, executor, tell)
            tell("results and figures", 0.0, 1.0)
            results = _write_results(asked, out, store, pool, cells, measured, fits)
            link_pool(out, store.folder(pool_unit.key) / "set")
            if figures:
                draw_widths(draw_figures, out, executor)
        finish(out, workers=workers, fits=len(fits) - int(results.attrs["n_diverged"]))
        tell("results and figures", 1.0, 1.0)
        return results


def check(asked: TradeoffConfiguration) -> None:
    """Raise now, and not after minutes, where a name is unknown or a selector cannot be used."""
    asked.pool.check_engines()
    check_selectors(asked)
    build_potential(**asked.potential)  # raises here if a hyper-parameter is wrong
    check_stack(asked.stack, asked.training, asked.hold_outs.largest_trained)


def _planned(asked: TradeoffConfiguration, out: Path | None, workers: int) -> TradeoffConfiguration:
    """Return the configuration with the models at once that its plan has or would have."""
    stack = planned_stack(
        asked.stack,
        out,
        potential=asked.potential,
        training=asked.training,
        heavy=asked.hold_outs.largest_trained,
        workers=workers,
    )
    return asked.model_copy(update={"stack": stack})


def _write_results(
    asked: TradeoffConfiguration,
    out: Path,
    store: Store,
    pool: ConformerSet,
    cells: list[Cell],
    measured: xr.DataArray,
    fits: list[tuple[Evaluation, Unit]],
) -> xr.Dataset:
    """Gather predictions, compute the errors, and write all that figures are drawn from."""
    diverged = diverged_models(store, fits)
    predictions = gather_predictions(
        store,
        pool,
        [evaluation for evaluation, _ in fits],
        asked.designs(),
        level=asked.pool.engine,
        prior=asked.pool.prior,
    )
    results = measure_errors(predictions, random_state=asked.seed)
    results = with_diverged(results, diverged, asked.designs())
    results = relate_measures(
        results.assign(training_costs(asked, cells)), measured, random_state=asked.seed
    )
    results.attrs["study"] = json.dumps(asked.model_dump(mode="json"))
    save(predictions, out / "predictions.nc")
    save(results, out / "results.nc")
    save(pool_contents(pool, level=asked.pool.engine), out / "pool.nc")
    save(training_curves(store, fits), out / "curves.nc")
    return results


def draw_figures(
    run: Path,
    directory: Path,
    *,
    column: Any = "single",
    style: Any = "paper",
    formats: Any = ("pdf", "png"),
) -> list[Path]:
    """Draw the figures of a study whose results are written, and return their paths.

    Column, style and formats are those of `breadth figures`. Outside models that are kept beside
    it (`add_outside`) stand in them.

    Raises
    ------
    DataError
        If the folder has no results.
    """
    from ...analysis.figures import draw_all, using

    names = ("results", "predictions", "pool", "curves")
    missing = [f"{name}.nc" for name in names if not (run / f"{name}.nc").exists()]
    if missing:
        raise DataError(
            f"{run} has no {', '.join(missing)}: it is not the folder of a finished study."
        )
    results, predictions, contents, curves = (load(run / f"{name}.nc") for name in names)
    results = with_outside(results, predictions, run)
    outside = {
        name: in_place_of_models(predictions, one) for name, one in outside_models(run).items()
    }
    options = {"column": column, "formats": formats, "outside": outside}
    with using(style):
        return draw_all(results, predictions, contents, curves, directory, **options)


def estimate(asked: TradeoffConfiguration, *, workers: int) -> dict[str, Any]:
    """Return what a study would do and about how long it would take, without doing it.

    Times are those of a core of 2024 and a potential of 64 features, on the CPU.
    """
    check_selectors(asked)
    designs, replicates = asked.designs(), asked.replicates
    n_cells = len({d.cell for d in designs}) * replicates
    sizes = asked.hold_outs
    n_generated = len(choose_molecules(asked))
    held = 3 * sizes.n_molecules * sizes.n_conformers
    budgets = [d.n_molecules * d.n_conformers for d in designs]
    largest = max(budgets)
    tested = replicates * max(d.n_molecules for d in designs) * sizes.n_conformers
    most = n_generated * asked.pool.n_conformers
    charged = 0
    if level_read(asked) == asked.pool.engine and asked.selectors is not None:
        charged = replicates * asked.selectors.n_molecules * asked.pool.n_conformers
    n_labels = min(most, held + min(2 * replicates * largest + tested + charged, most))
    updates = n_cells * asked.training.n_updates * (1 + QUARTER)
    width = int(asked.potential.get("n_features", 64)) / 64
    seconds = {
        "geometries": n_generated * SECONDS["molecule"]
        + n_generated * asked.pool.n_conformers * SECONDS["geometry"],
        "labels": n_labels * SECONDS["label"],
        "fits": updates * asked.training.batch_size * SECONDS_PER_STRUCTURE * max(1.0, width),
    }
    return {
        "designs": [f"{d.experiment}: {d}" for d in designs],
        "replicates": replicates,
        "molecules_sampled": n_generated,
        "geometries": most,
        "labels_at_most": n_labels,
        "level": asked.pool.engine,
        "fits": 2 * n_cells,
        "models_at_once": min(n_cells, _planned(asked, None, workers).models_at_once),
        "updates_in_all": round(updates),
        "workers": workers,
        "core_hours": round(sum(seconds.values()) / 3600, 3),
        "minutes": round(sum(seconds.values()) / workers / 60 + 0.5, 1),
    }
