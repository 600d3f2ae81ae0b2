"""The flat form of a `ConformerSet`: named arrays of numbers and JSON, for files and xarray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .errors import DataError
from .tables import Extra, Labels, Molecules

if TYPE_CHECKING:
    from .conformers import ConformerSet

_MOLECULE_STRINGS = ("key", "smiles", "constitution")
_LABELS = ("energy", "forces", "stress", "has_energy", "has_forces", "has_stress")
_UNITS = {
    "positions": "angstrom",
    "cell": "angstrom",
    "temperature": "K",
    "time": "fs",
    "energy": "eV",
    "forces": "eV/angstrom",
    "stress": "eV/angstrom**3",
    "charge": "e",
}


def to_arrays(conformers: ConformerSet) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Take a set apart into arrays of numbers and what JSON can hold.

    Returns
    -------
    arrays : dict of str to numpy.ndarray
        Columns by dotted name, such as ``labels.gfn2.energy``; strings are coded.
    meta : dict
        Texts, categories and reference energies.
    """
    arrays: dict[str, np.ndarray] = {}
    meta: dict[str, Any] = {
        "metadata": dict(conformers.metadata),
        "molecules": {},
        "categories": {},
    }
    molecules = conformers.molecules
    for f in fields(molecules):
        column = getattr(molecules, f.name)
        if f.name in _MOLECULE_STRINGS:
            meta["molecules"][f.name] = column.tolist()
        else:
            arrays[f"molecules.{f.name}"] = column
    for f in fields(conformers):
        column = getattr(conformers, f.name)
        if isinstance(column, np.ndarray):
            arrays[f.name] = _coded(f.name, column, meta)
    meta["levels"] = {}
    for level, labels in conformers.levels.items():
        meta["levels"][level] = {str(z): e for z, e in labels.reference_energies.items()}
        for name in _LABELS:
            if (column := getattr(labels, name)) is not None:
                arrays[f"labels.{level}.{name}"] = column
    for group in ("frame_extras", "atom_extras"):
        meta[group] = list(getattr(conformers, group))
        for name, extra in getattr(conformers, group).items():
            key = f"{group}.{name}"
            arrays[key] = _coded(key, extra.values, meta)
            arrays[f"{key}.present"] = extra.present
    return arrays, meta


def from_arrays(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> ConformerSet:
    """Put a set together from what `to_arrays` returned."""
    from .conformers import ConformerSet

    complex_ = [name for name, array in arrays.items() if array.dtype.kind == "c"]
    if complex_:
        raise ValueError(f"{complex_[0]} holds complex numbers")
    molecules = Molecules(
        **{name: np.array(meta["molecules"][name], dtype=np.str_) for name in _MOLECULE_STRINGS},
        **{
            f.name: arrays[f"molecules.{f.name}"]
            for f in fields(Molecules)
            if f.name not in _MOLECULE_STRINGS
        },
    )

    def extras(group: str) -> dict[str, Extra]:
        return {
            name: Extra(
                _decoded(f"{group}.{name}", arrays, meta), arrays[f"{group}.{name}.present"]
            )
            for name in meta[group]
        }

    def columns(level: str) -> dict[str, Any]:
        named = {name: f"labels.{level}.{name}" for name in _LABELS}
        return {name: arrays[key] for name, key in named.items() if key in arrays}

    return ConformerSet(
        molecules=molecules,
        **{
            f.name: _decoded(f.name, arrays, meta) for f in fields(ConformerSet) if f.name in arrays
        },
        levels={
            level: Labels(
                **columns(level),
                reference_energies={int(z): e for z, e in references.items()},
            )
            for level, references in meta["levels"].items()
        },
        frame_extras=extras("frame_extras"),
        atom_extras=extras("atom_extras"),
        metadata=meta["metadata"],
    )


def _coded(name: str, column: np.ndarray, meta: dict[str, Any]) -> np.ndarray:
    if column.dtype.kind != "U":
        return column
    categories, codes = np.unique(column, return_inverse=True)
    meta["categories"][name] = categories.tolist()
    return codes.reshape(column.shape).astype(np.int32)


def _decoded(name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> np.ndarray:
    if name not in meta["categories"]:
        return arrays[name]
    categories = np.array(meta["categories"][name], dtype=np.str_)
    if not len(categories):
        return np.zeros(arrays[name].shape, dtype=np.str_)
    return categories[arrays[name]]


def to_xarray(conformers: ConformerSet) -> xr.Dataset:
    """Return CF contiguous ragged arrays: ``n_atoms(conformer)`` counts along ``atom``.

    Levels of theory become variables ``labels.LEVEL.energy`` and so on, with units in attributes;
    the attribute `breadth` holds as JSON what is not an array.
    """
    arrays, meta = to_arrays(conformers)
    per_atom = {"numbers", "positions"}
    atom_values = {f"atom_extras.{name}" for name in conformers.atom_extras}
    variables: dict[str, Any] = {}
    for name, values in arrays.items():
        last = name.rsplit(".", 1)[-1]
        if name == "offsets":
            counts = {"sample_dimension": "atom", "long_name": "atoms per conformer"}
            variables["n_atoms"] = ("conformer", np.diff(values), counts)
            continue
        if name == "molecules.bond_offsets":
            counts = {"sample_dimension": "bond", "long_name": "bonds per molecule"}
            variables["molecules.n_bonds"] = ("molecule_row", np.diff(values), counts)
            continue
        if name == "molecules.bonds":
            first = "bond"
        elif name.startswith("molecules."):
            first = "molecule_row"
        elif name in per_atom or name in atom_values or name.endswith(".forces"):
            first = "atom"
        else:
            first = "conformer"
        rest = ["xyz" if s == 3 else f"{name}_{i}" for i, s in enumerate(values.shape[1:])]
        if rest == ["xyz", "xyz"]:
            rest = ["vector", "xyz"]
        attributes = {"units": _UNITS[last]} if last in _UNITS else {}
        if name in meta["categories"]:
            attributes["flag_meanings_in"] = "attribute breadth, categories"
        variables[name] = ((first, *rest), values, attributes)
    attrs = {
        "Conventions": "CF-1.11",
        "featureType": "contiguous ragged",
        "breadth": json.dumps(meta),
    }
    return xr.Dataset(variables, attrs=attrs)


def from_xarray(dataset: xr.Dataset) -> ConformerSet:
    """Return the set that `to_xarray` wrote.

    Raises
    ------
    DataError
        If the data set was not written by `to_xarray`.
    """
    if "breadth" not in dataset.attrs:
        raise DataError("This data set has no attribute 'breadth': to_xarray did not write it.")
    meta = json.loads(dataset.attrs["breadth"])
    arrays = {str(name): variable.to_numpy() for name, variable in dataset.data_vars.items()}
    for counts, offsets in (
        ("n_atoms", "offsets"),
        ("molecules.n_bonds", "molecules.bond_offsets"),
    ):
        arrays[offsets] = np.concatenate([[0], np.cumsum(arrays.pop(counts))]).astype(np.int64)
    return from_arrays(arrays, meta)
