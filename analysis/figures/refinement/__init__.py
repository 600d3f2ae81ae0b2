"""Figures of a study of refinement: functions from results to a matplotlib Figure."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ..files import FORMATS, Format, save_all
from ..style import Column
from .breadth import breadth
from .dynamics import distances, dynamics
from .fine_tuning import fine_tuning
from .foresight import applicability, foresight
from .gain import error_bins, gain_against_shift
from .look import experiments
from .shift import error_against_shift, error_with_refinement
from .spectra import spectra
from .surfaces import surfaces

__all__ = [
    "applicability",
    "breadth",
    "distances",
    "draw_refinement",
    "dynamics",
    "error_against_shift",
    "error_bins",
    "error_with_refinement",
    "fine_tuning",
    "foresight",
    "gain_against_shift",
    "spectra",
    "surfaces",
]


def draw_refinement(
    results: xr.Dataset,
    directory: Path,
    *,
    eigenvalues: xr.Dataset | None = None,
    surface: xr.Dataset | None = None,
    runs: xr.Dataset | None = None,
    relation: xr.Dataset | None = None,
    column: Column = "single",
    formats: Sequence[Format] = FORMATS,
) -> list[Path]:
    """Draw every figure that there are data for, and write each with its numbers.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.refinement.with_scores`, or without scores. With a dimension
        ``design``: `breadth`, and the other figures for the design with most molecules at the
        fixed budget.
    directory : Path
        Made if absent; files of equal names are replaced.
    eigenvalues, surface, runs : xarray.Dataset, optional
        See :func:`spectra`, :func:`surfaces`, and :func:`dynamics` and :func:`distances`.
    relation : xarray.Dataset, optional
        See :func:`foresight` and :func:`applicability`; of several experiments or designs, along
        ``experiment`` and ``design``.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    formats : sequence of {'pdf', 'png', 'svg'}

    Returns
    -------
    list of Path
        The files of each figure. Figures of one experiment end in its name.
    """
    figures: dict[str, Figure] = {}
    if relation is not None and "design" in relation.dims:
        # A design without a relation has no row: then rows are not those of the results.
        same = relation.sizes["design"] == results.sizes.get("design")
        relation = relation.isel(design=_broadest(results)) if same else None
    if "design" in results.dims:
        for experiment in experiments(results):
            figures[f"breadth_{experiment}"] = breadth(
                results, experiment=experiment, column=column
            )
        results = results.isel(design=_broadest(results), drop=True)
    by_experiment: dict[str, Callable[..., Figure]] = {
        "error_against_shift": error_against_shift,
        "error_with_refinement": error_with_refinement,
        "gain_against_shift": gain_against_shift,
    }
    shown = experiments(results)
    for experiment in shown:
        for name, draw in by_experiment.items():
            figures[f"{name}_{experiment}"] = draw(results, experiment=experiment, column=column)
    if shown:
        figures["error_bins"] = error_bins(results, column=column)
    tuned = [str(m) for m in results["method"].values if str(m).startswith("fine_tune_")]
    if results["group_force_mae"].sel({"method": tuned}).notnull().any():
        figures["fine_tuning"] = fine_tuning(results, column=column)
    if eigenvalues is not None:
        figures["spectra"] = spectra(eigenvalues, column=column)
    if surface is not None:
        figures["surfaces"] = surfaces(surface, column=column)
    if runs is not None:
        if "temperature" in runs:
            figures["dynamics"] = dynamics(runs, column=column)
        if "h" in runs:
            figures["distances"] = distances(runs, column=column)
    if relation is not None:
        figures |= _related(relation, column)
    return save_all(figures, directory, formats=formats)


def _related(relation: xr.Dataset, column: Column) -> dict[str, Figure]:
    """Return what shift could foresee, of each experiment where there are several."""
    parts = {"": relation}
    if "experiment" in relation.dims:
        names = relation["experiment"].values.astype(str)
        parts = {f"_{name}": relation.sel(experiment=name) for name in names}
    figures: dict[str, Figure] = {}
    for ending, part in parts.items():
        figures[f"foresight{ending}"] = foresight(part, column=column)
        figures[f"applicability{ending}"] = applicability(part, column=column)
    return figures


def _broadest(results: xr.Dataset) -> int:
    """Return the row of the design with most molecules at the fixed budget."""
    molecules = results["n_molecules"].values.astype(float)
    if "design_experiment" in results:
        at_budget = results["design_experiment"].values.astype(str) == "fixed_budget"
        molecules = np.where(at_budget, molecules, -1.0) if at_budget.any() else molecules
    return int(molecules.argmax())
