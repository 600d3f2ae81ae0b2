"""Geometries of molecules: MMFF minima, and displacements from them.

Conformer k of a molecule starts from minimum k mod n_minima and has its own random stream, named
by the seed, the molecule's canonical SMILES and k: it depends on nothing else, and a smaller
sample is the beginning of a larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ..diversity.bonds import bond_changes
from ..diversity.concat import concat
from ..diversity.conformers import ConformerSet, Molecules
from ..diversity.errors import ConfigurationError, ShortageError
from ..diversity.protocols import SetAside
from ..diversity.randomness import generator
from .minima import Minima, UnfitMolecule, find_minima
from .modes import amplitudes, mmff_hessian, normal_modes
from .molecules import Molecule

_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class GeometrySettings:
    """How geometries are made.

    Parameters
    ----------
    method : {'normal_modes', 'gaussian'}
        Displace along the normal modes of the minimum by the classical harmonic distribution at
        `temperature`, or every coordinate by a normal deviate of `sigma`.
    temperature : float
        In K.
    sigma : float
        In Å.
    softest : float
        In cm⁻¹. Modes below it are displaced as if they had this wavenumber: a torsion is no
        straight line, and the harmonic amplitude of a 50 cm⁻¹ mode would tear its hydrogens off.
    n_embeddings : int
        ETKDGv3 embeddings that are relaxed to find minima.
    max_minima : int
        Most minima kept, lowest first.
    window : float
        In eV. Minima this far above the lowest are left out.
    separation : float
        In Å. Minima of a smaller symmetry-aware RMSD of heavy atoms are one.
    """

    method: Literal["normal_modes", "gaussian"] = "normal_modes"
    temperature: float = 500.0
    sigma: float = 0.05
    softest: float = 200.0
    n_embeddings: int = 10
    max_minima: int = 5
    window: float = 0.4
    separation: float = 0.3

    def __post_init__(self) -> None:
        if self.method not in ("normal_modes", "gaussian"):
            raise ConfigurationError(
                f"No way to displace geometries is called {self.method!r}: choose 'normal_modes' "
                "or 'gaussian'."
            )
        for name in ("temperature", "sigma", "softest", "n_embeddings", "max_minima", "window"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} = {getattr(self, name)}: it must be above 0.")


def sample_geometries(
    molecules: Sequence[Molecule],
    *,
    n_conformers: int,
    seed: int,
    settings: GeometrySettings | None = None,
    executor: Executor | None = None,
    chunk: int = 16,
    progress: Callable[[int, int], Any] | None = None,
) -> tuple[ConformerSet, list[SetAside]]:
    """Draw displaced geometries of many molecules, without labels.

    A geometry that explodes (an atom on another), changes bonds or repeats another is set aside,
    counted, and drawn again from the next state of its own stream, ten times at most. A molecule
    that cannot be sampled, and a repeat of a molecule, are set aside as a whole.

    Parameters
    ----------
    molecules : sequence of Molecule
    n_conformers : int
        Conformers of each molecule.
    seed : int
    settings : GeometrySettings, optional
    executor : concurrent.futures.Executor, optional
        Runs chunks of molecules in parallel; the result does not depend on it.
    chunk : int, optional
        Molecules that one task takes.
    progress : callable, optional
        Called with (molecules done, all molecules).

    Returns
    -------
    conformers : ConformerSet
        By molecule in the order given; provenance `record` (k), `minimum` and `temperature` set.
    aside : list of SetAside

    Raises
    ------
    ShortageError
        If no molecule can be sampled.
    """
    settings = settings or GeometrySettings()
    unique: dict[str, Molecule] = {}
    aside = []
    for molecule in molecules:
        if unique.setdefault(molecule.canonical, molecule) is not molecule:
            original = unique[molecule.canonical].name
            aside.append(SetAside(molecule.name, f"duplicate molecule: the same as {original}"))
    todo = list(unique.values())
    parts = [todo[i : i + chunk] for i in range(0, len(todo), chunk)]
    work = partial(sample_chunk, n_conformers=n_conformers, seed=seed, settings=settings)
    sets = []
    done = 0
    for part, (conformers, left_out) in zip(
        parts, executor.map(work, parts) if executor else map(work, parts), strict=True
    ):
        aside += left_out
        if conformers is not None:
            sets.append(conformers)
        done += len(part)
        if progress is not None:
            progress(done, len(todo))
    if not sets:
        why = aside[0].reason if aside else "the list is empty"
        raise ShortageError(
            f"None of the {len(molecules)} molecules could be sampled; the first: {why}."
        )
    return concat(sets), aside


def sample_chunk(
    molecules: Sequence[Molecule], *, n_conformers: int, seed: int, settings: GeometrySettings
) -> tuple[ConformerSet | None, list[SetAside]]:
    """Draw the geometries of some molecules: the pure function behind `sample_geometries`."""
    # One thread of BLAS a process: matrices of 60 rows only wait for each other, and sums then
    # have one order on every machine.
    with threadpool_limits(1):
        return _sample_chunk(molecules, n_conformers, seed, settings)


def _sample_chunk(
    molecules: Sequence[Molecule], n_conformers: int, seed: int, settings: GeometrySettings
) -> tuple[ConformerSet | None, list[SetAside]]:
    frames: list[np.ndarray] = []
    records: list[np.ndarray] = []
    minima: list[np.ndarray] = []
    kept: list[Molecule] = []
    aside: list[SetAside] = []
    for molecule in molecules:
        try:
            found = find_minima(
                molecule,
                seed=seed,
                n_embeddings=settings.n_embeddings,
                max_minima=settings.max_minima,
                window=settings.window,
                separation=settings.separation,
            )
        except UnfitMolecule as reason:
            aside.append(SetAside(molecule.name, f"molecule cannot be sampled: {reason}"))
            continue
        drawn, left_out = displace(molecule, found, settings, n_conformers=n_conformers, seed=seed)
        aside += left_out
        good = np.flatnonzero(np.isfinite(drawn[:, 0, 0]))
        if len(good):
            kept.append(molecule)
            frames.append(drawn[good])
            records.append(good)
            minima.append(good % len(found.energies))
    if not kept:
        return None, aside
    thermal = settings.method == "normal_modes"
    made = assemble(
        kept,
        frames,
        records,
        minima,
        source=settings.method,
        temperature=settings.temperature if thermal else np.nan,
    )
    return made, aside


def displace(
    molecule: Molecule,
    minima: Minima,
    settings: GeometrySettings,
    *,
    n_conformers: int,
    seed: int,
) -> tuple[np.ndarray, list[SetAside]]:
    """Draw conformers of one molecule round-robin over its minima.

    Returns
    -------
    positions : array of float64, shape (n_conformers, N, 3)
        In Å, rounded to the 1e-6 Å of conformer ids; NaN for a conformer that no attempt gave.
    aside : list of SetAside
        One for each geometry that was rejected.
    """
    numbers, bonds = molecule.numbers, molecule.bonds
    scales = [_coordinates(molecule, rest, settings) for rest in minima.positions]
    positions = np.full((n_conformers, len(numbers), 3), np.nan)
    streams = [generator(seed, "geometry", molecule.canonical, k) for k in range(n_conformers)]
    aside: list[SetAside] = []
    seen: set[bytes] = set()
    waiting = np.arange(n_conformers)
    for _ in range(_ATTEMPTS):
        again = []
        for index, rest in enumerate(minima.positions):
            mine = waiting[waiting % len(minima.energies) == index]
            if not len(mine):
                continue
            deviates = np.stack([streams[k].standard_normal(len(scales[index])) for k in mine])
            moves = (deviates @ scales[index]).reshape(len(mine), len(numbers), 3)
            moved = np.round(rest + moves, 6)
            for k, geometry, change in zip(
                mine, moved, bond_changes(numbers, moved, bonds, rest), strict=True
            ):
                if change is not None:
                    reason = change.describe(numbers)
                elif geometry.tobytes() in seen:
                    reason = "duplicate geometry"
                else:
                    seen.add(geometry.tobytes())
                    positions[k] = geometry
                    continue
                aside.append(SetAside(f"{molecule.name}, conformer {k}", reason))
                again.append(k)
        waiting = np.array(sorted(again), dtype=np.int64)
        if not len(waiting):
            break
    return positions, aside


def _coordinates(molecule: Molecule, rest: np.ndarray, settings: GeometrySettings) -> np.ndarray:
    """Return displacements (m, 3N) in Å, one standard deviation along each coordinate."""
    if settings.method == "gaussian":
        return settings.sigma * np.eye(rest.size)
    hessian = mmff_hessian(molecule, rest)
    constants, modes = normal_modes(molecule.numbers, rest, hessian)
    sizes = amplitudes(constants, settings.temperature, settings.softest)
    return sizes[:, None] * modes.reshape(len(sizes), -1)


def assemble(
    molecules: list[Molecule],
    frames: list[np.ndarray],
    records: list[np.ndarray],
    minima: list[np.ndarray],
    *,
    source: str,
    temperature: float,
) -> ConformerSet:
    """Return the set of frames (n, N, 3) of each molecule, with their provenance."""
    tables = [m.bonds for m in molecules]
    per_molecule = [len(f) for f in frames]
    atoms = np.repeat([f.shape[1] for f in frames], per_molecule)
    n = sum(per_molecule)
    return ConformerSet(
        molecules=Molecules(
            key=np.array([m.canonical for m in molecules]),
            smiles=np.array([m.canonical for m in molecules]),
            charge=np.array([m.charge for m in molecules]),
            multiplicity=np.array([m.multiplicity for m in molecules]),
            constitution=np.array([m.constitution for m in molecules]),
            bonds=np.concatenate(tables),
            bond_offsets=np.concatenate([[0], np.cumsum([len(t) for t in tables])]),
            has_bonds=np.ones(len(molecules), dtype=bool),
        ),
        molecule=np.repeat(np.arange(len(molecules)), per_molecule),
        numbers=np.concatenate(
            [np.tile(m.numbers, len(f)) for m, f in zip(molecules, frames, strict=True)]
        ),
        positions=np.concatenate([f.reshape(-1, 3) for f in frames]),
        offsets=np.concatenate([[0], np.cumsum(atoms)]),
        source=np.full(n, source),
        record=np.concatenate(records),
        minimum=np.concatenate(minima),
        temperature=np.full(n, temperature),
        metadata={"identity_rule": "smiles"},
    )
