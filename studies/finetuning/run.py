"""Run the study: dynamics → labels → fits → test runs → predictions → results → figures."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import xarray as xr

from ...analysis.finetuning import finetuning_errors, foresee_arms
from ...diversity import DataError, read
from ...training import Potential
from ..executor import counted, given_or_pool, run_unit, run_units
from ..plan import finish, finished, open_plan
from ..pool import read_aside, read_set
from ..pooling import Tell
from ..registry import featurizer, label_engine, potential
from ..results import draw_widths, load, save
from ..store import Store
from .arms import Work, plan_arms
from .gathering import gather
from .question import FinetuningConfiguration
from .released import run_released
from .starting import named, tuning_of


def run_finetuning(
    asked: FinetuningConfiguration,
    out: Path,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Tell | None = None,
    figures: bool = True,
) -> xr.Dataset:
    """Run the study, or what of it is not finished, and return its results.

    Parameters
    ----------
    asked : FinetuningConfiguration
    out : Path
        Folder of the study. It gets ``plan.json``, ``units/``, ``predictions.nc``,
        ``training.nc``, ``runs.nc``, ``results.nc``, ``foresight.nc`` and ``figures/``.
    workers : int
        Processes; they change no number.
    executor : concurrent.futures.Executor, optional
        Runs units instead of processes of its own; it is used and not closed.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    figures : bool, optional
        Draw them, for a paper's single and double columns; `draw_figures` can at any time.

    Returns
    -------
    xarray.Dataset
        ``results.nc``; see `breadth.analysis.finetuning.finetuning_errors`.

    Raises
    ------
    ConfigurationError
        If the folder holds another study or is in use, or a name is unknown.
    DataError
        If the universal model was not made for the system, or all labels of a set failed.
    """
    universal = check(asked)
    if asked.released is not None:
        options: dict[str, Any] = {"workers": workers, "executor": executor, "progress": progress}
        return run_released(asked, out, draw_figures, **options, figures=figures)
    store = Store(out)
    with store.locked():
        work = plan_arms(asked)
        names = [n for n in (asked.engine, asked.descriptor) if n.startswith("model:")]
        contents = json.dumps([named(name) for name in (asked.potential, *names)])
        open_plan(out, "finetuning", asked, start=work.start.key, contents=contents)
        if finished(out):
            return load(out / "results.nc")
        tell = progress or (lambda phase, done, total: None)
        run_unit(out, work.start)
        # Its own check, now: a fit would only meet it after the runs.
        universal.check(read_set(store, work.start.key))
        count = counted(tell, "runs, labels and fits", sum(work.costs.values()))
        with given_or_pool(executor, workers, asked.threads) as executor:
            run_units(store, work.units(), executor, costs=work.costs, progress=count)
            tell("results and figures", 0.0, 1.0)
            results = _write_results(asked, out, store, work)
            if figures:
                draw_widths(draw_figures, out, executor)
        finish(out, workers=workers, fits=len(work.fits))
        tell("results and figures", 1.0, 1.0)
        return results


def check(asked: FinetuningConfiguration) -> Potential:
    """Return the universal model; raise now where a name is unknown or a package is not there."""
    if asked.released is None:  # there it names the level of the files
        label_engine(asked.engine)
    featurizer(asked.descriptor)
    universal = potential(asked.potential)
    tuning_of(asked)
    return universal


def _write_results(
    asked: FinetuningConfiguration, out: Path, store: Store, work: Work
) -> xr.Dataset:
    """Gather what was found, compute errors, and write all that figures are drawn from."""
    predictions, frames, runs = gather(asked, store, work)
    results = finetuning_errors(predictions, runs=runs, random_state=asked.seed)
    results.attrs["study"] = json.dumps(asked.model_dump(mode="json"))
    results.attrs["warnings"] = json.dumps(_warnings(asked, store, work, runs))
    for name, found in (
        ("predictions", predictions),
        ("training", frames),
        ("runs", runs),
        ("foresight", foresee_arms(predictions, random_state=asked.seed)),
        ("results", results),
    ):
        save(found, out / f"{name}.nc")
    return results


def _warnings(
    asked: FinetuningConfiguration, store: Store, work: Work, runs: xr.Dataset
) -> list[str]:
    """Say which runs broke, which sets are smaller than asked, and which labels failed."""
    found = []
    for unit in {unit.key: unit for unit in [*work.explored, *work.runs.values()]}.values():
        told = json.loads((store.folder(unit.key) / "told.json").read_text())
        if told["stopped"]:
            which = unit.parameters.get("engine") or (
                "a fine-tuned model" if "fit" in unit.inputs else "the universal model"
            )
            found.append(
                f"A run of {which} (number {unit.parameters['stream']}, seed {unit.seed}) stopped "
                f"after {told['simulated_time'] / 1000:.3f} ps: {told['stopped']}."
            )
    for place, unit in work.added.items():
        asked_for = unit.parameters["n"]
        path = store.folder(unit.key) / "set"
        there = len(read(path)) if path.exists() else 0
        if there < asked_for:
            found.append(
                f"{place.arm}, iteration {place.iteration}, replicate {place.replicate}: "
                f"{there} frames of {asked_for}."
            )
    for unit in {u.key: u for u in [*work.added.values(), *work.tests.values()]}.values():
        found += [f"No label: {row.reason}" for row in read_aside(store, unit.key)]
    return found


def draw_figures(
    run: Path,
    directory: Path,
    *,
    column: Any = "single",
    style: Any = "paper",
    formats: Any = ("pdf", "png"),
) -> list[Path]:
    """Draw the figures of a study whose results are written, and return their paths.

    Column, style and formats are those of `breadth figures`.

    Raises
    ------
    DataError
        If the folder has no results.
    """
    from ...analysis.figures.finetuning import draw_finetuning
    from ...analysis.figures.style import using

    if not (run / "results.nc").exists():
        raise DataError(f"{run} has no results.nc: it is not the folder of a finished study.")
    with using(style):
        return draw_finetuning(run, directory, column=column, formats=formats)
