"""Means over groups of systems: one kind of shift in one experiment."""

from typing import Any

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ..bootstrap import CrossedBootstrap

#: The shift that is none: what the others are compared with; it comes first in its experiment.
IN_DISTRIBUTION = "in_distribution"


def groups_of(systems: xr.Dataset) -> dict[str, Any]:
    """Return the coordinates of the groups: every (experiment, shift) that a system has.

    Parameters
    ----------
    systems : xarray.Dataset
        With ``experiment`` and ``shift`` (system).

    Returns
    -------
    dict
        ``group``, ``group_experiment``, ``group_shift`` (group) and ``group_of`` (system), the row
        of its group. Groups stand in the order of their first systems, those in distribution first
        in each experiment.
    """
    names = [systems[name].values.astype(str).tolist() for name in ("experiment", "shift")]
    pairs = list(zip(*names, strict=True))
    experiments = list(dict.fromkeys(names[0]))
    order = sorted(
        dict.fromkeys(pairs), key=lambda p: (experiments.index(p[0]), p[1] != IN_DISTRIBUTION)
    )
    return {
        "group": [f"{experiment}: {shift}" for experiment, shift in order],
        "group_experiment": ("group", np.array([experiment for experiment, _ in order])),
        "group_shift": ("group", np.array([shift for _, shift in order])),
        "group_of": ("system", np.array([order.index(pair) for pair in pairs])),
    }


def group_means(
    results: xr.Dataset, name: str, bootstrap: CrossedBootstrap, *, positive: bool = False
) -> xr.Dataset:
    """Return results with the mean of a variable over the systems of each group.

    Parameters
    ----------
    results : xarray.Dataset
        With the coordinates of :func:`groups_of`.
    name : str
        A variable (…, system, …) with or without ``replicate``. NaN is left out of the mean.
    bootstrap : CrossedBootstrap
        Resamples replicates × systems.
    positive : bool
        The mean can only be positive; see :meth:`CrossedBootstrap.interval`.

    Returns
    -------
    xarray.Dataset
        `results` with ``group_NAME`` (…, group, …) and ``group_n_systems`` (group). If the variable
        has replicates, ``group_NAME_interval`` (…, group, …, bound), without ``replicate``, too:
        the systems alone tell nothing of another training set.

    Raises
    ------
    DataError
        The variable has no systems.
    """
    variable = results[name]
    if "system" not in variable.dims:
        raise DataError(f"'{name}' has dimensions {variable.dims}: there is no system to average")
    others = [d for d in variable.dims if d not in ("system", "replicate")]
    replicates = ["replicate"] if "replicate" in variable.dims else []
    table = variable.transpose(*others, "system", *replicates).values
    if not replicates:
        table = table[..., None]
    of, n_groups = results["group_of"].values, results.sizes["group"]
    shape = (*table.shape[: len(others)], n_groups)
    means, bounds = np.full((*shape, table.shape[-1]), np.nan), np.full((*shape, 2), np.nan)
    for group in range(n_groups):
        part = table[..., of == group, :]
        present = np.isfinite(part)
        count, total = present.sum(axis=-2), np.where(present, part, 0.0).sum(axis=-2)
        means[..., group, :] = np.divide(
            total, count, out=np.full(count.shape, np.nan), where=count > 0
        )
        if replicates:
            for index in np.ndindex(shape[:-1]):
                bounds[(*index, group)] = bootstrap.interval(part[index].T, positive=positive)
    dims = ["group" if d == "system" else d for d in variable.dims]
    if not replicates:
        means = means[..., 0]
    grouped = xr.DataArray(means, dims=(*others, "group", *replicates))
    added = results.assign(
        {
            f"group_{name}": grouped.transpose(*dims),
            "group_n_systems": ("group", np.bincount(of, minlength=n_groups)),
        }
    )
    if replicates:
        interval = xr.DataArray(bounds, dims=(*others, "group", "bound"))
        kept = [d for d in dims if d != "replicate"]
        added[f"group_{name}_interval"] = interval.transpose(*kept, "bound")
    for suffix in ("", "_interval"):
        if f"group_{name}{suffix}" in added:
            added[f"group_{name}{suffix}"].attrs = dict(variable.attrs)
    return added
