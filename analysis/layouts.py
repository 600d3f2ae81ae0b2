"""The layout of predictions: which variables a Dataset holds, with which dimensions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import xarray as xr

from ..diversity.errors import DataError

Layout = Mapping[str, tuple[str, ...]]


def check_layout(
    predictions: xr.Dataset, layout: Layout, *, optional: Collection[str] = ()
) -> None:
    """Raise unless every variable is there with its dimensions.

    Parameters
    ----------
    predictions : xarray.Dataset
    layout : mapping of str to tuple of str
        Dimensions by variable.
    optional : collection of str
        Variables of the layout that may be absent.

    Raises
    ------
    DataError
        Naming the first variable that is absent or has other dimensions.
    """
    for name, dims in layout.items():
        if name not in predictions.variables:
            if name in optional:
                continue
            raise DataError(f"predictions: variable '{name}' {dims} is missing")
        if predictions[name].dims != dims:
            found = predictions[name].dims
            raise DataError(f"predictions: '{name}' has dimensions {found}, expected {dims}")
