"""Files of labelled conformers: one module per format, told apart by content, then by suffix.

A format is a module with ``sniff(path, head) -> bool``, ``read(path, *, level, identity,
skip_bad) -> ConformerSet`` and ``write(conformers, path, *, level)``, a line in `FORMATS`, and a
test class that inherits :class:`breadth.diversity.testing.FormatContract`. ``spice``, ``ani`` and
``qm7x`` (HDF5) and ``traj`` are read and not written: their ``write`` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from ..conformers import ConformerSet
from ..errors import BreadthError, ConfigurationError, DataError

#: Module and suffixes of each format; modules are imported when they are needed.
FORMATS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "native": (".native", ("",)),
    "rmd17": (".rmd17", (".npz",)),
    # Outputs of other programs are only read.
    "qcschema": (".qcschema", ()),
    "sdf": (".sdf", (".sdf", ".sd", ".mol")),
    "vasp": (".vasp", (".xml",)),
    "orca": (".orca", (".out",)),
    "psi4": (".psi4", ()),
    "ase": (".ase_db", (".db", ".json")),
    "traj": (".ase_trajectory", (".traj",)),
    "spice": (".spice", (".hdf5", ".h5")),
    "ani": (".ani", ()),
    "qm7x": (".qm7x", ()),
    "extxyz": (".extxyz", (".xyz", ".extxyz")),
}

__all__ = ["FORMATS", "read", "target_format", "write"]


def read(
    path: str | Path,
    *,
    format: str | None = None,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: bool = False,
) -> ConformerSet:
    """Read a file or folder of labelled conformers.

    Parameters
    ----------
    path : str or Path
    format : str, optional
        One of `FORMATS`; recognised by content, then by suffix, where it is not given.
    level : str, optional
        Name of the level of theory of labels that the file leaves unnamed.
    identity : {'auto', 'identifier', 'formula', 'ordered', 'graph'}
        How molecules are told apart; see :mod:`breadth.diversity.identity`.
    skip_bad : bool
        Leave out records with a structural fault (and count them) instead of raising. Readable
        records with values that no structure can have are set aside and counted in any case.

    Returns
    -------
    ConformerSet
        Energies in eV, lengths in Å. ``metadata['set_aside']`` lists records left out with
        their reasons; ``metadata['identity_rule']`` names the rule, ``metadata['format']`` the
        format.

    Raises
    ------
    DataError
        If the file cannot be read; the message names file and record.
    """
    where = Path(path)
    with exhaustion_told(where):
        name = format or recognise(where)
        try:
            made: ConformerSet = _module(name).read(
                where, level=level, identity=identity, skip_bad=skip_bad
            )
        except OSError as error:
            raise DataError(f"Cannot read {where}: {error.strerror or error}.") from error
    return replace(made, metadata={**made.metadata, "format": name})


@contextmanager
def exhaustion_told(path: Path) -> Iterator[None]:
    """Name the file that asks for more memory or stack than there is: few damaged bytes can.

    Raises
    ------
    DataError
        In place of `MemoryError` and `RecursionError`.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(
            f"{path} asks for more memory than there is ({error or 'no size told'}): it is "
            "damaged, or too large to be read at once (breadth convert reads some formats a chunk "
            "at a time)."
        ) from error
    except RecursionError:
        raise DataError(f"{path} is nested too deeply: no data set is.") from None


def write(
    conformers: ConformerSet,
    path: str | Path,
    *,
    format: str | None = None,
    level: str | None = None,
) -> None:
    """Write a set to a file or folder, from which :func:`read` returns it.

    Parameters
    ----------
    conformers : ConformerSet
    path : str or Path
        An existing file is replaced when the new one is complete, not before.
    format : str, optional
        One of `FORMATS`; by the suffix of `path` where it is not given, native without suffix.
    level : str, optional
        The level that the file's plain names (`energy`, `forces`) hold; the first by default.

    Raises
    ------
    DataError
        If the format cannot hold the set.
    BreadthError
        If the file system refuses; what was there before is unharmed.
    """
    where = Path(path)
    name = target_format(where, format)
    try:
        _module(name).write(conformers, where, level=level)
    except OSError as error:
        raise BreadthError(f"Cannot write {where}: {error.strerror or error}.") from error


def target_format(path: Path, format: str | None = None) -> str:
    """Return the format in which a file is to be written: the one named, else by its suffix.

    Raises
    ------
    ConfigurationError
        If there is none of this name, or none has the suffix.
    """
    name = format or ("native" if path.is_dir() else _by_suffix(path))
    if name is None:
        suffixes = ", ".join(s for _, known in FORMATS.values() for s in known if s)
        raise ConfigurationError(
            f"No format has the suffix {path.suffix!r} of {path}; name one of "
            f"{', '.join(FORMATS)}, or use {suffixes}, or none for a native folder."
        )
    _module(name)
    return name


def recognise(path: Path) -> str:
    """Return the format of a file, by content, then by suffix.

    Raises
    ------
    DataError
        If there is no such file, it is empty, or no format fits.
    """
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.")
    try:
        head = b"" if path.is_dir() else _head(path)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if path.is_file() and not head:
        raise DataError(f"{path} is empty.")
    for name in FORMATS:
        if _module(name).sniff(path, head):
            return name
    name_by_suffix = None if path.is_dir() else _by_suffix(path)
    if name_by_suffix is None or name_by_suffix == "native":
        raise DataError(
            f"{path} is in no format that is known ({', '.join(FORMATS)}). Name the format, or "
            "convert the file to extended XYZ."
        )
    return name_by_suffix


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def _by_suffix(path: Path) -> str | None:
    suffix = path.suffix.lower()
    return next((name for name, (_, known) in FORMATS.items() if suffix in known), None)


def _module(name: str) -> ModuleType:
    if name not in FORMATS:
        raise ConfigurationError(
            f"There is no format {name!r}; choose one of {', '.join(FORMATS)}."
        )
    return import_module(FORMATS[name][0], __package__)
