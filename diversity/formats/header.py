"""What a file of frames that this suite wrote says of its whole set: names, types, metadata.

Extended XYZ has no types but text, integer, real and truth, and keys must be plain words; ASE's
databases are little richer. The header, JSON in the first frame or in the database's metadata,
holds what is needed to get back the names, types and shapes that were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from ..conformers import ConformerSet
from ..errors import DataError
from ..tables import Extra, Labels


@dataclass
class Header:
    """The header of a file; empty for a file that this suite did not write.

    Parameters
    ----------
    prefixes : dict of str to str
        Level by the prefix of its keys, such as ``{"": "gfn2", "mmff94_": "mmff94"}``.
    forces : dict of str to str
        Type of the forces by level.
    positions : str
        Type of the positions; '' where there is no header.
    frame_extras, atom_extras : dict of str to dict
        `name`, `dtype` and `shape` of a value, by its key in the file.
    metadata : dict
        Of the set.
    """

    prefixes: dict[str, str] = field(default_factory=dict)
    forces: dict[str, str] = field(default_factory=dict)
    positions: str = ""
    frame_extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    atom_extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def take(self, value: Any, level: str | None = None) -> None:
        """Take over a header's text; files that were joined have several, and the last counts.

        Parameters
        ----------
        value : str or dict or None
            JSON; None leaves all as it is.
        level : str, optional
            A name to give to the level of the plain keys.

        Raises
        ------
        DataError
            If another level has that name.
        """
        if value is None:
            return
        try:
            found = json.loads(value) if isinstance(value, str) else value
            fresh = Header(**found)
            fresh._check()
        except (TypeError, ValueError, KeyError, AttributeError):
            return  # a damaged header tells nothing
        if level is not None and "" in fresh.prefixes:
            if level in [name for prefix, name in fresh.prefixes.items() if prefix]:
                raise DataError(
                    f"Cannot call the main labels {level!r}: there is another level of this name "
                    "beside them, and levels of theory are never merged. Choose another name."
                )
            old = fresh.prefixes[""]
            fresh.prefixes[""] = level
            fresh.forces[level] = fresh.forces.pop(old, "float64")
        self.__dict__.update(fresh.__dict__)

    def _check(self) -> None:
        """Raise one of the errors of Python if a value is none that a header has."""
        entries = [*self.frame_extras.values(), *self.atom_extras.values()]
        for kind in (self.positions or "float64", *self.forces.values()):
            if np.dtype(kind).kind != "f":
                raise ValueError(kind)
        for entry in entries:
            if np.dtype(entry["dtype"]).kind not in "biufU" or prod(entry["shape"]) > 1_000_000:
                raise ValueError(entry["dtype"])
        texts = [*self.prefixes, *self.prefixes.values(), *(entry["name"] for entry in entries)]
        if (
            not all(isinstance(text, str) for text in texts)
            or min((size for entry in entries for size in entry["shape"]), default=0) < 0
        ):
            raise ValueError("names and shapes")
        self.metadata.items()

    def frame_name(self, key: str) -> str:
        """Return the name of a per-frame extra by its key in the file."""
        return str(self.frame_extras.get(key, {}).get("name", key))

    def atom_name(self, key: str) -> str:
        """Return the name of a per-atom extra by its column in the file."""
        return str(self.atom_extras.get(key, {}).get("name", key))

    def atom_text(self, key: str, values: np.ndarray) -> np.ndarray:
        """Undo the coding of texts with spaces in per-atom columns."""
        if key not in self.atom_extras or values.dtype.kind != "U":
            return values
        return np.vectorize(coded_back, otypes=[np.str_])(values)


def columns_told(extras: Mapping[str, Extra], keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what a header tells of extras, by their key in the file (their name by default)."""
    return {
        keys.get(name, name): {
            "name": name,
            "dtype": "str" if extra.values.dtype.kind == "U" else str(extra.values.dtype),
            "shape": list(extra.values.shape[1:]),
        }
        for name, extra in extras.items()
    }


def coded(text: str) -> str:
    """Return a text as one word: percent-encoded, with % alone for the empty text."""
    return quote(text, safe=":/+-_()[]=#@,") or "%"


def coded_back(word: str) -> str:
    """Return the text that :func:`coded` made a word of."""
    return "" if word == "%" else unquote(word)


def restored(made: ConformerSet, header: Header) -> ConformerSet:
    """Give a set that was read the types, shapes and empty columns that its header tells."""
    if not header.positions:
        return made
    n, a = len(made), made.n_atoms
    levels = {}
    for level in dict.fromkeys([*header.prefixes.values(), *made.levels]):
        labels = made.levels.get(level) or Labels.empty(n, a)
        kind = np.dtype(header.forces.get(level, "float64"))
        levels[level] = replace(labels, forces=labels.forces.astype(kind))
    return replace(
        made,
        positions=made.positions.astype(header.positions),
        levels=levels,
        frame_extras=_extras(made.frame_extras, header.frame_extras, n, n),
        atom_extras=_extras(made.atom_extras, header.atom_extras, a, n),
    )


def _extras(
    have: Mapping[str, Extra], told: dict[str, dict[str, Any]], rows: int, n: int
) -> dict[str, Extra]:
    made = {}
    for entry in told.values():
        name, kind = entry["name"], np.dtype(entry["dtype"])
        shape = (rows, *entry["shape"])
        if name not in have:
            made[name] = Extra(np.zeros(shape, dtype=kind), np.zeros(n, dtype=bool))
        else:
            extra = have[name]
            kind = extra.values.dtype if kind.kind == "U" else kind
            try:
                made[name] = Extra(extra.values.astype(kind).reshape(shape), extra.present)
            except ValueError:  # values that were changed since are kept as they are
                made[name] = extra
    return {**made, **{name: extra for name, extra in have.items() if name not in made}}


def joined_headers(headers: list[Header]) -> Header:
    """Return what several headers tell together; where they disagree on a type, nothing."""
    joined = Header(positions="float32" if headers else "")
    for header in headers:
        if header.positions != "float32":
            joined.positions = header.positions
        for name in header.prefixes.values():
            joined.prefixes.setdefault(name, name)
            kind = header.forces.get(name, "float64")
            joined.forces[name] = kind if joined.forces.get(name, kind) == kind else "float64"
        for group in ("frame_extras", "atom_extras"):
            mine = getattr(joined, group)
            for entry in getattr(header, group).values():
                mine[entry["name"]] = entry if mine.get(entry["name"], entry) == entry else {}
        joined.metadata = {**header.metadata, **joined.metadata}
    joined.frame_extras = {k: v for k, v in joined.frame_extras.items() if v}
    joined.atom_extras = {k: v for k, v in joined.atom_extras.items() if v}
    return joined


def fitting(header: Header, made: ConformerSet) -> Header:
    """Leave out of a header what would change a value: the atoms may have been changed since."""

    def kept(extras: dict[str, dict[str, Any]], have: Mapping[str, Extra]) -> dict[str, Any]:
        return {
            k: entry
            for k, entry in extras.items()
            if k not in have or _exact(have[k].values, entry["dtype"], tuple(entry["shape"]))
        }

    positions = header.positions
    if positions and not _exact(made.positions, positions, (3,)):
        positions = "float64"
    forces = {
        level: kind
        for level, kind in header.forces.items()
        if level not in made.levels or _exact(made.levels[level].forces, kind, (3,))
    }
    return Header(
        prefixes=header.prefixes,
        forces=forces,
        positions=positions,
        frame_extras=kept(header.frame_extras, made.frame_extras),
        atom_extras=kept(header.atom_extras, made.atom_extras),
        metadata=header.metadata,
    )


def _exact(values: np.ndarray, kind: str, shape: tuple[int, ...]) -> bool:
    """Tell whether a type and a shape per row hold the values as they are."""
    if int(np.prod(values.shape[1:])) != int(np.prod(shape)):
        return False
    if values.dtype.kind == "U" or np.dtype(kind).kind == "U":
        return values.dtype.kind == np.dtype(kind).kind
    with np.errstate(all="ignore"):
        return bool(np.array_equal(values.astype(kind), values, equal_nan=True))
