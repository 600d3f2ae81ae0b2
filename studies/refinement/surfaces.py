"""Energies over two eigenvectors of the Hessian, by every potential and at the labels' level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

from ...analysis.surfaces import roughness, surface_error
from ...diversity import ConformerSet
from ...sampling.calculators import EngineCalculator
from ...sampling.hessians import hessian, relax
from ...sampling.surfaces import surface
from ...training import load_potential, predict
from ..pool import by_id, read_set
from ..registry import label_engine
from ..store import Store
from ..units import Unit
from .methods import Work
from .potentials import REFERENCE, potential_folder, source_of
from .question import RefinementConfiguration
from .systems import Experiment, System


def surface_unit(
    asked: RefinementConfiguration, experiment: Experiment, system: System, work: Work
) -> Unit:
    """Return the unit of the surfaces of one system, of every method and replicate."""
    section = asked.surfaces
    assert section is not None
    inputs = {"data": experiment.data.key}
    for one in experiment.sets:
        for method in section.methods:
            source = source_of(work, experiment, one, system.name, method)
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
            potential, _ = load_potential(potential_folder(store, source))
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
