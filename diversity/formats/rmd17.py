"""rMD17 and MD17: NumPy archives of one molecule each, in kcal/mol and Å.

rMD17 (Christensen & von Lilienfeld, arXiv:2007.09593) has `nuclear_charges`, `coords`, `energies`
and `forces` at PBE/def2-SVP, level ``pbe-def2svp``. Its `old_indices`, `old_energies` and
`old_forces` (MD17's own labels, noisy) are kept as extras as they stand, in kcal/mol: they are no
level of theory to train on. MD17 and sGDML files have `z`, `R`, `E` and `F`; their level is what
the file's `theory` says, else ``pbe-ts``.

What is written is an rMD17 archive with `energies` and `forces` of one level. Columns that rMD17
does not know stand beside, under ``breadth:`` names, as does the rounding of the change of units:
a set comes back equal in every bit.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import kcal, mol

from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import build
from ..records import Record
from ..tables import Labels
from .archives import FAILURES, array_heads, stretches
from .aside import written_aside
from .settled import Source

_KCAL_PER_MOL = kcal / mol
_UNITS = {"kcal/mol": _KCAL_PER_MOL, "ev": 1.0}
_OWN = "breadth:"
#: Names of numbers, positions, energies and forces, by the key that tells the layout.
_LAYOUTS = {
    "nuclear_charges": ("nuclear_charges", "coords", "energies", "forces"),
    "z": ("z", "R", "E", "F"),
}
_DEFAULT_LEVELS = {"nuclear_charges": "pbe-def2svp", "z": "pbe-ts"}
_TEXTS = ("theory", "name", "type", "md5", "r_unit", "e_unit", "README")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is a NumPy archive with the names of rMD17 or MD17."""
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, *FAILURES):
        return path.suffix.lower() == ".npz"
    return any(names.issuperset(layout[:2]) for layout in _LAYOUTS.values())


def streams(path: Path) -> bool:
    """Tell whether an archive can be read some rows at a time.

    One that this suite wrote, or whose arrays do not fit each other, is read at once.
    """
    try:
        heads = array_heads(path)
    except (OSError, *FAILURES):
        return False
    names = next((n for key, n in _LAYOUTS.items() if key in heads), None)
    if names is None or f"{_OWN}meta" in heads or not heads.keys() >= set(names[:2]):
        return False
    shape = heads[names[1]].shape
    return (
        len(shape) == 3
        and heads[names[0]].shape == shape[1:2]
        and all(heads[k].shape[:1] == shape[:1] for k in names[2:] if k in heads)
        and not any(head.by_columns or head.kind.hasobject for head in heads.values())
    )


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read an archive. Its records are rows of one array, so that `skip_bad` finds none to skip."""
    arrays = _arrays(path)
    if f"{_OWN}meta" in arrays:
        names = _names(path, arrays)
        _, positions = _geometry(path, arrays, names)
        energies, forces = _labels(path, arrays, names, positions.shape)
        return _restored(path, arrays, positions, energies, forces, level)
    n = len(arrays[_names(path, arrays)[1]]) if _names(path, arrays)[1] in arrays else 0
    by_row = {k for k, v in arrays.items() if v.ndim and len(v) == n}
    return build(_records(path, arrays, by_row, level), identity=identity, source=str(path))


def open_source(
    path: Path,
    *,
    level: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Source:
    """Open an archive that :func:`streams`, whose records are read one after another."""

    def records() -> Iterator[Record]:
        done = 0
        for arrays, by_row, n in _damage_told(path):
            found = _records(path, arrays, by_row, level, first=done)
            done += len(found)
            yield from found
            if progress is not None:
                progress(done / max(1, n))

    return Source(records())


def _records(
    path: Path, arrays: dict[str, np.ndarray], by_row: set[str], level: str | None, first: int = 0
) -> list[Record]:
    """Return the records of some rows; `by_row` are the arrays with a row for each record."""
    names = _names(path, arrays)
    numbers, positions = _geometry(path, arrays, names)
    energies, forces = _labels(path, arrays, names, positions.shape)
    unit = _text(arrays, "e_unit") or "kcal/mol"
    factor = _UNITS.get(unit)
    if factor is None or _text(arrays, "r_unit") not in ("", "ang", "angstrom", "å"):
        raise DataError(f"{path}: its units are not Å and kcal/mol or eV (e_unit: {unit}).")
    default = _text(arrays, "theory") or _DEFAULT_LEVELS[names[0]]
    extras = {k: v for k, v in arrays.items() if k in by_row - {*names, *_TEXTS}}
    frame = {k: _column(v, len(positions)) for k, v in extras.items()}
    atom = {k: v for k, v in frame.items() if v.ndim > 1 and v.shape[1] == len(numbers)}
    source = f"{path.resolve().parent.name}/{path.name}"
    records = []
    for i in range(len(positions)):
        labels: dict[str, Any] = {}
        if energies is not None:
            labels["energy"] = energies[i] * factor
        if forces is not None:
            labels["forces"] = forces[i] * factor
        records.append(
            Record(
                numbers=numbers,
                positions=positions[i],
                levels={level or default: labels} if labels else {},
                frame_extras={k: v[i] for k, v in frame.items() if k not in atom},
                atom_extras={k: v[i] for k, v in atom.items()},
                provenance={"source": source, "record": first + i},
                place=f"{path}: record {first + i}",
            )
        )
    return records


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Write a set of one molecule; `level` is the one written as `energies` and `forces`."""
    orders = conformers.numbers.reshape(len(conformers), -1) if _uniform(conformers) else None
    if orders is None or (orders != orders[0]).any():
        raise DataError(
            f"Cannot write {path}: an rMD17 archive holds one molecule with its atoms in one "
            "order. Use the native format or extended XYZ."
        )
    name = level if level is not None else next(iter(conformers.levels), None)
    n, a = len(conformers), orders.shape[1]
    arrays: dict[str, Any] = {
        "nuclear_charges": orders[0],
        "coords": conformers.positions.reshape(n, a, 3),
    }
    rest = conformers
    if name is not None:
        labels = conformers.labels(name)
        for key, values, shape in (
            ("energies", labels.energy, (n,)),
            ("forces", labels.forces, (n, a, 3)),
        ):
            there = values.astype(np.float64) / _KCAL_PER_MOL
            lost = values - there * _KCAL_PER_MOL
            arrays[key] = there.reshape(shape)
            if lost.any():
                arrays[f"{_OWN}rounding.{key}"] = lost.reshape(shape)
        rest = conformers.with_level(name, _emptied(labels))
    columns, meta = rest.to_arrays()
    skip = ("numbers", "positions", f"labels.{name}.energy", f"labels.{name}.forces")
    arrays |= {f"{_OWN}{key}": value for key, value in columns.items() if key not in skip}
    meta["level"] = name
    meta["forces"] = str(conformers.levels[name].forces.dtype) if name is not None else ""
    arrays[f"{_OWN}meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with written_aside(path) as file:
        np.savez(file, **arrays)


def _uniform(conformers: ConformerSet) -> bool:
    return bool(len(conformers)) and len(np.unique(conformers.counts)) == 1


def _emptied(labels: Labels) -> Labels:
    return replace(labels, energy=np.zeros_like(labels.energy), forces=np.zeros_like(labels.forces))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FAILURES as error:
        raise _damaged(path, error) from error


def _damage_told(path: Path) -> Iterator[tuple[dict[str, np.ndarray], set[str], int]]:
    """Yield the stretches of an archive; see :func:`stretches`."""
    try:
        numbers, positions, *_ = _names(path, array_heads(path))
        yield from stretches(path, numbers, positions)
    except (OSError, *FAILURES) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as a NumPy archive: {error}. It is truncated, damaged, or holds "
        "pickled objects, which are never loaded."
    )


def _names(path: Path, arrays: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of numbers, positions, energies and forces."""
    layout = next((key for key, names in _LAYOUTS.items() if names[0] in arrays), None)
    if layout is None:
        have = ", ".join(sorted(arrays)[:8])
        raise DataError(f"{path} is no rMD17 or MD17 archive: it has the arrays {have}.")
    return _LAYOUTS[layout]


def _geometry(
    path: Path, arrays: dict[str, np.ndarray], names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    numbers, positions = arrays[names[0]], arrays.get(names[1])
    if positions is None:
        raise DataError(f"{path} has no array {names[1]!r}.")
    if numbers.ndim == 2 and len(numbers) and (numbers == numbers[0]).all():
        numbers = numbers[0]
    sound = numbers.ndim == 1 and numbers.dtype.kind in "iu" and positions.dtype.kind == "f"
    if not sound or positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3):
        raise DataError(
            f"{path}: {names[1]!r} of shape {positions.shape} does not fit {names[0]!r} of shape "
            f"{numbers.shape}: (frames, atoms, 3) and (atoms,) are needed."
        )
    if ((numbers < 1) | (numbers > 118)).any():
        raise DataError(f"{path}: unknown element: {names[0]!r} leaves the range 1 to 118.")
    if positions.dtype not in (np.float32, np.float64):
        positions = positions.astype(np.float64)
    return numbers.astype(np.uint8), positions


def _labels(
    path: Path, arrays: dict[str, np.ndarray], names: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    energies, forces = arrays.get(names[2]), arrays.get(names[3])
    if energies is not None:
        energies = energies.reshape(-1)
        if len(energies) != shape[0] or energies.dtype.kind not in "fi":
            raise DataError(
                f"{path}: {names[2]!r} has {len(energies)} energies for {shape[0]} frames: record "
                f"{min(len(energies), shape[0])} has none, or no frame."
            )
        energies = energies.astype(np.float64)
    if forces is not None:
        if forces.shape != shape or forces.dtype.kind != "f":
            raise DataError(
                f"{path}: {names[3]!r} of shape {forces.shape} does not fit {names[1]!r} of shape "
                f"{shape}."
            )
        forces = forces.astype(np.float64)
    return energies, forces


def _text(arrays: dict[str, np.ndarray], name: str) -> str:
    """Return a text of the archive in small letters, '' if it has none; some store bytes."""
    value = arrays[name].item() if name in arrays and arrays[name].size == 1 else ""
    return (value.decode() if isinstance(value, bytes) else str(value)).lower()


def _column(values: np.ndarray, n: int) -> np.ndarray:
    return values.reshape(n) if values.shape == (n, 1) else values


def _restored(
    path: Path,
    arrays: dict[str, np.ndarray],
    positions: np.ndarray,
    energies: np.ndarray | None,
    forces: np.ndarray | None,
    level: str | None,
) -> ConformerSet:
    """Put together a set that :func:`write` wrote."""
    columns = {k.removeprefix(_OWN): v for k, v in arrays.items() if k.startswith(_OWN)}
    try:
        meta = json.loads(columns.pop("meta").tobytes())
        name = meta["level"]
        columns["numbers"] = np.tile(arrays["nuclear_charges"], len(positions))
        columns["positions"] = positions.reshape(-1, 3)
        if name is not None and energies is not None and forces is not None:
            for key, values, column in (
                ("energies", energies, "energy"),
                ("forces", forces.reshape(-1, 3), "forces"),
            ):
                lost = columns.pop(f"rounding.{key}", np.zeros(1))
                exact = values * _KCAL_PER_MOL + lost.reshape(values.shape if lost.size > 1 else 1)
                columns[f"labels.{name}.{column}"] = exact
            forced = columns[f"labels.{name}.forces"]
            columns[f"labels.{name}.forces"] = forced.astype(meta["forces"])
        made = ConformerSet.from_arrays(columns, meta)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(f"{path}: its breadth: arrays do not fit the others ({error}).") from error
    if level is not None and name is not None and level != name:
        made = replace(made, levels={level if k == name else k: v for k, v in made.levels.items()})
    return made
