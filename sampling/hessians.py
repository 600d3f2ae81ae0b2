"""Minima, Hessians and thermal displacements at any level of theory.

`modes.py` has the Hessian of MMFF94; this has that of any label engine (GFN2-xTB, DFT, a trained
potential), by central differences of forces, and the geometries that follow from it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from ase.optimize import BFGS

from ..diversity.bonds import bond_changes
from ..diversity.concat import concat
from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, DataError, ShortageError
from ..diversity.protocols import LabelEngine, SetAside
from ..diversity.randomness import generator
from ..diversity.tables import Labels
from .calculators import EngineCalculator, bare_atoms, frames_of, one_conformer
from .modes import amplitudes, normal_modes
from .scans import known_bonds

_ATTEMPTS = 10


def hessian(
    conformer: ConformerSet, labels: Callable[[ConformerSet], Labels], *, step: float = 0.005
) -> np.ndarray:
    """Return the Hessian by central differences of forces.

    Parameters
    ----------
    conformer : ConformerSet
        Of one conformer.
    labels : callable
        A label engine, or anything that returns labels of a set, such as a trained potential's
        predictions; it is called once, with the 6N displaced geometries.
    step : float, optional
        In Å. The error of a difference is of order step² in the anharmonicity and 1/step in the
        noise of the forces; 0.005 Å suits self-consistent methods and float32 potentials.

    Returns
    -------
    array of float64, shape (3N, 3N)
        In eV/Å², symmetric.

    Raises
    ------
    DataError
        If a displaced geometry has no forces.

    Examples
    --------
    >>> from breadth.sampling import Mmff94, Molecule, sample_geometries
    >>> water, _ = sample_geometries([Molecule("water", "O")], n_conformers=1, seed=0)
    >>> hessian(water, Mmff94()).shape
    (9, 9)
    """
    start = one_conformer(conformer, "A Hessian")
    size = 3 * start.n_atoms
    moves = step * np.concatenate([np.eye(size), -np.eye(size)]).reshape(-1, start.n_atoms, 3)
    moved = frames_of(start, start.positions.astype(np.float64) + moves)
    found = labels(moved)
    if not found.has_forces.all():
        bad = int(np.flatnonzero(~found.has_forces)[0])
        raise DataError(
            f"A geometry displaced by {step} Å has no forces, so there is no Hessian: "
            f"{found.faults.get(bad, 'no reason given')}."
        )
    forces = found.forces.astype(np.float64).reshape(2, size, size)
    second = (forces[1] - forces[0]) / (2 * step)
    return 0.5 * (second + second.T)


def relax(
    conformers: ConformerSet,
    calculator: Callable[[ConformerSet], Any],
    *,
    level: str,
    fmax: float = 0.005,
    max_steps: int = 500,
) -> tuple[ConformerSet, list[SetAside]]:
    """Relax conformers by BFGS.

    Parameters
    ----------
    conformers : ConformerSet
    calculator : callable
        Returns a fresh ASE calculator for a set of one conformer.
    level : str
        Level of theory under which the calculator's energies and forces are kept.
    fmax : float, optional
        In eV/Å: largest force left on an atom.
    max_steps : int, optional

    Returns
    -------
    relaxed : ConformerSet
        With the start's provenance and molecules.
    aside : list of SetAside
        Conformers whose relaxation failed, did not converge or changed bonds.

    Raises
    ------
    ShortageError
        If none could be relaxed.
    """
    made, aside = [], []
    for i, name in enumerate(conformers.id.astype("U32").tolist()):
        start = one_conformer(conformers.select([i]), "A relaxation")
        atoms = bare_atoms(start)
        atoms.calc = calculator(start)
        try:
            converged = BFGS(atoms, logfile=None).run(fmax=fmax, steps=max_steps)
            energy, forces = float(atoms.get_potential_energy()), np.array(atoms.get_forces())
        except Exception as error:  # any failure of a foreign program concerns one conformer
            reason = " ".join(str(error).split())[:200]
            aside.append(SetAside(name, f"relaxation failed: {type(error).__name__}: {reason}"))
            continue
        change = bond_changes(start.numbers, atoms.positions, known_bonds(start))[0]
        if not converged:
            aside.append(SetAside(name, f"relaxation did not converge: {max_steps} steps"))
        elif change is not None:
            aside.append(SetAside(name, change.describe(start.numbers)))
        else:
            rest = replace(start, positions=atoms.positions)
            made.append(rest.with_level(level, Labels(energy=np.array([energy]), forces=forces)))
    if not made:
        why = aside[0].reason if aside else "the set is empty"
        raise ShortageError(f"None of {len(conformers)} conformers could be relaxed: {why}.")
    return concat(made), aside


def sample_modes(
    starts: ConformerSet,
    engine: LabelEngine,
    *,
    n_conformers: int,
    temperature: float = 500.0,
    softest: float = 200.0,
    seed: int,
    executor: Executor | None = None,
) -> tuple[ConformerSet, list[SetAside]]:
    """Relax conformers by an engine and displace them along the normal modes of its surface.

    As `sample_geometries` does on the surface of MMFF94. Each start is relaxed; its displacements
    follow the classical harmonic distribution of the engine's own Hessian there.

    Parameters
    ----------
    starts : ConformerSet
        Near minima, such as those of MMFF94.
    engine : LabelEngine
        GFN2-xTB for instance; picklable where an executor of processes is used.
    n_conformers : int
        Geometries from each start.
    temperature : float, optional
        In K.
    softest : float, optional
        In cm⁻¹; see :class:`breadth.sampling.GeometrySettings`.
    seed : int
        With the start's id names the random streams.
    executor : concurrent.futures.Executor, optional
        Runs the starts in parallel; the result does not depend on it.

    Returns
    -------
    conformers : ConformerSet
        Without labels; provenance `record`, `minimum` (the start's, else its place in `starts`)
        and `temperature`.
    aside : list of SetAside
        Starts that cannot be used, and displaced geometries with changed bonds, drawn again ten
        times at most.

    Raises
    ------
    ShortageError
        If no start gave a geometry.
    """
    if n_conformers < 1 or not temperature > 0 or not softest > 0:
        raise ConfigurationError(
            f"{n_conformers} conformers at {temperature} K, softest mode {softest} cm⁻¹: all must "
            "be above 0."
        )
    work = partial(
        _sample_one,
        starts,
        engine=engine,
        n_conformers=n_conformers,
        temperature=temperature,
        softest=softest,
        seed=seed,
    )
    rows = range(len(starts))
    results = list(executor.map(work, rows) if executor else map(work, rows))
    aside = [one for _, left_out in results for one in left_out]
    made = [found for found, _ in results if found is not None]
    if not made:
        why = aside[0].reason if aside else "the set is empty"
        raise ShortageError(f"None of {len(starts)} starts could be sampled; the first: {why}.")
    return concat(made), aside


def _sample_one(
    starts: ConformerSet,
    i: int,
    *,
    engine: LabelEngine,
    n_conformers: int,
    temperature: float,
    softest: float,
    seed: int,
) -> tuple[ConformerSet | None, list[SetAside]]:
    start = one_conformer(starts.select([i]), "A start")
    name = start.id[0].decode()
    try:
        rest, _ = relax(start, partial(EngineCalculator, engine), level=engine.name)
        at_rest = hessian(rest, engine)
    except (ShortageError, DataError) as reason:
        return None, [SetAside(name, f"start cannot be sampled: {reason}")]
    numbers, x = start.numbers, rest.positions.astype(np.float64)
    constants, modes = normal_modes(numbers, x, at_rest)
    sizes = amplitudes(constants, temperature, softest)[:, None, None] * modes
    bonds, aside, kept = known_bonds(start), [], []
    for k in range(n_conformers):
        stream = generator(seed, "engine modes", name, k)
        for _ in range(_ATTEMPTS):
            moved = np.round(x + np.tensordot(stream.standard_normal(len(sizes)), sizes, 1), 6)
            change = bond_changes(numbers, moved, bonds, x)[0]
            if change is None:
                kept.append((k, moved))
                break
            aside.append(SetAside(f"{name}, conformer {k}", change.describe(numbers)))
    if not kept:
        return None, aside
    n = len(kept)
    minimum = int(start.minimum[0]) if start.minimum[0] >= 0 else i
    made = frames_of(
        rest,
        np.stack([moved for _, moved in kept]),
        source=np.full(n, f"{engine.name} normal modes"),
        record=np.array([k for k, _ in kept]),
        minimum=np.full(n, minimum),
        temperature=np.full(n, temperature),
    )
    return made, aside
