"""Geometries of molecules by other ways than displaced MMFF94 minima.

All start from the MMFF94 minima of a molecule, and take the same number of geometries from each as
far as there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ..diversity.bonds import bond_changes
from ..diversity.concat import concat
from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, ShortageError
from ..diversity.protocols import LabelEngine, SetAside
from ..diversity.randomness import ordering
from .calculators import EngineCalculator
from .dynamics import DynamicsSettings, run_many
from .geometries import GeometrySettings, assemble
from .hessians import sample_modes
from .minima import UnfitMolecule, find_minima
from .molecules import Molecule
from .observers import stops_where_bonds_break
from .scans import known_bonds, stretch_bonds
from .torsion_scans import scan_torsions

Method = Literal["engine_modes", "langevin", "nve", "torsions", "stretched"]
#: Ways that ask an engine for forces.
BY_ENGINE = ("engine_modes", "langevin", "nve")


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """How geometries are made.

    Parameters
    ----------
    method : {'engine_modes', 'langevin', 'nve', 'torsions', 'stretched'}
        Displace along the normal modes of minima of an engine's own surface, by the classical
        harmonic distribution at `temperature`; take frames of dynamics by the engine; turn each
        rotatable torsion around, all else rigid; or stretch a random bond outside rings.
    surface : str
        Level of theory of the engine; says nothing for torsions and stretched bonds.
    max_minima : int
        Most MMFF94 minima that are started from, lowest first.
    temperature : float
        In K, of modes and dynamics; an NVE run stays at about half of it, since it starts from a
        minimum.
    softest : float
        In cm⁻¹; see :class:`breadth.sampling.GeometrySettings`.
    timestep, friction : float
        In fs and in 1/fs.
    equilibration, interval : float
        In fs: time of each run before the first frame that is taken, and between frames.
    n_angles : int
        Angles over the period of a torsion.
    smallest, largest : float
        In Å: range of the change of a bond's length.
    compressed : bool
        Shorten half of the bonds, by a quarter of the change.
    """

    method: Method
    surface: str = "gfn2"
    max_minima: int = 5
    temperature: float = 500.0
    softest: float = 200.0
    timestep: float = 0.5
    friction: float = 0.01
    equilibration: float = 100.0
    interval: float = 25.0
    n_angles: int = 12
    smallest: float = 0.1
    largest: float = 0.4
    compressed: bool = False

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigurationError(
                f"No source of geometries is called {self.method!r}: choose one of "
                f"{', '.join(get_args(Method))}."
            )
        for name in ("max_minima", "temperature", "softest", "timestep", "friction", "interval"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigurationError(f"{name} = {getattr(self, name)}: it must be above 0.")
        if self.interval < self.timestep or self.equilibration < 0 or self.n_angles < 2:
            raise ConfigurationError(
                f"interval = {self.interval}, equilibration = {self.equilibration}, n_angles = "
                f"{self.n_angles}: they must be at least the time step, 0 and 2."
            )
        if not 0 <= self.smallest <= self.largest:
            raise ConfigurationError(
                f"Bonds are stretched by {self.smallest} … {self.largest} Å: 0 ≤ smallest ≤ "
                "largest is needed."
            )

    @property
    def every(self) -> int:
        """Steps between frames that are taken."""
        return round(self.interval / self.timestep)

    @property
    def n_skipped(self) -> int:
        """Recorded frames that belong to the equilibration; the start always does."""
        return max(1, math.ceil(self.equilibration / self.interval))

    def n_steps(self, n_frames: int) -> int:
        """Return the steps of a run that gives so many frames."""
        return (self.n_skipped + n_frames - 1) * self.every


def sample_source(
    molecules: Sequence[Molecule],
    *,
    n_conformers: int,
    settings: SourceSettings,
    engine: LabelEngine | None,
    seed: int,
    first: int = 0,
) -> tuple[ConformerSet | None, list[SetAside]]:
    """Draw geometries of molecules, without labels.

    Parameters
    ----------
    molecules : sequence of Molecule
    n_conformers : int
        Most geometries of each molecule; torsions may give fewer, and runs that end early do.
    settings : SourceSettings
    engine : LabelEngine or None
        Of the level `settings.surface`; None for methods outside `BY_ENGINE`.
    seed : int
    first : int, optional
        Place of the first molecule in a longer list: numbers of trajectories are counted on it,
        so that no two in a pool have the same. No geometry depends on it.

    Returns
    -------
    conformers : ConformerSet or None
        None if no molecule gave any.
    aside : list of SetAside
        Molecules and geometries that were left out, runs that ended early, and molecules with
        fewer geometries than asked.
    """
    made: list[ConformerSet] = []
    aside: list[SetAside] = []
    # One thread: matrices of 60 rows only wait for each other, and sums have one order.
    with threadpool_limits(1):
        for place, molecule in enumerate(molecules, first):
            try:
                starts = minima_of([molecule], seed=seed, max_minima=settings.max_minima)
                drawn, left_out = _draw(starts, n_conformers, settings, engine, seed)
            except UnfitMolecule as reason:
                why = f"molecule cannot be sampled: {reason}"
                aside.append(SetAside(molecule.name, why))
                continue
            except ShortageError as reason:
                aside.append(SetAside(molecule.name, f"no geometry: {reason}"))
                continue
            aside += [SetAside(f"{molecule.name}, {a.record}", a.reason) for a in left_out]
            drawn = drawn.select(np.sort(np.unique(drawn.id, return_index=True)[1]))
            if len(drawn) < n_conformers:
                aside.append(
                    SetAside(
                        molecule.name,
                        f"fewer geometries than asked: {len(drawn)} of {n_conformers}",
                    )
                )
            if len(drawn):
                runs = drawn.trajectory
                shift = np.where(runs >= 0, place * settings.max_minima, 0)
                made.append(replace(drawn, trajectory=runs + shift))
    return (concat(made) if made else None), aside


def minima_of(molecules: Sequence[Molecule], *, seed: int, max_minima: int = 5) -> ConformerSet:
    """Return the MMFF94 minima of molecules as a set.

    Raises
    ------
    UnfitMolecule
        If a molecule has none.
    """
    settings = GeometrySettings(max_minima=max_minima)
    found = [
        find_minima(
            molecule,
            seed=seed,
            n_embeddings=settings.n_embeddings,
            max_minima=max_minima,
            window=settings.window,
            separation=settings.separation,
        ).positions
        for molecule in molecules
    ]
    order = [np.arange(len(frames)) for frames in found]
    return assemble(
        list(molecules), found, order, order, source="mmff94 minima", temperature=np.nan
    )


def _draw(
    starts: ConformerSet,
    n_conformers: int,
    settings: SourceSettings,
    engine: LabelEngine | None,
    seed: int,
) -> tuple[ConformerSet, list[SetAside]]:
    """Return geometries of one molecule, from each start in turn."""
    each = -(-n_conformers // len(starts))
    if settings.method == "torsions":
        turned, aside = scan_torsions(starts, n_angles=settings.n_angles)
        order = ordering(f"{seed} torsions", turned.id)
        return turned.select(np.asarray(order[:n_conformers])), aside
    if settings.method == "stretched":
        drawn, aside = stretch_bonds(
            starts,
            n_per_conformer=each,
            smallest=settings.smallest,
            largest=settings.largest,
            compressed=settings.compressed,
            seed=seed,
        )
    else:
        if engine is None:
            raise ConfigurationError(f"Geometries by {settings.method} need an engine.")
        if settings.method == "engine_modes":
            drawn, aside = sample_modes(
                starts,
                engine,
                n_conformers=each,
                temperature=settings.temperature,
                softest=settings.softest,
                seed=seed,
            )
        else:
            drawn, aside = _frames(starts, each, settings, engine, seed)
    in_turn = np.lexsort((drawn.minimum, drawn.record))[:n_conformers]
    return drawn.select(in_turn), aside


def _frames(
    starts: ConformerSet, n_frames: int, settings: SourceSettings, engine: LabelEngine, seed: int
) -> tuple[ConformerSet, list[SetAside]]:
    """Return frames of one run from each start; those with broken bonds are left out."""
    runs = run_many(
        starts,
        partial(EngineCalculator, engine),
        DynamicsSettings(
            ensemble="nve" if settings.method == "nve" else "langevin",
            temperature=settings.temperature,
            timestep=settings.timestep,
            friction=settings.friction,
            n_steps=settings.n_steps(n_frames),
            record_every=settings.every,
        ),
        seed=seed,
        watch=stops_where_bonds_break,
    )
    taken, aside = [], []
    bonds = known_bonds(starts)
    for number, run in enumerate(runs):
        if run.stopped is not None:
            aside.append(SetAside(f"run {number}", f"run ended early: {run.stopped}"))
        frames = run.trajectory.select(np.arange(settings.n_skipped, len(run.trajectory)))
        if not len(frames):
            continue
        x = frames.positions.reshape(len(frames), -1, 3).astype(np.float64)
        rest = starts.positions[starts.atoms_slice(number)].astype(np.float64)
        changes = bond_changes(starts.numbers[starts.atoms_slice(0)], x, bonds, rest)
        aside += [
            SetAside(f"run {number} at {time:g} fs", change.describe(run.trajectory.numbers))
            for time, change in zip(frames.time.tolist(), changes, strict=True)
            if change is not None
        ]
        taken.append(frames.select(np.flatnonzero([change is None for change in changes])))
    if not any(len(frames) for frames in taken):
        raise ShortageError(aside[0].reason if aside else "no frame")
    return concat([frames for frames in taken if len(frames)]), aside
