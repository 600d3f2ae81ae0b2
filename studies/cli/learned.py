"""The short table at the end of a study: what was learned, with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...analysis import Comparison, best_measures, summarise
from ...analysis.tradeoff.measure_relation import short_name
from ...analysis.tradeoff.summary import SELECTOR_AXES, grid, without_diverged
from .console import output, table

_TITLES = {
    "fixed_budget": "Same number of labels, spent on ever more molecules",
    "fixed_molecules": "Same molecules, ever more conformations of each",
}
_AXES = {"molecule_selectors": "molecules", "conformer_selectors": "conformers"}
#: One hold-out each for what is told of selectors and measures; the results have all of them.
_TOLD = ("own_conformers", "unseen_molecules", "unseen_scaffolds")


def told(results: xr.Dataset) -> dict[str, Any]:
    """Return what ``--json`` tells: designs compared, and the measures that go with the error."""
    return {
        "comparisons": [asdict(row) for row in summarise(results)],
        "best_measures": [asdict(row) for row in best_measures(results)],
    }


def show(results: xr.Dataset) -> None:
    """Print the force error of every design on every hold-out, and the change from end to end.

    Then selectors against random choice, and the measure that goes best with the error.
    """
    mean = results["force_mae"].mean("replicate").values * 1e3
    flags = results["undertrained"].values
    ends = {(c.experiment, c.test_set): c for c in summarise(results) if c.kind == "ends"}
    diverged = without_diverged(results)
    flagged = False
    for experiment, title in _TITLES.items():
        designs = grid(results, experiment)
        if not len(designs):
            continue
        sizes = [
            f"{results['n_molecules'].values[d]} × {results['n_conformers'].values[d]}"
            + "†" * bool(diverged[d])
            for d in designs
        ]
        rows = []
        for column, name in enumerate(str(t) for t in results["test_set"].values):
            shown = []
            for d in designs:
                error = mean[d, column]
                mark = "*" if flags[d, column] else ""
                flagged |= bool(mark) and math.isfinite(error)
                shown.append(_shown(error) + mark * math.isfinite(error))
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
    if diverged.any():
        output().print("† mean of fewer replicates: models that diverged are left out.")
    _print_grid(results, mean)
    _print_selectors(results)
    _print_measures(results)


def print_outside(run: Path) -> None:
    """Print the errors of models made elsewhere beside the best design's, if the study has any."""
    from ..results import load
    from ..tradeoff import with_outside

    results = with_outside(load(run / "results.nc"), load(run / "predictions.nc"), run)
    if "outside" not in results.coords:
        return
    ours = results["force_mae"].mean("replicate")
    theirs = results["outside_force_mae"].mean("replicate")
    names = results["outside"].values.astype(str).tolist()
    rows = []
    for column, test_set in enumerate(results["test_set"].values.astype(str).tolist()):
        errors = ours.values[:, column]
        if not np.isfinite(errors).any():
            continue
        best = int(np.nanargmin(errors))
        sizes = [int(results[n].values[best]) for n in ("n_molecules", "n_conformers")]
        others = [theirs.values[k, best, column] for k in range(len(names))]
        shown = [f"{1e3 * e:.0f}" if math.isfinite(e) else "–" for e in (errors[best], *others)]
        rows.append([test_set.replace("_", " "), f"{sizes[0]} × {sizes[1]}", *shown])
    table(
        ["force MAE, meV/Å, on", "best design", "its models", *names],
        rows,
        title="Models made elsewhere, on the same structures (–: not all were predicted)",
    )


def _print_grid(results: xr.Dataset, mean: np.ndarray) -> None:
    """Print the errors of a grid, a row for each number of molecules."""
    designs = grid(results, "grid")
    if not len(designs):
        return
    counts = [results[name].values[designs] for name in ("n_molecules", "n_conformers")]
    rows_of, columns_of = (sorted(set(c.tolist())) for c in counts)
    names = [str(name) for name in results["test_set"].values]
    for test_set in [name for name in _TOLD if name in names]:
        error = mean[designs, names.index(test_set)]
        found = dict(zip(zip(*(c.tolist() for c in counts), strict=True), error, strict=True))
        table(
            ["molecules", *(f"{c} conformer{'s' * (c > 1)}" for c in columns_of)],
            [[str(m), *(_shown(found[m, c]) for c in columns_of)] for m in rows_of],
            title=f"Force MAE on {test_set.replace('_', ' ')}, meV/Å (`breadth advise` reads it)",
        )


def _print_selectors(results: xr.Dataset) -> None:
    rows = summarise(results)
    told = [name for name in _TOLD if name in results["test_set"].values]
    lines = []
    for experiment, axis in SELECTOR_AXES.items():
        found = {
            (getattr(c.design, axis), c.test_set): c for c in rows if c.experiment == experiment
        }
        for name in dict.fromkeys(name for name, _ in found):
            changes = [_change(found.get((name, test_set))) for test_set in told]
            lines.append([f"{_AXES[experiment]} by {name.replace('_', ' ')}", *changes])
    if lines:
        table(
            ["force MAE − that of random, meV/Å", *(name.replace("_", " ") for name in told)],
            lines,
            title="Selectors against random choice at the same counts [95 %, each by itself]",
        )


def _print_measures(results: xr.Dataset) -> None:
    lines = []
    for best in best_measures(results):
        if best.test_set not in _TOLD:
            continue
        low, high = best.interval
        more = f" (and {len(best.as_good)} as good)" if best.as_good else ""
        lines.append(
            [
                best.test_set.replace("_", " "),
                f"{best.measure.partition('.')[0]}: {short_name(best.measure)}{more}",
                f"{best.correlation:+.2f} [{low:+.2f}, {high:+.2f}]",
                f"{best.p_value:.2f}" if best.p_value >= 0.01 else "< 0.01",
                str(best.n_designs),
            ]
        )
    if lines:
        table(
            ["on", "measure", "Spearman's ρ [95 %]", "p, best of all", "designs"],
            lines,
            title="What goes best with the force MAE, of all measures of the training set",
            left=2,
        )


def _shown(error: float) -> str:
    return f"{error:.0f}" if math.isfinite(error) else "–"


def _change(comparison: Comparison | None) -> str:
    if comparison is None or not math.isfinite(comparison.difference):
        return "–"
    low, high = (1e3 * bound for bound in comparison.interval)
    verdict = "" if comparison.excludes_zero else "  undecided"
    return f"{1e3 * comparison.difference:+.0f} [{low:+.0f}, {high:+.0f}]{verdict}"
