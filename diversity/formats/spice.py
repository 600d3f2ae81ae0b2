"""SPICE (Eastman et al., doi 10.1038/s41597-022-01882-6): HDF5, one group for each molecule.

A group has `smiles`, `subset`, `atomic_numbers` (N,), `conformations` (C, N, 3) in bohr,
`dft_total_energy` (C,) in hartree and `dft_total_gradient` (C, N, 3) in hartree/bohr; other units
are taken from the data sets' attribute `units`. Forces are minus the gradient. The level is
``wb97m-d3bj-def2tzvppd``, that of SPICE, unless the caller names another. A molecule is what has
one SMILES; its charge is that of the SMILES. `formation_energy` becomes an extra in eV; other
values of conformations and atoms are kept as they stand, in atomic units.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Bohr, Hartree, kcal, kJ, mol

from ..conformers import ConformerSet
from . import grouped, hdf5
from .grouped import Block, Layout
from .hdf5 import Fault

LEVEL = "wb97m-d3bj-def2tzvppd"
_LENGTHS = {"bohr": Bohr, "angstrom": 1.0}
_ENERGIES = {
    "hartree": Hartree,
    "ev": 1.0,
    "kcal/mol": kcal / mol,
    "kj/mol": kJ / mol,
}
_KNOWN = {
    *("smiles", "subset", "atomic_numbers", "conformations"),
    *("dft_total_energy", "dft_total_gradient", "formation_energy"),
}


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is HDF5 with SPICE's groups."""
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
    numbers = hdf5.atomic_numbers(group, "atomic_numbers")
    if numbers.ndim != 1:
        raise Fault("'atomic_numbers' is not a list")
    n = len(numbers)
    positions = hdf5.dataset(group, "conformations", (None, n, 3))
    c = len(positions)
    smiles, charge = _structure(hdf5.text(group, "smiles"), numbers.tobytes())
    subset = hdf5.text(group, "subset")
    for start in range(0, c, grouped.ROWS):
        rows = slice(start, start + grouped.ROWS)
        labels = {}
        if "dft_total_energy" in group:
            energy = hdf5.dataset(group, "dft_total_energy", (c,))
            labels["energy"] = energy[rows].astype(np.float64) * _unit(energy, _ENERGIES, Hartree)
        if "dft_total_gradient" in group:
            gradient = hdf5.dataset(group, "dft_total_gradient", (c, n, 3))
            labels["forces"] = hdf5.scaled(gradient[rows], -_slope(gradient))
        frame, atom = hdf5.extras(group, _KNOWN, rows, c, n)
        if "formation_energy" in group:
            formed = hdf5.dataset(group, "formation_energy", (c,))
            frame["formation_energy"] = formed[rows] * _unit(formed, _ENERGIES, Hartree)
        yield Block(
            numbers=numbers,
            positions=hdf5.scaled(positions[rows], _unit(positions, _LENGTHS, Bohr)),
            levels={level or LEVEL: labels},
            frame=frame,
            atom=atom,
            texts={"subset": subset} if subset else {},
            smiles=smiles,
            charge=charge,
        )


def _unit(found: Any, units: dict[str, float], default: float) -> float:
    named = found.attrs.get("units")
    if named is None:
        return default
    name = (named.decode() if isinstance(named, bytes) else str(named)).lower()
    if name not in units:
        raise Fault(f"{found.name} has the unknown unit {name!r}; known are {', '.join(units)}")
    return units[name]


def _slope(found: Any) -> float:
    slopes = {
        f"{energy}/{length}": a / b
        for energy, a in _ENERGIES.items()
        for length, b in _LENGTHS.items()
    }
    return _unit(found, slopes, Hartree / Bohr)


@lru_cache(maxsize=1024)
def _structure(given: str, numbers: bytes) -> tuple[str, int]:
    """Return the SMILES without the atoms' places, and the charge that it tells.

    Raises
    ------
    Fault
        If it is not of these atoms.
    """
    from rdkit import Chem, rdBase

    if not given:
        return "", 0
    with rdBase.BlockLogs():
        raw = Chem.MolFromSmiles(given, sanitize=False)
        if raw is None:
            raise Fault(f"the SMILES {given[:60]!r} cannot be read")
        charge = sum(a.GetFormalCharge() for a in raw.GetAtoms())
        for atom in raw.GetAtoms():
            atom.SetAtomMapNum(0)
        plain = Chem.MolToSmiles(raw)
        molecule = Chem.MolFromSmiles(plain)
    if molecule is None:
        return plain, charge
    own = sorted(a.GetAtomicNum() for a in Chem.AddHs(molecule).GetAtoms())
    if own != sorted(numbers):
        raise Fault(f"the SMILES {given[:60]!r} is not of its {len(numbers)} atoms")
    return Chem.MolToSmiles(molecule), charge


LAYOUT = Layout(
    title="SPICE",
    marks=("atomic_numbers", "conformations"),
    blocks=_blocks,
    left_out="matrices of pairs of atoms, such as bond orders",
)
