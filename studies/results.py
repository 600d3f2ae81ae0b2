"""What a study leaves: results as NetCDF files, written aside and read whole, and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from ..diversity import DataError
from .store import replace_file

#: What later steps raise at values that no study writes.
_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a Dataset as NetCDF, aside, synced and renamed.

    Raises
    ------
    BreadthError
        If the disk refuses; what stood there before is unharmed.
    """
    compressed = {
        str(name): {"zlib": True, "complevel": 1}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind in "fiub" and variable.size > 1000
    }
    # In memory first: HDF5 that meets a full disk complains again, and unasked, when it is closed.
    replace_file(path, dataset.to_netcdf(engine="h5netcdf", encoding=compressed))


def load(path: Path) -> xr.Dataset:
    """Read a Dataset whole.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            return dataset.load()
    except FileNotFoundError:
        raise
    except Exception as error:  # HDF5 and the layers above it have errors of every kind
        raise DataError(
            f"{path} is damaged and cannot be read ({type(error).__name__}). Restore it; or, if a "
            "study wrote it, remove finished.json beside it and run the study's command again: it "
            "is gathered anew from what is finished."
        ) from error


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Name the folder or file whose content does not fit together: readable, and yet wrong.

    Raises
    ------
    DataError
        In place of what later steps raise at values that no study writes.
    """
    try:
        yield
    except _FAULTS as error:
        told = next(iter(str(error).splitlines()), "")
        raise DataError(
            f"What is in {path} does not fit together ({type(error).__name__}: {told[:200]}). It "
            "is damaged, or of another version of breadth; with --debug the command shows where."
        ) from error


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
