"""A labelled pool by itself: what `breadth pool` does, and the section that studies share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ase.data import atomic_numbers
from pydantic import Field
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from ..diversity import ConfigurationError, ShortageError
from ..sampling.geometries import GeometrySettings
from ..sampling.molecules import Molecule
from ..sampling.sources import BY_ENGINE, Method, SourceSettings
from .configuration import Section
from .executor import process_pool, run_units
from .plan import finish, open_plan
from .pool import geometry_units, measured_seconds, read_aside, read_set
from .pricing import estimate_pool, label_units
from .registry import label_engine
from .sources import (
    DynamicsSection,
    StretchSection,
    TorsionSection,
    changed_molecules,
    in_order,
    library_name,
    listed_molecules,
    source_digest,
)
from .store import Store
from .units import Unit

Tell = Callable[[str, float, float], None]


class PoolSection(Section):
    """Where molecules, geometries and labels come from."""

    molecules: Path | None = None
    """File with one SMILES and a name per line, or a library: qm9 (with the package qm9pack) or
    moses (molsets); the bundled 2,000 of QM9 when empty."""
    n_molecules: int = Field(200, ge=1)
    """Molecules to sample, the hold-outs of a study among them; larger ones come on top there."""
    n_conformers: int = Field(30, ge=1)
    """Geometries generated per molecule; a study labels only those that it chooses."""
    method: Literal["normal_modes", "gaussian"] | Method = "normal_modes"
    """How geometries are made: MMFF94 minima displaced along normal modes or by Gaussians; minima
    and modes of `surface` (engine_modes); dynamics on `surface` (langevin, nve); rotatable torsions
    turned around (torsions); bonds stretched (stretched)."""
    surface: str = "gfn2"
    """Level of theory whose forces make geometries, for engine_modes, langevin and nve."""
    dynamics: DynamicsSection = DynamicsSection()
    torsions: TorsionSection = TorsionSection()
    stretching: StretchSection = StretchSection()
    temperature: float = Field(500.0, gt=0)
    """In K, for normal modes and dynamics."""
    sigma: float = Field(0.05, gt=0)
    """In Å, for Gaussian displacements."""
    max_minima: int = Field(5, ge=1)
    """Most minima per molecule."""
    min_rotatable_bonds: int = Field(0, ge=0)
    """Molecules with fewer rotatable bonds are left out."""
    elements: tuple[str, ...] = ()
    """Molecules with other elements are left out; all are allowed when empty."""
    engine: str = "gfn2"
    """Level of theory of the labels."""
    prior: str | None = "mmff94"
    """A cheap level whose own error stands beside every model's; null for none."""

    def check_engines(self) -> None:
        """Raise now, and not after the geometries are made, if a level of theory is unknown."""
        surface = self.surface if self.method in BY_ENGINE else None
        for name in filter(None, (self.engine, self.prior, surface)):
            label_engine(name)
        self.settings()

    def settings(self) -> GeometrySettings | SourceSettings:
        """Return how geometries are made."""
        if self.method == "normal_modes" or self.method == "gaussian":
            return GeometrySettings(
                method=self.method,
                temperature=self.temperature,
                sigma=self.sigma,
                max_minima=self.max_minima,
            )
        return SourceSettings(
            method=self.method,
            surface=self.surface if self.method in BY_ENGINE else "",
            max_minima=self.max_minima,
            temperature=self.temperature,
            **self.dynamics.model_dump(),
            **self.torsions.model_dump(),
            **self.stretching.model_dump(),
        )

    def candidates(self, seed: int, *, at_most: int | None = None) -> list[Molecule]:
        """Return the molecules of the source that fit, in an order that the seed fixes.

        Parameters
        ----------
        seed : int
        at_most : int, optional
            Stop at so many; all by default.
        """
        unknown = [symbol for symbol in self.elements if symbol not in atomic_numbers]
        if unknown:
            raise ConfigurationError(f"pool.elements: {unknown[0]!r} is no chemical element.")
        listed = listed_molecules(self.molecules)
        if library_name(self.molecules) is not None:
            ordered = in_order(seed, listed, of_library=True)
            return list(islice(filter(self._fits, ordered), at_most))
        fitting = [molecule for molecule in listed if self._fits(molecule)]
        return list(islice(in_order(seed, fitting, of_library=False), at_most))

    def _fits(self, molecule: Molecule) -> bool:
        # Not by the molecule itself, whose stereochemistry would be settled first.
        read = Chem.MolFromSmiles(molecule.smiles)
        if rdMolDescriptors.CalcNumRotatableBonds(read) < self.min_rotatable_bonds:
            return False
        allowed = {atomic_numbers[symbol] for symbol in self.elements}
        return not allowed or {a.GetAtomicNum() for a in Chem.AddHs(read).GetAtoms()} <= allowed

    def digest(self) -> str:
        """Return what identifies the source of the molecules in a plan."""
        return source_digest(self.molecules)


class PoolConfiguration(PoolSection):
    """All that `breadth pool` is asked."""

    seed: int = Field(0, ge=0)
    """Root of every random stream."""
    threads: int = Field(1, ge=1)
    """Threads of each worker process."""


def make_pool(
    asked: PoolConfiguration, out: Path, *, workers: int = 1, progress: Tell | None = None
) -> dict[str, Any]:
    """Sample and label molecules; what is finished is not done again.

    Parameters
    ----------
    asked : PoolConfiguration
    out : Path
        Its folder ``pool`` is the labelled set, in the native format.
    workers : int
        Processes; they change no number.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    dict
        Path, counts, and reasons for what was set aside.
    """
    tell = progress or (lambda phase, done, total: None)
    asked.check_engines()
    store = Store(out)
    with store.locked():
        open_plan(out, "pool", asked, molecules=asked.digest())
        molecules = _molecules(asked)
        geometries = geometry_units(
            molecules,
            n_conformers=asked.n_conformers,
            settings=asked.settings(),
            seed=asked.seed,
        )
        # The bundled list says what it holds.
        changed = changed_molecules(molecules) if asked.molecules is not None else []
        with process_pool(workers, asked.threads) as executor:
            sampled = sample(store, geometries, executor, tell)
            chunks, costs = label_units(geometries, sampled, engine=asked.engine, prior=asked.prior)
            show = counter(tell, "labels", len(chunks))
            run_units(store, chunks, executor, costs=costs, progress=show)
            pool = pool_unit(store, chunks, asked.engine)
            run_units(store, [*pool], executor)
        link_pool(out, store.folder(pool[-1].key) / "set")
        labelled = read_set(store, pool[-1].key)
        aside = [a for unit in (*geometries, *chunks) for a in read_aside(store, unit.key)]
        finish(out, workers=workers)
    return {
        "pool": str(out / "pool"),
        "n_molecules": labelled.n_molecules,
        "n_conformers": len(labelled),
        "level": asked.engine,
        "set_aside": dict(Counter(a.reason.split(":")[0] for a in aside)),
        "core_seconds": measured_seconds(store, chunks),
        "changed_molecules": changed,
    }


def plan_pool(asked: PoolConfiguration, *, workers: int) -> dict[str, Any]:
    """Return what a pool would take, without making it; see `pricing.estimate_pool`."""
    asked.check_engines()
    return estimate_pool(asked, _molecules(asked), workers=workers)


def _molecules(asked: PoolConfiguration) -> list[Molecule]:
    """Return the molecules to sample; raise `ShortageError` if there are too few."""
    molecules = asked.candidates(asked.seed, at_most=asked.n_molecules)
    if len(molecules) < asked.n_molecules:
        raise ShortageError(
            f"{asked.n_molecules} molecules are asked for and the source has "
            f"{len(molecules)} that fit, {asked.n_molecules - len(molecules)} too few. Lower "
            "n_molecules or min_rotatable_bonds."
        )
    return molecules


def sample(store: Store, units: Sequence[Unit], executor: Executor, tell: Tell) -> list[Any]:
    """Run units of geometries; return the set of each, None where all were set aside.

    Raises
    ------
    ShortageError
        If not one geometry could be generated.
    """
    run_units(store, units, executor, progress=counter(tell, "geometries", len(units)))
    sets = [
        read_set(store, u.key) if (store.folder(u.key) / "set").exists() else None for u in units
    ]
    if all(made is None for made in sets):
        reasons = Counter(a.reason for u in units for a in read_aside(store, u.key))
        worst = "; ".join(f"{why} ({count}×)" for why, count in reasons.most_common(3))
        raise ShortageError(f"No geometry could be generated from these molecules: {worst}.")
    return sets


def pool_unit(store: Store, labelled: Sequence[Unit], engine: str) -> tuple[Unit, Unit]:
    """Return the units of the isolated atoms and of the pool that joins labelled chunks."""
    sets = [u.key for u in labelled if (store.folder(u.key) / "set").exists()]
    if not sets:
        reasons = Counter(a.reason for u in labelled for a in read_aside(store, u.key))
        raise ShortageError(f"No conformer could be labelled: {reasons.most_common(1)[0][0]}.")
    elements = sorted({int(z) for key in sets for z in read_set(store, key).elements})
    atoms = Unit("atoms", 1, {"elements": elements, "engine": engine})
    parts = {f"labels-{i:05d}": key for i, key in enumerate(sorted(sets))}
    return atoms, Unit("pool", 1, {"engine": engine}, {"atoms": atoms.key, **parts})


def link_pool(out: Path, target: Path, *, name: str = "pool") -> None:
    """Let ``out/pool``, or another name, be a finished set; replaced in one step."""
    aside = out / f".{name}.{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(os.path.relpath(target, out))
    aside.replace(out / name)


def counter(tell: Tell, phase: str, total: int) -> Callable[[Unit, float], None]:
    """Return a progress callback that counts units of a phase."""
    done = 0

    def count(unit: Unit, cost: float) -> None:
        nonlocal done
        done += 1
        tell(phase, done, total)

    return count
