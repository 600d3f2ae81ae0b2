"""Figures: functions from results to a matplotlib Figure. They compute no error."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from ..tradeoff.summary import SELECTOR_AXES
from .files import FORMATS, Format, save, save_all
from .measures import measures
from .parity import parity
from .plane import diversity_map
from .pool import pool
from .selectors import selectors
from .style import Column, type_size, using
from .surface import error_surface
from .tradeoff import error_against_conformers, error_against_molecules
from .training import training_curves

__all__ = [
    "diversity_map",
    "draw_all",
    "error_against_conformers",
    "error_against_molecules",
    "error_surface",
    "measures",
    "parity",
    "pool",
    "save",
    "selectors",
    "training_curves",
    "using",
]


def draw_all(
    results: xr.Dataset,
    predictions: xr.Dataset,
    contents: xr.Dataset,
    curves: xr.Dataset,
    directory: Path,
    *,
    column: Column = "single",
    formats: Sequence[Format] = FORMATS,
    test_set: str = "unseen_molecules",
    outside: Mapping[str, xr.Dataset] | None = None,
) -> list[Path]:
    """Draw every figure of a study and write each with its numbers; see :func:`save`.

    Parameters
    ----------
    results, predictions : xarray.Dataset
        See :mod:`breadth.analysis.tradeoff.results` and its neighbour `predictions`.
    contents : xarray.Dataset
        See :func:`pool`.
    curves : xarray.Dataset
        See :func:`training_curves`.
    directory : Path
        Made if absent; files of equal names are replaced.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    formats : sequence of {'pdf', 'png', 'svg'}
    test_set : str
        The one shown in the map and the parity plot.
    outside : mapping of str to xarray.Dataset, optional
        Models made elsewhere, for the parity plot; see :func:`parity`. Their errors stand in
        results, from :func:`breadth.analysis.outside.outside_errors`.

    Returns
    -------
    list of Path
        The files of each figure; an experiment without designs has none, nor have the map of
        designs that all have the same counts and measures that were not taken. Where models
        diverged, figures that lack them say so.
    """
    made = _drawn(results, predictions, contents, curves, column, test_set, outside or {})
    return save_all(made, directory, formats=formats)


def _drawn(
    results: xr.Dataset,
    predictions: xr.Dataset,
    contents: xr.Dataset,
    curves: xr.Dataset,
    column: Column,
    test_set: str,
    outside: Mapping[str, xr.Dataset],
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    experiments = set(map(str, results["experiment"].values))
    if "fixed_budget" in experiments:
        figures["error_against_molecules"] = error_against_molecules(results, column=column)
    if "fixed_molecules" in experiments:
        figures["error_against_conformers"] = error_against_conformers(results, column=column)
    if experiments & set(SELECTOR_AXES):
        figures["selectors"] = selectors(results, column=column)
    if "grid" in experiments:
        figures["error_surface"] = error_surface(results, test_set=test_set, column=column)
    counts = results["n_molecules"].values, results["n_conformers"].values
    if len(set(zip(*(c.tolist() for c in counts), strict=True))) > 1:
        figures["map"] = diversity_map(results, test_set=test_set, column=column)
    name = "measure_error_correlation"
    if name in results and results[name].notnull().any():
        figures["measures"] = measures(results, column=column)
    curves_drawn = training_curves(results, curves, column=column)
    if count := int(results.attrs.get("n_diverged", 0)):
        lacking = f"Left out: {count} model{'s' if count > 1 else ''} that diverged"
        for figure in (*figures.values(), curves_drawn):
            figure.suptitle(lacking, fontsize=type_size(7.5))
    figures["parity"] = parity(predictions, test_set=test_set, column=column, outside=outside)
    figures["pool"] = pool(contents, column=column)
    figures["training_curves"] = curves_drawn
    return figures
