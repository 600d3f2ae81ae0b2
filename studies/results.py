"""Results as NetCDF files: written aside, read whole."""

from __future__ import annotations

from pathlib import Path

import xarray as xr


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a Dataset as NetCDF, aside and renamed."""
    aside = path.with_name(f".{path.name}")
    compressed = {
        str(name): {"zlib": True, "complevel": 1}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind in "fiub" and variable.size > 1000
    }
    dataset.to_netcdf(aside, engine="h5netcdf", encoding=compressed)
    aside.replace(path)


def load(path: Path) -> xr.Dataset:
    """Read a Dataset whole."""
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()
