"""ANI (Smith et al., Devereux et al.): HDF5, groups of one formula or of one count of atoms.

ANI-1x and ANI-1ccx (doi 10.1038/s41597-020-0473-z)
    groups by formula: `atomic_numbers` (N,), `coordinates` (C, N, 3) in Å, and for each level
    ``LEVEL.energy`` (C,) in hartree and ``LEVEL.forces`` (C, N, 3) in hartree/Å: levels
    ``wb97x_dz``, ``wb97x_tz``, ``ccsd(t)_cbs``, ``hf_dz`` … keep their names. NaN is a label that
    was not computed.
ANI-2x (doi 10.1021/acs.jctc.0c00121, files of Zenodo 10108942)
    groups by count of atoms: `species` (C, N), `coordinates`, `energies`, `forces`.
ANI-1 (doi 10.1038/sdata.2017.193)
    groups in a group: `species` (symbols), `coordinates`, `energies`, `smiles` as letters;
    `coordinatesHE` and `energiesHE`, the high energies that the authors leave out of training,
    follow as records with the extra `high_energy`.

Where a file names no level, the caller or the file's name tells it (``wb97x-631gd``), else it is
``unknown``. Groups mix isomers, so that molecules are told apart by the graph of each record,
except in ANI-1, where a group is a molecule with a SMILES. Other values are kept as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Hartree

from ..conformers import ConformerSet
from . import grouped, hdf5
from .extxyz import UNNAMED_LEVEL
from .grouped import Block, Layout
from .hdf5 import Fault

_LEVELS_OF_NAMES = (
    (r"wb97x[-_]631gd?|ani_gdb|ani1_gdb", "wb97x-631gd"),
    (r"wb97x[-_]def2tzvpp", "wb97x-def2tzvpp"),
    (r"wb97md3bj[-_]def2tzvpp", "wb97m-d3bj-def2tzvpp"),
    (r"wb97mv[-_]def2tzvpp", "wb97m-v-def2tzvpp"),
    (r"b973c[-_]def2mtzvp", "b97-3c"),
)
_KNOWN = {
    *("atomic_numbers", "species", "coordinates", "energies", "forces", "smiles"),
    *("coordinatesHE", "energiesHE"),
}


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is HDF5 with the groups of ANI."""
    return grouped.fits(path, head, LAYOUT)


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a file; see the module. `level` is of `energies` and `forces` alone."""
    return grouped.read(path, LAYOUT, level, identity, skip_bad)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: this format is read only."""
    grouped.refuse_write(path, LAYOUT)


def _blocks(group: Any, path: str, file_name: str, level: str | None) -> Iterator[Block]:
    name = "atomic_numbers" if "atomic_numbers" in group else "species"
    numbers = hdf5.atomic_numbers(group, name)
    smiles = hdf5.text(group, "smiles")
    plain = level or _named(file_name)
    yield from _part(group, numbers, smiles, plain, "")
    if "coordinatesHE" in group:
        yield from _part(group, numbers, smiles, plain, "HE")


def _part(group: Any, numbers: np.ndarray, smiles: str, plain: str, high: str) -> Iterator[Block]:
    n = numbers.shape[-1]
    positions = hdf5.dataset(group, f"coordinates{high}", (None, n, 3))
    c = len(positions)
    if numbers.ndim == 2 and len(numbers) != c:
        raise Fault(f"{len(numbers)} rows of species for {c} of coordinates")
    where = {plain: (f"energies{high}", f"forces{high}")}
    levels = [name.removesuffix(".energy") for name in group if name.endswith(".energy")]
    where |= {k: (f"{k}.energy", f"{k}.forces") for k in levels if not high}
    used = {name for pair in where.values() for name in pair}
    for start in range(0, c, grouped.ROWS):
        rows = slice(start, start + grouped.ROWS)
        labels: dict[str, dict[str, np.ndarray]] = {}
        for level, (energy, forces) in where.items():
            found = {}
            if energy in group:
                values = hdf5.dataset(group, energy, (c,))[rows]
                found["energy"] = values.astype(np.float64) * Hartree
            if forces in group:
                found["forces"] = hdf5.scaled(hdf5.dataset(group, forces, (c, n, 3))[rows], Hartree)
            if found:
                labels[level] = found
        frame, atom = ({}, {}) if high else hdf5.extras(group, _KNOWN | used, rows, c, n)
        if "coordinatesHE" in group:
            frame["high_energy"] = np.full(len(positions[rows]), bool(high))
        yield Block(
            numbers=numbers if numbers.ndim == 1 else numbers[rows],
            positions=hdf5.scaled(positions[rows], 1.0),
            levels=labels,
            frame=frame,
            atom=atom,
            smiles=smiles,
        )


def _named(file_name: str) -> str:
    found = (level for pattern, level in _LEVELS_OF_NAMES if re.search(pattern, file_name.lower()))
    return next(found, UNNAMED_LEVEL)


LAYOUT = Layout(title="ANI", marks=("coordinates",), blocks=_blocks, identity="graph")
