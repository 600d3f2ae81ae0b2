"""Dynamics and energy surfaces with the potentials of the study."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

from ...analysis.surfaces import roughness, surface_error
from ...analysis.trajectories import distance_histogram, energy_drift, hr_error, stability_time
from ...diversity import ConformerSet
from ...sampling.calculators import EngineCalculator
from ...sampling.dynamics import DynamicsSettings, run_dynamics
from ...sampling.hessians import hessian, relax
from ...sampling.observers import BondStretched
from ...sampling.scans import known_bonds
from ...sampling.surfaces import surface
from ...training import PotentialCalculator, load_potential, predict
from ..pool import by_id, read_set
from ..registry import label_engine
from ..store import Store
from ..units import Unit
from .methods import Work
from .question import RefinementConfiguration
from .refining import kept_potential, kind_of
from .systems import Experiment, System, TrainingSet
from .trajectories import reference_frames

#: In Å: bins of the distances between atoms.
EDGES = np.arange(0.5, 10.0001, 0.05)
#: What a run at the labels' level is called among methods.
REFERENCE = "reference"
#: Measured seconds of one core per step of dynamics, of a potential and of GFN2-xTB.
SECONDS_PER_STEP, SECONDS_PER_REFERENCE_STEP = 0.004, 0.015


def chosen_systems(
    asked: RefinementConfiguration, experiments: Sequence[Experiment]
) -> tuple[list[str], list[str]]:
    """Return the names of the systems with dynamics and with surfaces."""
    moving: list[str] = []
    seen: list[str] = []
    if asked.dynamics is not None:
        there = [s.name for e in experiments for s in e.systems]
        moving = [name for name in asked.dynamics.systems if name in there]
    if asked.surfaces is not None:
        by_shift: dict[str, list[str]] = {}
        for experiment in experiments:
            if experiment.name == "pools":
                for system in experiment.systems:
                    by_shift.setdefault(system.shift, []).append(system.name)
        # One of each shift in turn, the shifted ones first.
        queues = [by_shift[shift] for shift in sorted(by_shift, key=lambda s: s.startswith("in_"))]
        turns = max((len(queue) for queue in queues), default=0)
        ordered = [queue[i] for i in range(turns) for queue in queues if i < len(queue)]
        seen = ordered[: asked.surfaces.n_systems]
    return moving, seen


def plan_simulations(
    asked: RefinementConfiguration, experiments: Sequence[Experiment], work: Work
) -> dict[str, list[Unit]]:
    """Return the units of dynamics and of surfaces."""
    moving, seen = chosen_systems(asked, experiments)
    planned: dict[str, list[Unit]] = {"dynamics": [], "surface": []}
    for experiment in experiments:
        for system in experiment.systems:
            for one in experiment.sets:
                if system.name in moving and system.name in one.systems:
                    planned["dynamics"] += _dynamics_units(asked, experiment, one, system, work)
            if system.name in seen:
                planned["surface"].append(_surface_unit(asked, experiment, system, work))
    planned = {kind: list({u.key: u for u in units}.values()) for kind, units in planned.items()}
    for unit in planned["dynamics"]:
        steps = unit.parameters["settings"]["n_steps"]
        slow = unit.parameters["method"] == REFERENCE
        work.costs[unit.key] = steps * (SECONDS_PER_REFERENCE_STEP if slow else SECONDS_PER_STEP)
    work.costs |= {unit.key: 8.0 for unit in planned["surface"]}
    return planned


def _source(
    work: Work, experiment: Experiment, one: TrainingSet, system: str, method: str
) -> Unit | None:
    """Return the unit that holds the potential of a method for a system."""
    if kind_of(method) == "test_time":
        for done in work.refined:
            if done.experiment.name == experiment.name and done.one == one:
                asked = done.unit.parameters
                if asked["method"] == method and system in asked["kept"]:
                    return done.unit
        return None
    key = (experiment.name, one.design, one.replicate, method)
    return work.fits[key][0] if key in work.fits else None


def _dynamics_units(
    asked: RefinementConfiguration,
    experiment: Experiment,
    one: TrainingSet,
    system: System,
    work: Work,
) -> list[Unit]:
    section = asked.dynamics
    assert section is not None
    parameters: dict[str, Any] = {
        "system": system.name,
        "ids": list(system.ids),
        "level": experiment.level,
        "threads": asked.threads,
        "settings": section.model_dump(mode="json", exclude={"systems", "methods"}),
    }
    inputs = {"data": experiment.data.key}
    units = []
    if experiment.name == "rmd17" and asked.rmd17 is not None:
        # Its own frames are the run at the labels' level.
        frames = {"path": str(asked.rmd17.path), "name": system.name.split(",")[0]}
        parameters["frames"] = {**frames, "level": asked.rmd17.level}
    elif experiment.name != "acac":
        units.append(Unit("dynamics", 1, {**parameters, "method": REFERENCE}, inputs, asked.seed))
    for method in section.methods:
        source = _source(work, experiment, one, system.name, method)
        if source is not None:
            own = {**parameters, "method": method, "replicate": one.replicate}
            units.append(Unit("dynamics", 1, own, {**inputs, "potential": source.key}, one.seed))
    return units


def run_dynamics_unit(unit: Unit, store: Store, folder: Path) -> None:
    """Run dynamics of one system with one potential, or at the labels' level."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    data = by_id(read_set(store, unit.inputs["data"]), asked["ids"])
    labels = data.labels(asked["level"])
    start = data.select([int(np.argmin(np.where(labels.has_energy, labels.energy, np.inf)))])
    settings = DynamicsSettings(**asked["settings"])
    if asked["method"] == REFERENCE:
        calculator: Any = EngineCalculator(label_engine(asked["level"]), start)
    else:
        potential, _ = load_potential(_potential_folder(store, unit))
        calculator = PotentialCalculator(potential, level=asked["level"])
    watch = BondStretched.of(start)
    run = run_dynamics(start, calculator, settings, seed=unit.seed, observers=[watch])
    frames = run.trajectory.positions.reshape(-1, start.n_atoms, 3)
    stable = stability_time(
        run.trajectory.time, frames, known_bonds(start), start.positions,
        temperature=run.temperature,
    )  # fmt: skip
    # Exploded frames may not be finite, and are never kept.
    arrays = {
        "time": run.trajectory.time / 1000,
        "temperature": run.temperature,
        "energy": run.potential_energy + run.kinetic_energy,
        "h": distance_histogram(frames, EDGES),
    }
    if "frames" in asked:
        frames = reference_frames(**asked["frames"])
        arrays["h_reference"] = distance_histogram(frames, EDGES)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "run.safetensors")
    told = {"stopped": run.stopped, "stability_time": min(stable.time, run.time) / 1000}
    (folder / "told.json").write_text(json.dumps(told))


def gather_dynamics(store: Store, units: Sequence[Unit], n_replicates: int) -> xr.Dataset:
    """Return all runs as one Dataset; the layout is that of `figures.refinement.dynamics`."""
    settings = units[0].parameters["settings"]
    systems = list(dict.fromkeys(u.parameters["system"] for u in units))
    methods = [m for m in dict.fromkeys(u.parameters["method"] for u in units) if m != REFERENCE]
    n_frames = settings["n_steps"] // settings["record_every"] + 1
    duration = settings["n_steps"] * settings["timestep"] / 1000
    shape = (len(systems), len(methods), n_replicates)
    temperature = np.full((*shape, n_frames), np.nan)
    h, h_reference = np.full((*shape, len(EDGES) - 1), np.nan), {}
    stable, drift, apart = (np.full(shape, np.nan) for _ in range(3))
    for unit in units:
        asked = unit.parameters
        arrays = load_file(store.folder(unit.key) / "run.safetensors")
        if asked["method"] == REFERENCE:
            h_reference[asked["system"]] = arrays["h"]
            continue
        if "h_reference" in arrays:
            h_reference[asked["system"]] = arrays["h_reference"]
        told = json.loads((store.folder(unit.key) / "told.json").read_text())
        place = (
            systems.index(asked["system"]), methods.index(asked["method"]), asked["replicate"]
        )  # fmt: skip
        kelvin = arrays["temperature"][:n_frames]
        temperature[(*place, slice(0, len(kelvin)))] = kelvin
        h[place], stable[place] = arrays["h"], told["stability_time"]
        if len(arrays["time"]) >= 3 and settings["ensemble"] == "nve":
            drift[place] = energy_drift(arrays["time"] * 1000, arrays["energy"]).slope
    reference = np.full((len(systems), len(EDGES) - 1), np.nan)
    for name, values in h_reference.items():
        reference[systems.index(name)] = values
    for place in np.ndindex(shape):
        if np.isfinite(h[place]).all() and np.isfinite(reference[place[0]]).all():
            apart[place] = hr_error(h[place], reference[place[0]], EDGES)
    of = ("system", "method", "replicate")
    return xr.Dataset(
        {
            "temperature": ((*of, "time"), temperature, {"units": "K"}),
            "stability_time": (of, stable, {"units": "ps", "long_name": "a run that was stable to "
                               "its end has its duration, a lower bound"}),
            "h": ((*of, "r"), h, {"units": "1/angstrom"}),
            "h_reference": (("system", "r"), reference, {"units": "1/angstrom"}),
            "hr_error": (of, apart, {"units": "1", "long_name": "∫|h − h_ref| dr, 0 … 2"}),
            "energy_drift": (of, drift, {"units": "eV/ps", "missing": "NaN: not an NVE run"}),
        },
        coords={
            "system": systems,
            "method": methods,
            "replicate": np.arange(n_replicates),
            "time": np.arange(n_frames) * settings["record_every"] * settings["timestep"] / 1000,
            "r": 0.5 * (EDGES[1:] + EDGES[:-1]),
        },
        attrs={
            "target_temperature": settings["temperature"],
            "duration": duration,
            "ensemble": settings["ensemble"],
        },
    )  # fmt: skip


def _surface_unit(
    asked: RefinementConfiguration, experiment: Experiment, system: System, work: Work
) -> Unit:
    section = asked.surfaces
    assert section is not None
    inputs = {"data": experiment.data.key}
    for one in experiment.sets:
        for method in section.methods:
            source = _source(work, experiment, one, system.name, method)
            if source is not None:
                inputs[f"{method}/{one.replicate}"] = source.key
    parameters = {
        "system": system.name,
        "ids": list(system.ids),
        "level": experiment.level,
        "prior": experiment.prior,
        "threads": asked.threads,
        "n_points": section.n_points,
        "extent": section.extent,
    }
    return Unit("surface", 1, parameters, inputs, asked.seed)


def run_surface_unit(unit: Unit, store: Store, folder: Path) -> None:
    """Relax a system at the labels' level, and take energies over two eigenvectors there."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    engine = label_engine(asked["level"])
    data = by_id(read_set(store, unit.inputs["data"]), asked["ids"])
    lowest = int(np.argmin(data.labels(asked["level"]).energy))
    rest, _ = relax(
        data.select([lowest]), partial(EngineCalculator, engine), level=asked["level"], fmax=0.01
    )
    reach = asked["extent"]
    grid = surface(rest, hessian(rest, engine), n_points=asked["n_points"], extent=(reach, reach))
    energies: dict[str, np.ndarray] = {"x": grid.x, "y": grid.y}
    by_name: Mapping[str, Callable[[ConformerSet], Any]] = {
        REFERENCE: engine,
        "prior": label_engine(asked["prior"]),
    }
    for name, label in by_name.items():
        found = label(grid.conformers)
        energies[name] = grid.grid(np.where(found.has_energy, found.energy, np.nan))
    for role, key in unit.inputs.items():
        if "/" in role:
            source = Unit(unit.kind, unit.version, asked, {"potential": key}, unit.seed)
            potential, _ = load_potential(_potential_folder(store, source))
            energies[role] = grid.grid(
                predict(potential, grid.conformers, level=asked["level"]).energy
            )
    save_file(
        {k: np.ascontiguousarray(v) for k, v in energies.items()}, folder / "grid.safetensors"
    )


def gather_surfaces(store: Store, units: Sequence[Unit]) -> xr.Dataset:
    """Return all surfaces as one Dataset; the layout is that of `figures.refinement.surfaces`."""
    found = {
        u.parameters["system"]: load_file(store.folder(u.key) / "grid.safetensors") for u in units
    }
    first = next(iter(found.values()))
    roles = [key for key in units[0].inputs if "/" in key]
    methods = ["prior", *dict.fromkeys(role.split("/")[0] for role in roles)]
    replicates = sorted({int(role.split("/")[1]) for role in roles})
    systems = list(found)
    m = len(first["x"])
    energy = np.full((len(systems), len(methods), len(replicates), m, m), np.nan)
    reference = np.stack([found[name][REFERENCE] for name in systems])
    for s, name in enumerate(systems):
        for k, method in enumerate(methods):
            for r, replicate in enumerate(replicates):
                key = "prior" if method == "prior" else f"{method}/{replicate}"
                energy[s, k, r] = found[name].get(key, np.nan)
    rough, off = (np.full(energy.shape[:3], np.nan) for _ in range(2))
    for place in np.ndindex(rough.shape):
        if np.isfinite(energy[place]).all() and np.isfinite(reference[place[0]]).all():
            rough[place] = roughness(energy[place]).amplitude
            off[place] = surface_error(energy[place], reference[place[0]])
    of_reference = [roughness(e).amplitude if np.isfinite(e).all() else np.nan for e in reference]
    ev, of = {"units": "eV"}, ("system", "method", "replicate")
    told = {"units": "eV", "long_name": "amplitude of third differences; see analysis.surfaces"}
    return xr.Dataset(
        {
            "energy": (("system", "method", "x", "y"), energy[:, :, 0],
                       {**ev, "long_name": "of the first replicate"}),
            "energy_reference": (("system", "x", "y"), reference, ev),
            "roughness": (("system", "method"), rough.mean(2), told),
            "roughness_by_replicate": (of, rough, told),
            "roughness_reference": ("system", of_reference, told),
            "surface_error": (of, off, {**ev, "long_name": "root mean square difference from the "
                              "reference's surface, each less its mean"}),
        },
        coords={
            "system": systems,
            "method": methods,
            "replicate": replicates,
            "x": ("x", first["x"], {"units": "angstrom"}),
            "y": ("y", first["y"], {"units": "angstrom"}),
        },
    )  # fmt: skip


def _potential_folder(store: Store, unit: Unit) -> Path:
    """Return the folder of the potential that a unit reads: of a fit, or adapted to its system."""
    source = store.unit(unit.inputs["potential"])
    if source.kind == "refinement":
        return kept_potential(store, source, unit.parameters["system"])
    return store.folder(source.key) / "potential"
