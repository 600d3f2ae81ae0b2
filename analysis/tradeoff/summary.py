"""What a study shows, as rows of data: ends of a grid, its best design, selectors and random."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

#: Experiments that compare selectors, and the coordinate that names the selector.
SELECTOR_AXES = {
    "molecule_selectors": "molecule_selector",
    "conformer_selectors": "conformer_selector",
}


@dataclass(frozen=True)
class DesignError:
    """One design and its force MAE on one test set, mean over replicates (eV/Å)."""

    n_molecules: int
    n_conformers: int
    force_mae: float
    interval: tuple[float, float]
    updates_gain: float
    """Force MAE after a quarter of the updates ÷ after all; NaN without quarter fits."""
    undertrained: bool
    molecule_selector: str = "random"
    conformer_selector: str = "random"

    def __str__(self) -> str:
        return f"{self.n_molecules} × {self.n_conformers}"


@dataclass(frozen=True)
class Comparison:
    """Two designs of one experiment on one test set.

    ``kind`` is ``ends`` (the first against the last design of the grid: a comparison fixed before
    the results), ``best`` (the design with the lowest error against the one with the highest:
    chosen by the results, so its interval is optimistic) or ``random`` (a selector against random
    choice at the same counts; each interval is for one comparison, whatever their number).
    """

    experiment: str
    test_set: str
    kind: str
    design: DesignError
    other: DesignError
    difference: float
    """Paired force MAE of ``design`` minus ``other``, eV/Å."""
    interval: tuple[float, float]
    """95 % interval of the difference; NaN with fewer than two replicates or test molecules."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves zero outside; False where it is not known."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def verdict(self) -> str:
        """``lower``, ``higher`` or ``undecided``: the error of ``design`` against ``other``."""
        if not self.excludes_zero:
            return "undecided"
        return "lower" if self.interval[1] < 0 else "higher"


def grid(results: xr.Dataset, experiment: str) -> np.ndarray:
    """Return the rows of an experiment's designs, along what varies in it.

    By number of molecules in ``fixed_budget``, by conformers per molecule in ``fixed_molecules``,
    by both in ``grid``; selectors as they were asked for, random first.
    """
    rows = np.flatnonzero(results["experiment"].values == experiment)
    along = {"fixed_budget": "n_molecules", "fixed_molecules": "n_conformers"}.get(experiment)
    if along is None:
        return rows
    return rows[np.argsort(results[along].values[rows], kind="stable")]


def without_diverged(results: xr.Dataset) -> np.ndarray:
    """Return how many replicates of each design have no errors since their model diverged, (D,)."""
    if "diverged" not in results:  # of an older study, which ended there
        return np.zeros(results.sizes["design"], dtype=np.int64)
    counts: np.ndarray = results["diverged"].values.sum(axis=1)
    return counts


def summarise(results: xr.Dataset, test_sets: list[str] | None = None) -> list[Comparison]:
    """Compare designs within each experiment and test set.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`breadth.analysis.measure_errors`.
    test_sets : list of str, optional
        Names to report, all by default. A test set that fewer than two designs have is left out.

    Returns
    -------
    list of Comparison
        Per experiment and test set ``ends``, then ``best`` unless it compares the same two; for
        selectors one ``random`` each.
    """
    names = [str(name) for name in results["test_set"].values]
    mean = results["force_mae"].mean("replicate").values
    present = set(results["experiment"].values.astype(str).tolist())
    rows: list[Comparison] = []
    for experiment in ("fixed_budget", "fixed_molecules"):
        for name in names if test_sets is None else test_sets:
            column = names.index(name)
            designs = grid(results, experiment)
            designs = designs[np.isfinite(mean[designs, column])]
            if len(designs) < 2:
                continue
            ends = (designs[-1], designs[0])
            ordered = designs[np.argsort(mean[designs, column], kind="stable")]
            best = (ordered[0], ordered[-1])
            rows.append(_compare(results, experiment, name, "ends", ends))
            if set(best) != set(ends):
                rows.append(_compare(results, experiment, name, "best", best))
    for experiment in SELECTOR_AXES:
        for name in names if test_sets is None else test_sets:
            random, *others = grid(results, experiment) if experiment in present else [-1]
            column = names.index(name)
            rows += [
                _compare(results, experiment, name, "random", (design, random))
                for design in others
                if np.isfinite(results["force_mae_difference"].values[design, random, column])
            ]
    return rows


def _compare(
    results: xr.Dataset, experiment: str, test_set: str, kind: str, pair: tuple[int, int]
) -> Comparison:
    column = [str(name) for name in results["test_set"].values].index(test_set)
    index = (*pair, column)
    lower, upper = results["force_mae_difference_interval"].values[index]
    return Comparison(
        experiment=experiment,
        test_set=test_set,
        kind=kind,
        design=_design(results, pair[0], column),
        other=_design(results, pair[1], column),
        difference=float(results["force_mae_difference"].values[index]),
        interval=(float(lower), float(upper)),
    )


def _design(results: xr.Dataset, design: int, column: int) -> DesignError:
    lower, upper = results["force_mae_interval"].values[design, column]
    return DesignError(
        n_molecules=int(results["n_molecules"].values[design]),
        n_conformers=int(results["n_conformers"].values[design]),
        force_mae=float(results["force_mae"].mean("replicate").values[design, column]),
        interval=(float(lower), float(upper)),
        updates_gain=float(results["updates_gain"].values[design, column]),
        undertrained=bool(results["undertrained"].values[design, column]),
        molecule_selector=str(results["molecule_selector"].values[design]),
        conformer_selector=str(results["conformer_selector"].values[design]),
    )
