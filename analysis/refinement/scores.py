"""Scores of shift beside the errors, and errors by score: ``shift.nc`` joined to the results.

=======================  ===========================================  ==========================
variable of shift.nc     dimensions                                   meaning
=======================  ===========================================  ==========================
``shift_score``          (system, measure[, replicate][, design])     how far a system lies from
                                                                      the training set
``shift_quantile``       likewise                                     its place, 0 … 1, among the
                                                                      in-distribution hold-out's
``structure_score``      (structure_measure[, replicate],             one number per structure, as
                         structure), optional                         force_norm, connectivity
``training_score``       (structure_measure, training_structure),     the same of the training
                         optional                                     structures
``training_experiment``  (training_structure), optional               whose training structures
=======================  ===========================================  ==========================

Dimensions may stand in any order; a NaN is unknown.
"""

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ..bootstrap import CrossedBootstrap, mean_over_replicates
from ..errors import mean_by_molecule
from .groups import group_means

_OF_SYSTEMS = ("shift_score", "shift_quantile")
_OF_STRUCTURES = ("structure_score", "training_score")


def with_scores(
    results: xr.Dataset, shift: xr.Dataset, *, n_resamples: int = 1000, random_state: int = 0
) -> xr.Dataset:
    """Return results with the scores of shift, and their means over groups with intervals.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`refinement_errors`.
    shift : xarray.Dataset
        See the table above; its systems are those of the results, in any order.
    n_resamples, random_state : int
        The crossed bootstrap over replicates × systems.

    Raises
    ------
    DataError
        A system of the results has no row, or structures are not as many.
    """
    known = shift["system"].values.astype(str).tolist()
    missing = [name for name in results["system"].values.astype(str) if name not in known]
    if missing:
        raise DataError(f"shift: no scores of system '{missing[0]}' ({len(missing)} missing)")
    n_structures = shift.sizes.get("structure", results.sizes["structure"])
    if n_structures != results.sizes["structure"]:
        raise DataError(
            f"shift: scores of {n_structures} structures, results of {results.sizes['structure']}"
        )
    names = [n for n in (*_OF_SYSTEMS, *_OF_STRUCTURES, "training_experiment") if n in shift]
    joined = results.merge(shift[names].sel(system=results["system"]), compat="override")
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    for name in _OF_SYSTEMS:
        if name in joined:
            joined = group_means(joined, name, bootstrap)
    bounds = "group_shift_quantile_interval"
    if bounds in joined:  # a quantile is a share
        joined[bounds] = joined[bounds].clip(0.0, 1.0, keep_attrs=True)
    return joined


def structure_measures(results: xr.Dataset) -> list[str]:
    """Return the measures that give every structure a number; ``force_norm`` is always one."""
    if "structure_score" not in results:
        return ["force_norm"]
    named = results["structure_measure"].values.astype(str).tolist()
    return named if "force_norm" in named else ["force_norm", *named]


def structure_scores(results: xr.Dataset, measure: str) -> np.ndarray:
    """Return the score of every structure, (S,): of several replicates their mean."""
    table = results.get("structure_score")
    if table is None or measure not in table["structure_measure"].values:
        return results[measure].values
    chosen = table.sel(structure_measure=measure)
    return (chosen.mean("replicate") if "replicate" in chosen.dims else chosen).values


def training_scores(results: xr.Dataset, measure: str, experiment: str) -> np.ndarray:
    """Return the known scores of an experiment's training structures, (T,); empty: none given."""
    table = results.get("training_score")
    if table is None or measure not in table["structure_measure"].values:
        return np.empty(0)
    scores = table.sel(structure_measure=measure).values
    if "training_experiment" in results:
        scores = scores[results["training_experiment"].values.astype(str) == experiment]
    return scores[np.isfinite(scores)]


def error_by_score(
    results: xr.Dataset,
    measure: str,
    experiment: str,
    *,
    n_bins: int = 8,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> xr.Dataset:
    """Average the force MAE of held-back structures in bins of a score.

    Bins hold equally many structures. In a bin, structures are averaged within their system, then
    systems, then replicates; the interval resamples replicates × systems.

    Parameters
    ----------
    results : xarray.Dataset
        From :func:`refinement_errors`, without designs.
    measure : str
        One of :func:`structure_measures`.
    experiment : str
        Whose systems.

    Returns
    -------
    xarray.Dataset
        ``score`` (bin), the median; ``force_mae`` (bin, method), eV/Å; ``force_mae_interval``
        (bin, method, bound); ``n_systems`` (bin). No bins if no structure has a score and an error.
    """
    scores = structure_scores(results, measure)
    held = _held(results, experiment) & np.isfinite(scores)
    rows = np.flatnonzero(held)
    rows = rows[np.argsort(scores[rows], kind="stable")]
    parts = [part for part in np.array_split(rows, n_bins) if len(part)]
    found = _bins(
        results, parts, CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    )
    return found.assign(score=("bin", np.array([np.median(scores[part]) for part in parts])))


def error_in_and_out(
    results: xr.Dataset,
    measure: str,
    experiment: str,
    *,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> xr.Dataset:
    """Average the force MAE of held-back structures in and out of the training distribution.

    Out is farther than one standard deviation from the mean of the training structures, as
    arXiv:2503.08674 has it.

    Returns
    -------
    xarray.Dataset
        As :func:`error_by_score`, the bins being *in* and *out*, without ``score``.

    Raises
    ------
    DataError
        The measure has no scores of training structures.
    """
    training = training_scores(results, measure, experiment)
    if not training.size:
        raise DataError(f"'{measure}' has no training scores for '{experiment}'")
    scores = structure_scores(results, measure)
    held = _held(results, experiment) & np.isfinite(scores)
    far = np.abs(scores - training.mean()) > training.std()
    parts = [np.flatnonzero(held & ~far), np.flatnonzero(held & far)]
    return _bins(
        results, parts, CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    )


def _held(results: xr.Dataset, experiment: str) -> np.ndarray:
    """Mark the structures of an experiment that were held back and have a force error."""
    of = results["experiment"].values.astype(str)[results["system_of"].values] == experiment
    errors = results["structure_force_mae"].values
    known = np.isfinite(errors).any(axis=tuple(range(errors.ndim - 1)))
    return of & known & ~results["adapted"].values


def _bins(results: xr.Dataset, parts: list[np.ndarray], bootstrap: CrossedBootstrap) -> xr.Dataset:
    table = results["structure_force_mae"].transpose("method", "replicate", "structure").values
    of, n_systems = results["system_of"].values, results.sizes["system"]
    n_methods, n_replicates = table.shape[:2]
    means = np.full((len(parts), n_methods), np.nan)
    bounds = np.full((len(parts), n_methods, 2), np.nan)
    for b, rows in enumerate(parts):
        for m in range(n_methods):
            by_system = np.full((n_replicates, n_systems), np.nan)
            for r in range(n_replicates):
                use = rows[np.isfinite(table[m, r, rows])]
                by_system[r] = mean_by_molecule(table[m, r, use], of[use], n_systems)
            means[b, m] = mean_over_replicates(by_system)
            bounds[b, m] = bootstrap.interval(by_system, positive=True)
    return xr.Dataset(
        {
            "force_mae": (("bin", "method"), means),
            "force_mae_interval": (("bin", "method", "bound"), bounds),
            "n_systems": ("bin", np.array([len(np.unique(of[rows])) for rows in parts], dtype=int)),
        },
        coords={"method": results["method"].values, "bound": ["lower", "upper"]},
    )
