"""QM7-X (Hoja et al., doi 10.1038/s41597-021-00812-2): HDF5, a group for each geometry.

A file holds groups of molecules (``1``), which hold geometries ``Geom-m1-i1-c1-opt`` (a minimum)
and ``Geom-m1-i1-c1-1`` (displaced from it): molecule m, isomer i, conformer c. Read are `atNUM`
(N,), `atXYZ` (N, 3) in Å, and the labels in eV and eV/Å of three levels:

==============  ==============  =========
level           energy          forces
==============  ==============  =========
``pbe0-mbd``    `ePBE0+MBD`     `totFOR`
``pbe0``        `ePBE0`         `pbe0FOR`
``dftb-mbd``    `eDFTB+MBD`     none
==============  ==============  =========

`level` gives ``pbe0-mbd`` another name. An isomer is a molecule, and its constitution is the graph
of its geometry of lowest energy. The forty other properties of each geometry are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from . import grouped, hdf5
from .grouped import Block, Layout
from .hdf5 import Fault

LEVEL = "pbe0-mbd"
_LEVELS = {
    LEVEL: ("ePBE0+MBD", "totFOR"),
    "pbe0": ("ePBE0", "pbe0FOR"),
    "dftb-mbd": ("eDFTB+MBD", ""),
}
_NAME = re.compile(r"geom-m(\d+)-i(\d+)-c(\d+)-", re.IGNORECASE)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is HDF5 with the groups of QM7-X."""
    return grouped.fits(path, head, LAYOUT)


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a file; see the module."""
    return grouped.read(path, LAYOUT, level, identity, skip_bad)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: this format is read only."""
    grouped.refuse_write(path, LAYOUT)


def _blocks(group: Any, path: str, file_name: str, level: str | None) -> Iterator[Block]:
    numbers = hdf5.atomic_numbers(group, "atNUM")
    if numbers.ndim != 1:
        raise Fault("'atNUM' is not a list")
    n = len(numbers)
    levels: dict[str, dict[str, np.ndarray]] = {}
    held = set(group)
    for name, (energy, forces) in _LEVELS.items():
        labels = {}
        if energy in held:
            labels["energy"] = hdf5.dataset(group, energy, (1,))[()].astype(np.float64)
        if forces in held:
            labels["forces"] = hdf5.scaled(hdf5.dataset(group, forces, (n, 3))[()], 1.0)[None]
        if labels:
            levels[level if level is not None and name == LEVEL else name] = labels
    told = _NAME.match(path.rsplit("/", 1)[-1])
    m, i, c = told.groups() if told else ("", "", "-1")
    yield Block(
        numbers=numbers,
        positions=hdf5.scaled(hdf5.dataset(group, "atXYZ", (n, 3))[()], 1.0)[None],
        levels=levels,
        identifier=f"qm7x-m{m}-i{i}" if told else "",
        minimum=int(c),
    )


LAYOUT = Layout(
    title="QM7-X",
    marks=("atNUM", "atXYZ"),
    blocks=_blocks,
    left_out="properties of QM7-X other than energies and forces",
)
