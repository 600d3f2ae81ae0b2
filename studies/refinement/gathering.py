"""Gather what every method predicted into one labelled Dataset, `predictions.nc`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from ...diversity import ConformerSet
from ..pool import by_id, read_set
from ..specs import DesignSpec
from ..store import Store
from ..units import Unit
from .fits import arm_of
from .question import ALL_METHODS, BASES
from .refining import read_refinements, read_told
from .systems import Experiment, System, TrainingSet

#: What methods tell of a system: the key, units and meaning of each variable of the results.
TOLD = {
    "test_time_steps": ("steps", "1", "steps after which the weights were kept"),
    "prior_left_out": ("left_out", "1", "structures that the prior gave no label to"),
    "refined_radius": ("radius", "angstrom", "mean of the radii that were chosen"),
    "radius_changed": ("changed", "1", "share of structures whose radius is not the trained one"),
}


@dataclass(frozen=True)
class Refined:
    """A unit that carried out a method, and the training set whose model it took."""

    experiment: Experiment
    one: TrainingSet
    unit: Unit


@dataclass(frozen=True)
class Layout:
    """Where structures and atoms of systems stand in the joined arrays.

    Parameters
    ----------
    systems : list of System
    sets : list of ConformerSet
        The labelled structures of each system, the adapted half first.
    starts, atom_starts : array of int64
        First structure and first atom of each system, and one beyond the last.
    """

    systems: list[System]
    sets: list[ConformerSet]
    starts: np.ndarray
    atom_starts: np.ndarray

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of each system, by name."""
        return {system.name: row for row, system in enumerate(self.systems)}

    def system(self, name: str) -> System:
        """Return a system."""
        return self.systems[self.places[name]]

    def rows(self, name: str) -> tuple[slice, slice]:
        """Return the structures and the atoms of a system."""
        at = self.places[name]
        return (
            slice(int(self.starts[at]), int(self.starts[at + 1])),
            slice(int(self.atom_starts[at]), int(self.atom_starts[at + 1])),
        )


def gather(
    store: Store, experiments: Sequence[Experiment], refined: Sequence[Refined], n_replicates: int
) -> xr.Dataset:
    """Return every prediction; the layout is that of `breadth.analysis.refinement.layout`.

    Parameters
    ----------
    store : Store
    experiments : sequence of Experiment
    refined : sequence of Refined
        Finished units.
    n_replicates : int
        Most training sets of an experiment.
    """
    layout = _layout(store, experiments)
    found = list(_predictions(store, refined, layout, experiments))
    methods = _ordered({method for method, *_ in found})
    designs = experiments[0].designs
    n_structures, n_atoms = int(layout.starts[-1]), int(layout.atom_starts[-1])
    shape = (max(1, len(designs)), len(methods), n_replicates)
    energy = np.full((*shape, n_structures), np.nan)
    forces = np.full((*shape, n_atoms, 3), np.nan, dtype=np.float32)
    for method, one, system, energies, all_forces in found:
        structures, atoms = layout.rows(system)
        place = (one.design, methods.index(method), one.replicate)
        energy[(*place, structures)] = energies
        forces[(*place, atoms)] = all_forces
    if not designs:
        energy, forces = energy[0], forces[0]
    of = (("design",) if designs else ()) + ("method", "replicate")
    bases = [base_of(method) for method in methods]
    dataset = xr.Dataset(
        {
            "energy": ((*of, "structure"), energy, {"units": "eV"}),
            "forces": ((*of, "atom", "xyz"), forces, {"units": "eV/angstrom"}),
            **_structures(layout, experiments),
            "base_of_method": ("method", [base if base in methods else "" for base in bases]),
        },
        coords={
            "method": methods,
            "replicate": np.arange(n_replicates),
            **_systems(layout, experiments),
        },
        attrs={
            "level": ", ".join(dict.fromkeys(e.level for e in experiments)),
            "prior": ", ".join(dict.fromkeys(e.prior for e in experiments)),
        },
    )
    return dataset.assign_coords(_designs(designs)) if designs else dataset


def gather_told(
    store: Store, refined: Sequence[Refined], predictions: xr.Dataset
) -> tuple[xr.Dataset, list[str]]:
    """Return what the methods did beside predicting, by system, and what they could not do.

    Returns
    -------
    dataset : xarray.Dataset
        ``test_time_steps``, ``prior_left_out``, ``refined_radius`` and ``radius_changed``
        ([design,] system, method, replicate).
    failures : list of str
    """
    systems = {name: row for row, name in enumerate(predictions["system"].values.tolist())}
    methods = predictions["method"].values.tolist()
    sizes = predictions.sizes
    shape = (sizes.get("design", 1), len(systems), len(methods), sizes["replicate"])
    tables = {name: np.full(shape, np.nan) for name in TOLD}
    failures = []
    for done in refined:
        method = done.unit.parameters["method"]
        for name, told in read_told(store, done.unit).items():
            if "failed" in told:
                failures.append(f"{method} of {name!r}: {told['failed']}")
            if not told:
                continue
            # Of `both` the steps are those of `test_time`, beside which its radius is told.
            for which in (method, *(["both"] if "steps" in told and "radius" in told else [])):
                place = (done.one.design, systems[name], methods.index(which), done.one.replicate)
                for variable, (key, _, _) in TOLD.items():
                    of_radius = key in ("radius", "changed")
                    if key in told and not (of_radius and which.startswith("test_time")):
                        tables[variable][place] = told[key]
    of = ("design", "system", "method", "replicate")
    variables = {
        name: (of, tables[name], {"units": units, "long_name": text, "missing": "NaN: no such"})
        for name, (_, units, text) in TOLD.items()
    }
    dataset = xr.Dataset(variables)
    return (dataset if "design" in predictions.dims else dataset.isel(design=0)), failures


def base_of(method: str) -> str:
    """Return the method that is the same model without its step at test time; '' if none.

    Examples
    --------
    >>> base_of("both"), base_of("fine_tune_20"), base_of("test_time_uff"), base_of("delta")
    ('joint', 'none', 'joint_uff', '')
    """
    if method.startswith("fine_tune"):
        return "none"
    if method in BASES:
        return BASES[method]
    return arm_of(method) or "" if method.startswith("test_time_") else ""


def _ordered(methods: set[str]) -> list[str]:
    def place(method: str) -> tuple[int, int, str]:
        kind = method
        number = 0
        if method.startswith("fine_tune_"):
            kind, number = "fine_tune", int(method.rsplit("_", 1)[1])
        elif method not in ALL_METHODS:
            kind = method.rsplit("_", 1)[0]
            number = 1
        return ALL_METHODS.index(kind), number, method

    return sorted(methods, key=place)


def _layout(store: Store, experiments: Sequence[Experiment]) -> Layout:
    systems, sets = [], []
    for experiment in experiments:
        data = read_set(store, experiment.data.key)
        for system in experiment.systems:
            systems.append(system)
            sets.append(by_id(data, system.ids))
    return Layout(
        systems,
        sets,
        np.cumsum([0, *(len(s) for s in sets)]),
        np.cumsum([0, *(s.n_atoms for s in sets)]),
    )


def _predictions(
    store: Store, refined: Sequence[Refined], layout: Layout, experiments: Sequence[Experiment]
) -> Iterator[tuple[str, TrainingSet, str, np.ndarray, np.ndarray]]:
    for done in refined:
        for method, name, ids, energy, forces in read_refinements(store, done.unit):
            if tuple(ids) != layout.system(name).ids:
                raise ValueError(f"{done.unit.key} predicted other structures of {name}")
            yield method, done.one, name, energy, forces
    for experiment in experiments:
        for place, prior in enumerate(experiment.priors):
            method = f"prior_{prior}" if place else "prior"
            for system, found in zip(layout.systems, layout.sets, strict=True):
                if system.experiment != experiment.name:
                    continue
                energy, forces = _filled(found, prior)
                # Of the first prior it is known which structures it cannot treat, and methods
                # are compared on the others; of a further one such a system is left out.
                if place and not (np.isfinite(energy).all() and np.isfinite(forces).all()):
                    continue
                for one in experiment.sets:
                    if system.name in one.systems:
                        yield method, one, system.name, energy, forces


def _filled(conformers: ConformerSet, level: str) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and forces of a level, NaN where there is no label."""
    labels = conformers.labels(level)
    there = labels.has_forces[conformers.atom_conformer, None]
    return (
        np.where(labels.has_energy, labels.energy, np.nan),
        np.where(there, labels.forces, np.nan).astype(np.float32),
    )


def _structures(layout: Layout, experiments: Sequence[Experiment]) -> Mapping[str, tuple]:
    level = {e.name: (e.level, e.prior) for e in experiments}
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for system, found in zip(layout.systems, layout.sets, strict=True):
        reference, prior = level[system.experiment]
        for column, values in zip(
            columns, (*_filled(found, reference), *_filled(found, prior)), strict=True
        ):
            column.append(values)
    energy, forces, energy_prior, forces_prior = (np.concatenate(c) for c in columns)
    sizes = [len(s.ids) for s in layout.systems]
    adapted = [np.arange(len(s.ids)) < len(s.adapted) for s in layout.systems]
    ev, per_angstrom = {"units": "eV"}, {"units": "eV/angstrom"}
    counts = {"sample_dimension": "atom", "long_name": "atoms per structure"}
    ids = [i for s in layout.systems for i in s.ids]
    return {
        "conformer_id": ("structure", np.array(ids, dtype=np.str_)),
        "system_of": ("structure", np.repeat(np.arange(len(sizes)), sizes)),
        "adapted": ("structure", np.concatenate(adapted)),
        "n_atoms": ("structure", np.concatenate([s.counts for s in layout.sets]), counts),
        "atomic_number": ("atom", np.concatenate([s.numbers for s in layout.sets])),
        "energy_reference": ("structure", energy, ev),
        "forces_reference": (("atom", "xyz"), forces, per_angstrom),
        "energy_prior": ("structure", energy_prior, ev),
        "forces_prior": (("atom", "xyz"), forces_prior, per_angstrom),
    }


def _systems(layout: Layout, experiments: Sequence[Experiment]) -> Mapping[str, tuple]:
    level = {e.name: (e.level, e.prior) for e in experiments}
    systems, sets = layout.systems, layout.sets
    text = {
        "system": [s.name for s in systems],
        "experiment": [s.experiment for s in systems],
        "shift": [s.shift for s in systems],
        "smiles": [str(found.molecules.smiles[0]) for found in sets],
        "molecule": [str(found.molecules.key[0]) for found in sets],
        "formula": [found.formula(0) for found in sets],
        "system_level": [level[s.experiment][0] for s in systems],
        "system_prior": [level[s.experiment][1] for s in systems],
    }
    return {
        **{name: ("system", np.array(values, dtype=np.str_)) for name, values in text.items()},
        "n_atoms_system": ("system", [int(found.counts[0]) for found in sets]),
    }


def _designs(designs: Sequence[DesignSpec]) -> Mapping[str, tuple]:
    names = {"experiment": "design_experiment"}
    return {
        names.get(name, name): ("design", np.array([getattr(d, name) for d in designs]))
        for name in DesignSpec._fields
    }
