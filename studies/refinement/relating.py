"""What the scores of shift could foresee: of error, and of what every method won."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...analysis.relation import relation_table
from .systems import IN_DISTRIBUTION

#: What no method is: fits that others build on, and the prior, which is a baseline.
_NO_GAIN = ("none", "prior")


def relate(
    results: xr.Dataset, shift: xr.Dataset, *, n_resamples: int = 1000, random_state: int = 0
) -> xr.Dataset | None:
    """Relate scores of shift to errors and gains, experiment by experiment and by design.

    Parameters
    ----------
    results : xarray.Dataset
        From `refinement_errors`.
    shift : xarray.Dataset
        From `scoring.gather_scores`, with ``covariate`` (replicate, system).
    n_resamples, random_state : int

    Returns
    -------
    xarray.Dataset or None
        `breadth.analysis.relation.relation_table` of each, along ``experiment`` and, where there
        is one, ``design``; None where no experiment has a system out of distribution.
    """
    tables = {}
    for experiment in dict.fromkeys(results["experiment"].values.astype(str).tolist()):
        of = results.isel(system=np.flatnonzero(results["experiment"].values == experiment))
        scores = shift.sel(system=of["system"].values)
        if "design" not in results.dims:
            table = _related(of, scores, n_resamples, random_state)
        else:
            parts = [
                _related(of.isel(design=d), scores.isel(design=d), n_resamples, random_state)
                for d in range(results.sizes["design"])
            ]
            known = [part for part in parts if part is not None]
            table = xr.concat(known, dim="design", join="outer") if known else None
        if table is not None:
            tables[experiment] = table
    if not tables:
        return None
    joined = xr.concat(list(tables.values()), dim="experiment", join="outer")
    return joined.assign_coords(experiment=list(tables))


def _related(
    results: xr.Dataset, shift: xr.Dataset, n_resamples: int, random_state: int
) -> xr.Dataset | None:
    error = results["force_mae"].sel({"method": "none"}).transpose("replicate", "system").values
    known = np.isfinite(error).any(0)
    inside = results["shift"].values == IN_DISTRIBUTION
    out, held = np.flatnonzero(known & ~inside), np.flatnonzero(known & inside)
    if not len(out):
        return None
    columns = {
        name: shift[f"shift_{name}"].transpose("measure", "replicate", "system").values
        for name in ("quantile", "score")
    }
    # A measure without scores, as of forces that are not known, has no relation.
    measures = [
        (k, str(name))
        for k, name in enumerate(shift["measure"].values)
        if np.isfinite(columns["quantile"][k][:, out]).any()
    ]
    if not measures:
        return None
    gain = {
        str(m): results["gain"].sel({"method": m}).transpose("replicate", "system").values[:, out]
        for m in results["method"].values
        if m not in _NO_GAIN
    }
    gain = {name: values for name, values in gain.items() if np.isfinite(values).any()}
    size = np.broadcast_to(results["n_atoms_system"].values.astype(float), error.shape)
    given = {"size": size[:, out]}
    for name, values in shift["covariate"].groupby("covariate_name"):
        table = values.squeeze("covariate_name").transpose("replicate", "system").values
        given[str(name)] = table[:, out]
    return relation_table(
        error[:, out],
        {name: columns["quantile"][k][:, out] for k, name in measures},
        gain=gain,
        covariates=given,
        group=results["shift"].values[out].astype(str).tolist(),
        score={name: columns["score"][k][:, out] for k, name in measures},
        hold_out_error=error[:, held] if len(held) else None,
        hold_out_score=(
            {name: columns["score"][k][:, held] for k, name in measures} if len(held) else None
        ),
        n_resamples=n_resamples,
        random_state=random_state,
    )
