"""The results of all points as one Dataset, along the keys that vary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..results import load, save
from ..units import canonical
from .points import Point


def join(
    folder: Path,
    points: Sequence[Point],
    along: Mapping[str, Mapping[str, list[Any]]],
    to: Path,
) -> str | None:
    """Write the results of all points as one file, or return why they are not one.

    Parameters
    ----------
    folder : Path
        That of the points.
    points : sequence of Point
        All finished.
    along : mapping
        Dimensions, and the keys with their values along each; see `points.dimensions`.
    to : Path
    """
    results = [load(folder / point.name / "results.nc") for point in points]
    reason = _misfit(results, [point.name for point in points])
    if reason is None:
        save(joined(results, [point.place for point in points], along), to)
    else:
        to.unlink(missing_ok=True)
    return reason


def joined(
    results: Sequence[xr.Dataset],
    places: Sequence[tuple[int, ...]],
    along: Mapping[str, Mapping[str, list[Any]]],
) -> xr.Dataset:
    """Return Datasets of one shape as one.

    Variables get the dimensions of the sweep in front of their own, coordinates only where they
    differ between points. Variables that some points lack are left out, and named in ``left_out``.

    Parameters
    ----------
    results : sequence of xarray.Dataset
        Their dimensions and coordinates along them are equal.
    places : sequence of tuple of int
        Where each stands along the dimensions of the sweep; all places are taken.
    along : mapping
        See `join`.
    """
    sizes = [len(next(iter(keys.values()))) for keys in along.values()]
    first, names = results[0], sorted({str(n) for one in results for n in one.variables})
    variables: dict[str, Any] = {}
    left_out = []
    for name in names:
        if not all(name in one.variables for one in results):
            left_out.append(name)
            continue
        found = [one.variables[name] for one in results]
        if name in first.coords and all(found[0].equals(other) for other in found[1:]):
            variables[name] = found[0]
            continue
        kind = np.result_type(*(v.dtype for v in found))
        values = np.empty((*sizes, *found[0].shape), dtype=kind)
        for place, one in zip(places, found, strict=True):
            values[place] = one.values
        variables[name] = xr.Variable((*along, *found[0].dims), values, found[0].attrs)
    made = xr.Dataset(variables).set_coords([n for n in variables if n in first.coords])
    for dimension, keys in along.items():
        for key, choices in keys.items():
            made = made.assign_coords({key: (dimension, _labels(choices))})
    made.attrs = {k: v for k, v in first.attrs.items() if all(o.attrs.get(k) == v for o in results)}
    if left_out:
        made.attrs["left_out"] = json.dumps(left_out)
    return made


def _misfit(results: Sequence[xr.Dataset], names: Sequence[str]) -> str | None:
    """Say where the shapes of results differ, None where they do not."""
    first = results[0]
    for one, name in zip(results[1:], names[1:], strict=True):
        if dict(one.sizes) != dict(first.sizes):
            dimension = next(
                d for d in (*first.sizes, *one.sizes) if one.sizes.get(d) != first.sizes.get(d)
            )
            counts = f"{first.sizes.get(dimension, 0)} and {one.sizes.get(dimension, 0)}"
            return (
                f"{names[0]} and {name} have {counts} along {dimension}: their results are not of "
                "one shape"
            )
        for dimension in first.indexes:
            if not first.indexes[dimension].equals(one.indexes.get(dimension)):
                return f"{names[0]} and {name} have other values along {dimension}"
        for variable in set(first.variables) & set(one.variables):
            if first.variables[variable].dims != one.variables[variable].dims:
                return f"{variable} has other dimensions in {names[0]} and {name}"
    return None


def _labels(values: Sequence[Any]) -> np.ndarray:
    """Return values as a coordinate: numbers or texts as they are, all else as JSON."""
    kinds = {type(value) for value in values}
    if kinds <= {int, float} or kinds in ({bool}, {str}):
        return np.array(values)
    return np.array([v if isinstance(v, str) else canonical(v) for v in values])
