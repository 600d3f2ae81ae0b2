"""The inside of an HDF5 file that came from elsewhere: groups and data sets that can be believed.

Links to other files, which HDF5 allows, are not followed, and a length that is larger than the file
is a fault, not memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from math import prod
from typing import Any

import numpy as np

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Groups in groups in the deepest layout (ANI-1) are two; a file that is damaged may have loops.
_DEPTH = 4
# What h5py raises at damaged files.
FAILURES = (
    *(OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError),
    *(AttributeError, MemoryError, OverflowError, ZeroDivisionError),
)


class Fault(Exception):
    """A structural fault of one group."""


def leaves(
    group: Any, marks: tuple[str, ...], path: str = "", seen: set[Any] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the groups that hold one of the data sets `marks`, depth first, each once.

    In place of one that cannot be opened stands why.
    """
    import h5py

    seen = set() if seen is None else seen
    address = h5py.h5o.get_info(group.id).addr
    if address in seen or path.count("/") >= _DEPTH:
        return
    seen.add(address)
    if path and any(mark.encode() in group.id for mark in marks):
        yield path, group
        return
    for name in group:
        where = f"{path}/{name}" if path else name
        try:
            child = member(group, name)
        except (Fault, *FAILURES) as error:
            yield where, error
            continue
        if isinstance(child, h5py.Group):
            yield from leaves(child, marks, where, seen)


def member(group: Any, name: str) -> Any:
    """Return a member that lies in this file.

    Raises
    ------
    Fault
        If it is missing, or a link elsewhere.
    """
    import h5py

    # The low level of h5py: QM7-X has thirty million data sets of a few numbers each.
    key = name.encode()
    if key not in group.id:
        raise Fault(f"there is no data set {name!r}")
    if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise Fault(f"{name!r} is a link, which may lead to another file, and is not followed")
    found = h5py.h5o.open(group.id, key)
    if isinstance(found, h5py.h5d.DatasetID):
        return h5py.Dataset(found)
    return h5py.Group(found) if isinstance(found, h5py.h5g.GroupID) else found


def dataset(group: Any, name: str, shape: tuple[int | None, ...], kinds: str = "fiu") -> Any:
    """Return an open data set of numbers whose size can be believed.

    Parameters
    ----------
    group : h5py.Group
    name : str
    shape : tuple of int or None
        None is any length.
    kinds : str
        NumPy's kinds of types.

    Raises
    ------
    Fault
        If it is missing, of another type or shape, or cannot lie in this file.
    """
    import h5py

    found = member(group, name)
    if not isinstance(found, h5py.Dataset) or (kind := found.id.dtype).kind not in kinds:
        raise Fault(f"{name!r} is not a data set of the right type")
    have = found.id.shape
    fit = have is not None and len(have) == len(shape)
    if not fit or any(b is not None and a != b for a, b in zip(have, shape, strict=True)):
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        raise Fault(f"{name!r} has the shape {have} instead of ({wanted})")
    # What has a place in the file is stored in it; else it is packed, or lies elsewhere.
    if found.id.get_offset() is None and (found.external or found.is_virtual):
        raise Fault(f"{name!r} lies in another file, which is not read")
    size = prod(have) * kind.itemsize
    if size > 1_000_000:
        # No filter of HDF5 packs more than a thousand to one: what is larger is a damaged length.
        stored = found.id.get_storage_size()
        if size > 2000 * stored or stored > found.file.id.get_filesize():
            raise Fault(f"{name!r} is larger than the file")
    return found


def atomic_numbers(group: Any, name: str) -> np.ndarray:
    """Return atomic numbers, whatever type they are kept as, shape (N,) or (C, N).

    Raises
    ------
    Fault
        If there is an unknown element, or no atom.
    """
    from ase.data import atomic_numbers as by_symbol

    found = member(group, name)
    if len(getattr(found, "shape", None) or ()) not in (1, 2):
        raise Fault(f"there are no atomic numbers {name!r}")
    values = dataset(group, name, (None,) * len(found.shape), kinds="fiuSO")[()]
    if values.dtype.kind in "SO":
        texts = [t.decode() if isinstance(t, bytes) else str(t) for t in values.ravel()]
        values = np.array([by_symbol.get(t, 0) for t in texts]).reshape(values.shape)
    if not values.size or not ((values > 0) & (values < 119) & (values == np.floor(values))).all():
        raise Fault(f"{name!r} has an unknown element, or no atom")
    return np.asarray(values.astype(np.uint8))


def text(group: Any, name: str) -> str:
    """Return a text: a scalar, the first of a list, or the letters of one joined; '' for none."""
    if name not in group:
        return ""
    found = member(group, name)
    if getattr(found, "dtype", None) is None or found.dtype.kind not in "SO" or found.size > 10_000:
        raise Fault(f"{name!r} is not a text")
    parts = [
        t.decode() if isinstance(t, bytes) else str(t) for t in np.atleast_1d(found[()]).ravel()
    ]
    # ANI-1 keeps a SMILES as a list of its letters.
    letters = len(list(takewhile(lambda part: len(part) == 1, parts))) == len(parts)
    return "".join(parts) if letters else parts[0]


def scaled(values: np.ndarray, factor: float) -> np.ndarray:
    """Return values times a factor, computed in float64, in the precision of the file."""
    kind = values.dtype if values.dtype in (np.float32, np.float64) else np.float64
    with np.errstate(over="ignore"):  # what leaves the range becomes infinite and is set aside
        return (values.astype(np.float64) * factor).astype(kind)


def extras(
    group: Any, known: set[str], rows: slice, n_conformations: int, n_atoms: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what a group holds besides: values of conformations, and of atoms, as they stand.

    Matrices of pairs of atoms, such as bond orders, have no place in a set and are left out.
    """
    import h5py

    frame, atom = {}, {}
    for name in group:
        if name in known:
            continue
        found = member(group, name)
        numeric = isinstance(found, h5py.Dataset) and found.dtype.kind in "fiub"
        if not numeric or not found.shape or found.shape[0] != n_conformations:
            continue
        rest = found.shape[1:]
        if name.endswith("indices") or (rest[:2] == (n_atoms, n_atoms) and n_atoms != 3):
            continue
        values = dataset(group, name, found.shape, "fiub")[rows]
        # With three atoms a dipole has the shape of three charges: names tell.
        of_frame = name.endswith(("dipole", "quadrupole", "octupole", "energy"))
        if rest[:1] == (n_atoms,) and not of_frame:
            atom[name] = values.reshape(values.shape[:-1]) if rest[1:] == (1,) else values
        elif rest in ((), (3,), (3, 3), (3, 3, 3), (6,)):
            frame[name] = values
    return frame, atom
