"""Langevin and NVE dynamics with any ASE calculator, watched by observers.

The integrators are ASE's. A run that explodes, or whose calculator fails, is no error: it ends
there, with what it has, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError
from ..diversity.protocols import Observer, Verdict
from ..diversity.randomness import generator
from ..diversity.tables import Extra, Labels
from .calculators import bare_atoms, frames_of, one_conformer

#: In K: a small molecule this hot has exploded, whatever its bonds say.
HOTTEST = 1e5


@dataclass(frozen=True, kw_only=True)
class DynamicsSettings:
    """How a run goes; the defaults are those of arXiv:2503.08674.

    Parameters
    ----------
    ensemble : {'langevin', 'nve'}
    temperature : float
        In K: of the bath, and of the velocities at the start. An NVE run from a minimum gives half
        of it to the vibrations and stays at about half of this temperature.
    timestep : float
        In fs.
    friction : float
        In 1/fs.
    n_steps : int
    record_every : int
        Steps between frames that are kept and shown to observers; the start is frame 0.
    """

    ensemble: Literal["langevin", "nve"] = "langevin"
    temperature: float = 500.0
    timestep: float = 0.5
    friction: float = 0.01
    n_steps: int = 10_000
    record_every: int = 20

    def __post_init__(self) -> None:
        if self.ensemble not in ("langevin", "nve"):
            raise ConfigurationError(
                f"No ensemble is called {self.ensemble!r}: choose 'langevin' or 'nve'."
            )
        for name in ("temperature", "timestep", "friction", "n_steps", "record_every"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigurationError(f"{name} = {getattr(self, name)}: it must be above 0.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Dynamics:
    """A run and how it ended; t frames.

    Parameters
    ----------
    trajectory : ConformerSet
        The frames with finite positions, with `trajectory`, `time` (fs) and `temperature` (the
        settings') in their provenance.
    temperature : array of float64, shape (t,)
        Kinetic temperature in K, over 3N degrees of freedom of a Langevin run and over those
        without translation and rotation of an NVE run.
    potential_energy, kinetic_energy : array of float64, shape (t,)
        In eV.
    stopped : str or None
        Why the run ended early.
    time : float
        Time that was simulated, in fs: of the step at which the run was stopped, else of the last.
    asked : array of int64, shape (k,)
        Frames for which an observer asked for a label.
    """

    trajectory: ConformerSet
    temperature: np.ndarray
    potential_energy: np.ndarray
    kinetic_energy: np.ndarray
    stopped: str | None
    time: float
    asked: np.ndarray

    @property
    def recorded(self) -> ConformerSet:
        """The trajectory with `kinetic_energy` (eV) and `kinetic_temperature` (K) of each frame."""
        columns = {
            "kinetic_energy": self.kinetic_energy,
            "kinetic_temperature": self.temperature,
        }
        there = np.ones(len(self.trajectory), dtype=bool)
        extras = {name: Extra(values, there) for name, values in columns.items()}
        return replace(self.trajectory, frame_extras={**self.trajectory.frame_extras, **extras})


def run_dynamics(
    start: ConformerSet,
    calculator: Any,
    settings: DynamicsSettings | None = None,
    *,
    seed: int,
    observers: Sequence[Observer] = (),
    trajectory: int = 0,
    level: str | None = None,
) -> Dynamics:
    """Run dynamics from one conformer.

    Velocities start from the Maxwell–Boltzmann distribution; an NVE run of a molecule loses the
    translation and rotation of these. A temperature above 10⁵ K or that is not finite, and any
    failure of the calculator, end the run.

    Parameters
    ----------
    start : ConformerSet
        Of one conformer.
    calculator : ase.calculators.calculator.Calculator
    settings : DynamicsSettings, optional
    seed : int
        With `trajectory` and the start's id, names the random stream.
    observers : sequence of Observer, optional
        Shown every recorded frame, the start too. What stops the run is told by the observer's
        `reason` where it has one, else by its name.
    trajectory : int, optional
        Number of the run, kept as the provenance of its frames.
    level : str, optional
        Keep the calculator's energies and forces under this level of theory.

    Returns
    -------
    Dynamics

    Raises
    ------
    DataError
        If `start` holds more than one conformer.

    Examples
    --------
    >>> from breadth.sampling import Molecule, sample_geometries
    >>> from ase.calculators.emt import EMT
    >>> start, _ = sample_geometries([Molecule("water", "O")], n_conformers=1, seed=0)
    >>> settings = DynamicsSettings(n_steps=40, record_every=20)
    >>> run = run_dynamics(start, EMT(), settings, seed=0)
    >>> run.trajectory.time.tolist(), run.time, run.stopped
    ([0.0, 10.0, 20.0], 20.0, None)
    """
    start = one_conformer(start, "A run of dynamics")
    settings = settings or DynamicsSettings()
    atoms = bare_atoms(start)
    atoms.calc = calculator
    stream = generator(seed, "dynamics", start.id[0].decode(), trajectory)
    integrator, freedom = _integrator(atoms, settings, stream)
    record = _Record(atoms, freedom)
    forces: Any = None
    stopped: str | None = None
    asked: list[int] = []
    step = 0
    while True:
        try:
            forces = integrator.step(forces) if step else atoms.get_forces(md=True)
        except Exception as error:  # any failure of a foreign program ends this run only
            reason = " ".join(str(error).split())[:200]
            stopped = f"calculator failed: {type(error).__name__}: {reason}"
            break
        kelvin, finite = record.kelvin(), np.isfinite(forces).all()
        if not (kelvin < HOTTEST and finite):
            what = f"temperature {kelvin:.3g} K" if finite else "forces are not finite"
            stopped = f"exploded: {what}"
            record.keep(step * settings.timestep, forces)
        elif step % settings.record_every == 0:
            frame = record.keep(step * settings.timestep, forces)
            for observer in observers:
                verdict = observer(atoms)
                if verdict is Verdict.ASK:
                    asked.append(frame)
                elif verdict is Verdict.STOP and stopped is None:
                    stopped = str(getattr(observer, "reason", "") or _name(observer))
        if stopped is not None or step == settings.n_steps:
            break
        step += 1
    columns = np.array(record.numbers, dtype=np.float64).reshape(-1, 4).T
    frames = frames_of(
        start,
        np.array(record.positions).reshape(-1, len(atoms), 3),
        source=np.full(len(record.positions), f"{settings.ensemble} dynamics"),
        record=np.arange(len(record.positions)),
        trajectory=np.full(len(record.positions), trajectory),
        temperature=np.full(len(record.positions), settings.temperature),
        time=columns[0],
    )
    if level is not None:
        labels = np.array(record.forces).reshape(-1, 3)
        frames = frames.with_level(level, Labels(energy=columns[2], forces=labels))
    return Dynamics(
        trajectory=frames,
        temperature=columns[1],
        potential_energy=columns[2],
        kinetic_energy=columns[3],
        stopped=stopped,
        time=step * settings.timestep,
        asked=np.unique(np.array(asked, dtype=np.int64)),
    )


def run_many(
    starts: ConformerSet,
    calculator: Callable[[ConformerSet], Any],
    settings: DynamicsSettings | None = None,
    *,
    seed: int,
    watch: Callable[[ConformerSet], Sequence[Observer]] | None = None,
    level: str | None = None,
    executor: Executor | None = None,
) -> list[Dynamics]:
    """Run dynamics from each conformer of a set; runs are numbered in its order.

    Parameters
    ----------
    starts : ConformerSet
    calculator : callable
        Returns a fresh calculator for a set of one conformer; picklable, as are the next two,
        where an executor of processes is used.
    settings, seed, level
        As of `run_dynamics`.
    watch : callable, optional
        Returns the observers of a set of one conformer, such as
        :func:`breadth.sampling.observers.stops_where_bonds_break`.
    executor : concurrent.futures.Executor, optional
        Runs the starts in parallel; the result does not depend on it.

    Returns
    -------
    list of Dynamics
    """
    work = partial(
        _run_one,
        starts,
        calculator=calculator,
        settings=settings,
        seed=seed,
        watch=watch,
        level=level,
    )
    rows = range(len(starts))
    return list(executor.map(work, rows) if executor else map(work, rows))


def _run_one(
    starts: ConformerSet,
    i: int,
    *,
    calculator: Callable[[ConformerSet], Any],
    watch: Callable[[ConformerSet], Sequence[Observer]] | None,
    **options: Any,
) -> Dynamics:
    start = starts.select([i])
    return run_dynamics(
        start,
        calculator(start),
        observers=watch(start) if watch else (),
        trajectory=i,
        **options,
    )


class _Record:
    """What is kept of the frames of a run."""

    def __init__(self, atoms: Atoms, freedom: int) -> None:
        self.atoms, self.freedom = atoms, freedom
        self.numbers: list[tuple[float, float, float, float]] = []
        self.positions: list[np.ndarray] = []
        self.forces: list[np.ndarray] = []

    def kelvin(self) -> float:
        return float(2.0 * self.atoms.get_kinetic_energy() / (units.kB * self.freedom))

    def keep(self, time: float, forces: np.ndarray) -> int:
        """Keep the present frame, if it is finite, and return the place of the last one kept."""
        energy = float(self.atoms.get_potential_energy())
        if np.isfinite(energy) and np.isfinite(forces).all():
            kinetic = float(self.atoms.get_kinetic_energy())
            self.numbers.append((time, self.kelvin(), energy, kinetic))
            self.positions.append(self.atoms.positions.copy())
            self.forces.append(np.array(forces))
        return len(self.positions) - 1


def _integrator(
    atoms: Atoms, settings: DynamicsSettings, stream: np.random.Generator
) -> tuple[Any, int]:
    """Return the integrator of atoms that have been given velocities, and degrees of freedom."""
    # ASE's function for this has another name in each of its versions.
    width = np.sqrt(units.kB * settings.temperature * atoms.get_masses())
    atoms.set_momenta(width[:, None] * stream.standard_normal((len(atoms), 3)))
    step = settings.timestep * units.fs
    if settings.ensemble == "langevin":
        # The bath takes hold of every degree of freedom; ASE's `fixcm` is not exact.
        langevin = Langevin(
            atoms,
            step,
            temperature_K=settings.temperature,
            friction=settings.friction / units.fs,
            fixcm=False,
            rng=stream,
        )
        return langevin, 3 * len(atoms)
    free = 3 * len(atoms)
    if len(atoms) > 1:
        Stationary(atoms, preserve_temperature=False)
        free -= 3
        if not atoms.pbc.any():
            with np.errstate(invalid="ignore"):  # a linear molecule has no moment about its axis
                ZeroRotation(atoms, preserve_temperature=False)
            moments = atoms.get_moments_of_inertia()
            free -= 2 if moments[0] < 1e-6 * moments[-1] else 3
    return VelocityVerlet(atoms, step), free


def _name(observer: Observer) -> str:
    return getattr(observer, "__name__", type(observer).__name__)
