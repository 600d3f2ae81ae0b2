"""What a study leaves: results as NetCDF files, written aside and read whole, and figures."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

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


def draw_widths(draw: Callable[..., Any], out: Path, executor: Executor) -> None:
    """Draw a study's figures for single and double columns.

    Matplotlib takes seconds for these: the workers draw one width each.

    Parameters
    ----------
    draw : callable
        ``draw(run, directory, column=…)``, a module's function.
    out : Path
        Folder of the study; it gets ``figures/`` and ``figures/double/``.
    executor : concurrent.futures.Executor
    """
    folders = {"single": out / "figures", "double": out / "figures" / "double"}
    drawn = [executor.submit(draw, out, to, column=column) for column, to in folders.items()]
    for future in drawn:
        future.result()
