"""The short table at the end of a study: what was learned, with its uncertainty."""

from __future__ import annotations

import math

import xarray as xr

from ...analysis import Comparison, summarise
from ...analysis.summary import grid
from .console import output, table

_TITLES = {
    "fixed_budget": "Same number of labels, spent on ever more molecules",
    "fixed_molecules": "Same molecules, ever more conformations of each",
}


def print_learned(results: xr.Dataset) -> None:
    """Print the force error of every design on every hold-out, and the change from end to end."""
    mean = results["force_mae"].mean("replicate").values * 1e3
    flags = results["undertrained"].values
    ends = {(c.experiment, c.test_set): c for c in summarise(results) if c.kind == "ends"}
    flagged = False
    for experiment, title in _TITLES.items():
        designs = grid(results, experiment)
        if not len(designs):
            continue
        sizes = [
            f"{results['n_molecules'].values[d]} × {results['n_conformers'].values[d]}"
            for d in designs
        ]
        rows = []
        for column, name in enumerate(str(t) for t in results["test_set"].values):
            shown = []
            for d in designs:
                error = mean[d, column]
                mark = "*" if flags[d, column] else ""
                flagged |= bool(mark) and math.isfinite(error)
                shown.append(f"{error:.0f}{mark}" if math.isfinite(error) else "–")
            comparison = ends.get((experiment, name))
            rows.append([name.replace("_", " "), *shown, _change(comparison)])
        n = results.sizes["replicate"]
        table(
            ["force MAE, meV/Å, on", *sizes, "last − first [95 %]"],
            rows,
            title=f"{title} (molecules × conformers, mean of {n} replicates)",
        )
    if flagged:
        output().print(
            "* undertrained: another rank among the designs after a quarter of the updates."
        )


def _change(comparison: Comparison | None) -> str:
    if comparison is None or not math.isfinite(comparison.difference):
        return "–"
    low, high = (1e3 * bound for bound in comparison.interval)
    verdict = "" if comparison.excludes_zero else "  undecided"
    return f"{1e3 * comparison.difference:+.0f} [{low:+.0f}, {high:+.0f}]{verdict}"
