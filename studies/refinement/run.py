"""Run the study: data → fits → refinements → predictions → results → figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from ...analysis.refinement import refinement_errors, with_scores
from ...diversity import DataError
from ...training import build_potential
from ..executor import counted, given_or_pool, run_unit, run_units
from ..plan import finish, finished, open_plan
from ..pool import read_set
from ..pooling import Tell
from ..registry import label_engine
from ..results import draw_widths, load, save
from ..store import Store
from ..units import Unit
from .dynamics import gather_dynamics
from .finished import prepare_models, study_plan
from .gathering import gather, gather_told
from .methods import Work, plan_methods
from .pools import prepare_pools
from .question import RefinementConfiguration
from .relating import relate
from .scoring import gather_scores, gather_spectra, score_units, spectra_units
from .simulating import chosen_systems, plan_simulations
from .surfaces import gather_surfaces
from .systems import Experiment, overlap_warnings
from .trajectories import prepare_acac, prepare_rmd17

#: Structures of a half that the error of relative energies needs: a scan has few.
MINIMUM_CONFORMERS = 5


def run_refinement(
    asked: RefinementConfiguration,
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
    asked : RefinementConfiguration
    out : Path
        Folder of the study. It gets ``plan.json``, ``units/``, ``predictions.nc``, ``shift.nc``,
        ``results.nc``, ``spectra.nc``, ``surface.nc``, ``dynamics.nc`` and ``figures/``.
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
        ``results.nc``; see `breadth.analysis.refinement.refinement_errors`.

    Raises
    ------
    ConfigurationError
        If the folder holds another study or is in use, or files of an experiment are not there.
    ShortageError
        If a shift has too few molecules.
    """
    check(asked)
    store = Store(out)
    with store.locked():
        digests = {} if asked.pools is None else {"molecules": asked.pools.pool.digest()}
        open_plan(out, "refinement", asked, **digests)
        if finished(out):
            return load(out / "results.nc")
        tell = progress or (lambda phase, done, total: None)
        with given_or_pool(executor, workers, asked.threads) as executor:
            experiments = prepare(asked, store, executor, tell)
            kept = [name for names in chosen_systems(asked, experiments) for name in names]
            work = plan_methods(asked, experiments, kept)
            scores = score_units(asked, experiments, work)
            spectra = spectra_units(asked, experiments, work)
            simulated = plan_simulations(asked, experiments, work)
            more = [*scores.values(), *spectra.values(), *simulated["dynamics"]]
            more += simulated["surface"]
            _run(work, more, store, executor, tell)
            tell("results and figures", 0.0, 1.0)
            results = _write_results(asked, out, store, experiments, work, scores)
            if spectra:
                save(gather_spectra(store, spectra), out / "spectra.nc")
            if simulated["dynamics"]:
                n = results.sizes["replicate"]
                save(gather_dynamics(store, simulated["dynamics"], n), out / "dynamics.nc")
            if simulated["surface"]:
                save(gather_surfaces(store, simulated["surface"]), out / "surface.nc")
            if figures:
                draw_widths(draw_figures, out, executor)
        finish(out, workers=workers, fits=len(work.fits))
        tell("results and figures", 1.0, 1.0)
        return results


def check(asked: RefinementConfiguration) -> None:
    """Raise now, and not after minutes, where a name is unknown or a file is not there."""
    build_potential(**asked.potential)  # raises here if a hyper-parameter is wrong
    if asked.models is not None:
        study_plan(asked.models.run)
        return
    if asked.pools is not None:
        asked.pools.pool.check_engines()
        for name in asked.pools.priors:
            label_engine(name)
    for section in (asked.rmd17, asked.acac):
        if section is not None:
            label_engine(section.prior)


def prepare(
    asked: RefinementConfiguration, store: Store, executor: Executor, tell: Tell
) -> list[Experiment]:
    """Label and divide every experiment."""
    common = (store, executor)
    experiments: list[Experiment] = []
    if asked.models is not None:
        experiments.append(prepare_models(asked.models, asked.seed, *common))
    else:
        # Files first: one that is not there is told before minutes are spent.
        if asked.rmd17 is not None:
            experiments.append(
                prepare_rmd17(asked.rmd17, asked.replicates, asked.seed, *common, tell)
            )
        if asked.acac is not None:
            experiments.append(
                prepare_acac(asked.acac, asked.replicates, asked.seed, *common, tell)
            )
        if asked.pools is not None:
            experiments.insert(0, prepare_pools(asked, *common, tell))
    return [
        replace(one, warnings=overlap_warnings(one, read_set(store, one.data.key)))
        for one in experiments
    ]


def _run(work: Work, more: Sequence[Unit], store: Store, executor: Executor, tell: Tell) -> None:
    for selection in {unit.key: unit for unit in work.selections}.values():
        run_unit(store.root, selection)
    units = [*work.units(), *more]
    count = counted(tell, "fits and refinements", sum(work.costs[unit.key] for unit in units))
    run_units(store, units, executor, costs=work.costs, progress=count)


def _write_results(
    asked: RefinementConfiguration,
    out: Path,
    store: Store,
    experiments: Sequence[Experiment],
    work: Work,
    scores: Mapping[tuple[str, int, int], Unit],
) -> xr.Dataset:
    """Gather predictions, compute errors and gains, and write all that figures are drawn from."""
    n_replicates = max(one.replicate for e in experiments for one in e.sets) + 1
    predictions = gather(store, experiments, work.refined, n_replicates)
    results = refinement_errors(
        predictions, random_state=asked.seed, minimum_conformers=MINIMUM_CONFORMERS
    )
    results.attrs["study"] = json.dumps(asked.model_dump(mode="json"))
    told, failures = gather_told(store, work.refined, predictions)
    results = results.assign(told.data_vars)
    warned = [text for e in experiments for text in e.warnings]
    results.attrs["warnings"] = json.dumps([*warned, *dict.fromkeys(failures)])
    shift = gather_scores(store, experiments, scores, predictions)
    relation = relate(results, shift, random_state=asked.seed)
    if relation is not None:
        save(relation, out / "relation.nc")
    results = with_scores(results, shift, random_state=asked.seed)
    save(shift, out / "shift.nc")
    save(predictions, out / "predictions.nc")
    save(results, out / "results.nc")
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

    Column, style and formats are those of `breadth figures`.

    Raises
    ------
    DataError
        If the folder has no results.
    """
    from ...analysis.figures.refinement import draw_refinement
    from ...analysis.figures.style import using

    if not (run / "results.nc").exists():
        raise DataError(f"{run} has no results.nc: it is not the folder of a finished study.")
    others: dict[str, Any] = {
        name: load(run / f"{file}.nc") if (run / f"{file}.nc").exists() else None
        for name, file in (
            ("eigenvalues", "spectra"),
            ("surface", "surface"),
            ("runs", "dynamics"),
            ("relation", "relation"),
        )
    }
    with using(style):
        results = load(run / "results.nc")
        return draw_refinement(results, directory, column=column, formats=formats, **others)
