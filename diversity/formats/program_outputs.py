"""What the readers of outputs of other programs share: record by record, and never written.

The texts of quantum-chemistry programs are read in part by readers of other packages, which raise
whatever a broken text leads them to; here each such failure becomes a fault of one record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

from ..errors import ConfigurationError, DataError
from ..protocols import SetAside
from ..records import Record

T = TypeVar("T")


class Broken(ValueError):
    """A structural fault of one record, said in words that a user can use."""


def gathered(
    path: Path, parts: Iterable[T], make: Callable[[T], Record | str], *, skip_bad: bool
) -> tuple[list[Record], list[SetAside]]:
    """Make a record of each part of a file, and place it.

    Parameters
    ----------
    path : Path
    parts : iterable
        The file's records, raw; their order numbers them.
    make : callable
        Returns the record of a part, or the reason for which it is set aside.
    skip_bad : bool
        Set a part with a structural fault aside instead of raising.

    Raises
    ------
    DataError
        If a part has a structural fault; the message names it.
    """
    records: list[Record] = []
    aside: list[SetAside] = []
    for i, part in enumerate(parts):
        place = f"{path}: record {i}"
        try:
            made = make(part)
        except Exception as error:  # of another package's reader: any may mean a broken text
            fault(path, i, said(error), aside if skip_bad else None, error)
            continue
        if isinstance(made, str):
            aside.append(SetAside(place, made))
            continue
        made.place = place
        made.provenance = {"source": f"{path.resolve().parent.name}/{path.name}", "record": i}
        records.append(made)
    return records, aside


def fault(
    path: Path,
    number: int,
    what: str,
    aside: list[SetAside] | None,
    error: Exception | None = None,
) -> None:
    """Note a structural fault in `aside`, or raise it where that is None."""
    place = f"{path}: record {number}"
    if aside is None:
        raise DataError(
            f"{place}: {what}. Repair the file, or skip such records (skip_bad=True, --skip-bad)."
        ) from error
    aside.append(SetAside(place, f"a structural fault: {what}"))


def said(error: Exception) -> str:
    """Return the words of an error, with its type where another package chose them."""
    if isinstance(error, Broken):
        return str(error)
    first = (str(error).splitlines() or [""])[0]
    return f"it cannot be understood ({type(error).__name__}{f': {first}' if first else ''})"


def refuse_writing(name: str, path: Path) -> NoReturn:
    """Say that a format is only read."""
    raise ConfigurationError(
        f"Cannot write {path}: the format {name!r} is only read. Write extended XYZ (.xyz), an ASE "
        "database (.db) or a native folder."
    )
