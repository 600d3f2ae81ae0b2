"""Labels of a set, chunk by chunk, by any engine; and the energies of isolated atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from ase.data import chemical_symbols, ground_state_magnetic_moments

from ..diversity.bonds import closest_pair
from ..diversity.conformers import ConformerSet, Labels, Molecules
from ..diversity.errors import DataError
from ..diversity.protocols import LabelEngine, SetAside
from .engines import AseEngine, Gfn1, Gfn2, Mmff94, Uff

__all__ = [
    "AseEngine",
    "Gfn1",
    "Gfn2",
    "Mmff94",
    "Uff",
    "ground_state_multiplicity",
    "isolated_atom_energies",
    "join_labels",
    "label",
    "label_chunk",
]

#: In eV/Å: a geometry with a larger force on an atom has exploded, whatever its bonds say.
LARGEST_FORCE = 50.0
#: In Å: atoms nearer than this are on top of each other (H₂ has 0.74).
CLOSEST_APPROACH = 0.35


def label_chunk(conformers: ConformerSet, engine: LabelEngine) -> Labels:
    """Label one chunk: a pure function of the conformers and the engine.

    Beside what the engine itself gives up, a geometry with two atoms on top of each other is not
    tried, and one whose largest force passes `LARGEST_FORCE` has no label; `faults` says so.
    """
    faults: dict[int, str] = {}
    for i in range(len(conformers)):
        at = conformers.atoms_slice(i)
        first, second, distance = closest_pair(
            conformers.positions[at], conformers.cell[i], conformers.pbc[i]
        )
        if distance < CLOSEST_APPROACH:
            a, b = (f"{chemical_symbols[conformers.numbers[at][j]]}{j}" for j in (first, second))
            faults[i] = f"atoms on top of each other: {a} and {b} at {distance:.2f} Å"
    if not len(conformers):
        return Labels.empty(0, 0)
    tried = np.array([i for i in range(len(conformers)) if i not in faults], dtype=np.int64)
    sub = conformers.select(tried)
    raw = engine(sub) if len(tried) else Labels.empty(0, 0)
    faults.update({int(tried[i]): why for i, why in raw.faults.items()})

    norms = np.linalg.norm(raw.forces, axis=1)
    largest = np.maximum.reduceat(norms, sub.offsets[:-1]) if len(tried) else np.zeros(0)
    absurd = raw.has_forces & (largest > LARGEST_FORCE)
    for i in np.flatnonzero(absurd).tolist():
        faults[int(tried[i])] = f"absurd forces: {largest[i]:.0f} eV/Å on one atom"
    energy, forces = np.zeros(len(conformers)), np.zeros((conformers.n_atoms, 3))
    masks = {name: np.zeros(len(conformers), dtype=bool) for name in ("energy", "forces", "stress")}
    for name, mask in masks.items():
        mask[tried] = getattr(raw, f"has_{name}") & ~absurd
    energy[tried] = np.where(masks["energy"][tried], raw.energy, 0.0)
    atoms = np.isin(conformers.atom_conformer, tried)
    forces[atoms] = np.where(masks["forces"][tried][sub.atom_conformer, None], raw.forces, 0.0)
    stress = None
    if raw.stress is not None:
        stress = np.zeros((len(conformers), 3, 3))
        stress[tried] = np.where(masks["stress"][tried, None, None], raw.stress, 0.0)
    return Labels(
        energy=energy,
        forces=forces,
        stress=stress,
        has_energy=masks["energy"],
        has_forces=masks["forces"],
        has_stress=masks["stress"],
        reference_energies=raw.reference_energies,
        faults=dict(sorted(faults.items())),
    )


def label(
    conformers: ConformerSet,
    engine: LabelEngine,
    *,
    executor: Executor | None = None,
    chunk: int = 100,
    progress: Callable[[int, int], Any] | None = None,
) -> tuple[Labels, list[SetAside]]:
    """Label a set in chunks.

    Parameters
    ----------
    conformers : ConformerSet
    engine : LabelEngine
    executor : concurrent.futures.Executor, optional
        Runs chunks in parallel; a pool of processes, since tblite holds the interpreter's lock.
    chunk : int, optional
        Conformers that one task takes.
    progress : callable, optional
        Called with (conformers done, all conformers).

    Returns
    -------
    labels : Labels
        With the energies of isolated atoms as reference energies where the engine has them.
    aside : list of SetAside
        Conformer ids without a label, and why.
    """
    parts = list(conformers.iter_chunks(chunk))
    work = partial(label_chunk, engine=engine)
    done: list[Labels] = []
    finished = 0
    for part, labels in zip(
        parts, executor.map(work, parts) if executor else map(work, parts), strict=True
    ):
        done.append(labels)
        finished += len(part)
        if progress is not None:
            progress(finished, len(conformers))
    references = isolated_atom_energies(conformers.elements.tolist(), engine)
    joined = join_labels(done, references)
    ids = conformers.id
    return joined, [SetAside(ids[i].decode(), why) for i, why in joined.faults.items()]


def join_labels(parts: list[Labels], reference_energies: dict[int, float]) -> Labels:
    """Join the labels of consecutive chunks, faults included."""
    starts = np.concatenate([[0], np.cumsum([len(p.energy) for p in parts])]).astype(int)
    stress = None
    if any(part.stress is not None for part in parts):
        stress = np.concatenate(
            [np.zeros((len(p.energy), 3, 3)) if p.stress is None else p.stress for p in parts]
        )
    return Labels(
        energy=np.concatenate([np.zeros(0), *(p.energy for p in parts)]),
        forces=np.concatenate([np.zeros((0, 3)), *(p.forces for p in parts)]),
        stress=stress,
        **{
            name: np.concatenate([np.zeros(0, dtype=bool), *(getattr(p, name) for p in parts)])
            for name in ("has_energy", "has_forces", "has_stress")
        },
        reference_energies=reference_energies,
        faults={
            int(start) + i: why
            for start, part in zip(starts, parts, strict=False)
            for i, why in part.faults.items()
        },
    )


def isolated_atom_energies(elements: Iterable[int], engine: LabelEngine) -> dict[int, float]:
    """Return the energy in eV of each isolated atom in its ground spin state.

    Empty for a force field, which has no energy of an atom, and for an `AseEngine` that is not
    declared to read multiplicities.

    Raises
    ------
    DataError
        If the engine fails on an atom.
    """
    zs = sorted({int(z) for z in elements})
    if not zs or not getattr(engine, "has_atoms", False):
        return {}
    atoms = ConformerSet(
        molecules=Molecules(
            key=np.array([f"atom {chemical_symbols[z]}" for z in zs]),
            multiplicity=np.array([ground_state_multiplicity(z) for z in zs]),
            has_bonds=np.ones(len(zs), dtype=bool),
        ),
        molecule=np.arange(len(zs)),
        numbers=np.array(zs),
        positions=np.zeros((len(zs), 3)),
        offsets=np.arange(len(zs) + 1),
    )
    labels = engine(atoms)
    for i, z in enumerate(zs):
        if not labels.has_energy[i]:
            raise DataError(
                f"{engine.name} gives no energy for an isolated atom of {chemical_symbols[z]}: "
                f"{labels.faults.get(i, 'no reason given')}. Leave the element out or use another "
                "level."
            )
    return {z: float(labels.energy[i]) for i, z in enumerate(zs)}


def ground_state_multiplicity(number: int) -> int:
    """Return the spin multiplicity 2S + 1 of a neutral atom's ground state (ASE's table).

    Examples
    --------
    >>> [ground_state_multiplicity(z) for z in (1, 6, 7, 8, 9)]
    [2, 3, 4, 3, 2]
    """
    return round(float(ground_state_magnetic_moments[number])) + 1
