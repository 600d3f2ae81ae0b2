"""Sections of a configuration that say where molecules come from and how geometries are made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from ..diversity import DataError
from ..diversity.randomness import ordering
from ..sampling.libraries import LIBRARIES, library_folder, library_molecules
from ..sampling.molecules import Molecule, bundled_molecules, read_smiles
from .configuration import Section


class DynamicsSection(Section):
    """Of the methods langevin and nve."""

    timestep: float = Field(0.5, gt=0)
    """In fs."""
    friction: float = Field(0.01, gt=0)
    """In 1/fs, of Langevin dynamics."""
    equilibration: float = Field(100.0, ge=0)
    """Time of each run before the first frame that is taken, in fs."""
    interval: float = Field(25.0, gt=0)
    """Time between frames, in fs."""


class TorsionSection(Section):
    """Of the method torsions."""

    n_angles: int = Field(12, ge=2)
    """Angles over the period of each rotatable torsion, its present one included."""


class StretchSection(Section):
    """Of the method stretched."""

    smallest: float = Field(0.1, ge=0)
    """Smallest change of the bond's length, in Å."""
    largest: float = Field(0.4, gt=0)
    """Largest change of the bond's length, in Å; beyond 0.5 Å a bond counts as broken."""
    compressed: bool = False
    """Shorten half of the bonds, by a quarter of the change."""


def library_name(source: Path | None) -> str | None:
    """Return the name of the library that a source of molecules means, if it does.

    A file of that name comes first.
    """
    name = str(source)
    return name if source is not None and name in LIBRARIES and not source.exists() else None


def listed_molecules(source: Path | None) -> list[Molecule]:
    """Return all molecules of a source: a file, a library, or the bundled ones for None."""
    if source is None:
        return bundled_molecules()
    library = library_name(source)
    return read_smiles(source) if library is None else library_molecules(library)


def in_order(seed: int, molecules: list[Molecule], *, of_library: bool) -> Iterator[Molecule]:
    """Yield molecules in an order that the seed fixes, by canonical SMILES.

    Those of a library by the SMILES that it writes: canonical ones of a million would take hours.
    """
    keys = [m.smiles if of_library else m.canonical for m in molecules]
    return (molecules[i] for i in ordering(f"{seed} molecules", keys))


def source_digest(source: Path | None) -> str:
    """Return what identifies a source of molecules in a plan."""
    if source is None:
        return "bundled"
    library = library_name(source)
    if library is not None:
        # Sizes: to read a million molecules at every start would take longer than most starts.
        files = sorted(p for p in library_folder(library).rglob("*.csv*") if p.is_file())
        listed = [f"{path.name} {path.stat().st_size}" for path in files]
        return f"{library} {hashlib.sha256(' '.join(listed).encode()).hexdigest()}"
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read the molecules {source}: {error.strerror}.") from None


def changed_molecules(molecules: list[Molecule]) -> list[dict[str, Any]]:
    """Return which molecules are not as they were written, and what was done to each."""
    return [
        {
            "name": m.name,
            "written": m.written,
            "sampled": m.canonical,
            "changes": list(m.changes),
        }
        for m in molecules
        if m.changes
    ]
