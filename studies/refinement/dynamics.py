"""Runs of dynamics with the potentials of the study, and their reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

from ...analysis.trajectories import distance_histogram, energy_drift, hr_error, stability_time
from ...sampling.calculators import EngineCalculator
from ...sampling.dynamics import DynamicsSettings, run_dynamics
from ...sampling.observers import BondStretched
from ...sampling.scans import known_bonds
from ...training import PotentialCalculator, load_potential
from ..pool import by_id, read_set
from ..registry import label_engine
from ..store import Store
from ..units import Unit
from .methods import Work
from .potentials import REFERENCE, potential_folder, source_of
from .question import RefinementConfiguration
from .systems import Experiment, System, TrainingSet
from .trajectories import reference_frames

#: In Å: bins of the distances between atoms.
EDGES = np.arange(0.5, 10.0001, 0.05)


def dynamics_units(
    asked: RefinementConfiguration,
    experiment: Experiment,
    one: TrainingSet,
    system: System,
    work: Work,
) -> list[Unit]:
    """Return the units of the runs of one system with the models of one training set."""
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
        source = source_of(work, experiment, one, system.name, method)
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
        potential, _ = load_potential(potential_folder(store, unit))
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
