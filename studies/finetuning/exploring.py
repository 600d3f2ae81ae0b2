"""Runs of dynamics: of the universal model, of fine-tuned ones, and at the level of the labels."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from ...analysis.trajectories import bond_events, stability_time
from ...diversity import ConformerSet, write
from ...sampling.calculators import EngineCalculator
from ...sampling.dynamics import DynamicsSettings, run_dynamics
from ...sampling.observers import BondStretched
from ...sampling.scans import known_bonds
from ...training import PotentialCalculator
from ..pool import read_set
from ..registry import label_engine
from ..store import Store
from ..units import Unit
from .starting import read_model

#: Numbers of runs, which name their random streams: of training from 0, the others from here.
TEST, INDEPENDENT = 1000, 2000


def exploration_unit(
    start: Unit,
    settings: DynamicsSettings,
    *,
    seed: int,
    stream: int,
    threads: int,
    universal: dict[str, str] | None = None,
    fit: Unit | None = None,
    engine: str = "",
) -> Unit:
    """Return the unit of one run.

    Parameters
    ----------
    start : Unit
        Of start geometries.
    settings : DynamicsSettings
    seed : int
        Of the replicate.
    stream : int
        Number of the run. Runs of one replicate and number start with the same velocities and see
        the same noise, whichever model drives them, so that they differ by the model alone.
    threads : int
    universal : dict, optional
    fit : Unit, optional
        Its model drives the run, in place of the universal one.
    engine : str, optional
        Level of theory that drives it, in place of a model; it starts from one minimum after
        another.
    """
    parameters: dict[str, Any] = {
        "settings": asdict(settings),
        "stream": stream,
        "threads": threads,
        "place": stream - INDEPENDENT if engine else 0,
    }
    inputs = {"start": start.key}
    if engine:
        parameters["engine"] = engine
    elif fit is None:
        parameters["universal"] = universal
    else:
        inputs["fit"] = fit.key
    return Unit("exploration", 2, parameters, inputs, seed)


def run_exploration(unit: Unit, store: Store, folder: Path) -> None:
    """Run until the end, or until a bond is torn; write the frames and how it went."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    starts = read_set(store, unit.inputs["start"])
    start = starts.select([asked["place"] % len(starts)])
    calculator: Any
    if "engine" in asked:
        calculator = EngineCalculator(label_engine(asked["engine"]), start)
    else:
        calculator = PotentialCalculator(read_model(store, unit))
    run = run_dynamics(
        start,
        calculator,
        DynamicsSettings(**asked["settings"]),
        seed=unit.seed,
        observers=[BondStretched.of(start)],
        trajectory=asked["stream"],
    )
    frames, bonds = run.trajectory, known_bonds(start)
    stable, events = 0.0, 0
    if len(frames):
        write(frames, folder / "set")
        positions = frames.positions.reshape(len(frames), -1, 3)
        place = (start.cell[0], start.pbc[0])
        found = stability_time(
            frames.time, positions, bonds, start.positions, *place, temperature=run.temperature
        )
        stable = run.time if found.reason is None and run.stopped is None else found.time
        events = len(
            bond_events(start.numbers, frames.time, positions, bonds, start.positions, *place)
        )
    arrays = {"time": frames.time, "temperature": run.temperature, "energy": run.potential_energy}
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "run.safetensors")
    told = {
        "stopped": run.stopped or "",
        "stability_time": stable,
        "simulated_time": run.time,
        "n_bond_events": events,
    }
    (folder / "told.json").write_text(json.dumps(told))


class Exploration(NamedTuple):
    """A finished run; times in fs, temperatures in K.

    Attributes
    ----------
    frames : ConformerSet or None
        None where the calculator failed at once.
    told : dict
        ``stopped`` (text, empty: it ran to its end), ``stability_time``, ``simulated_time``,
        ``n_bond_events``.
    time, temperature : array of float64, shape (t,)
    """

    frames: ConformerSet | None
    told: dict[str, Any]
    time: np.ndarray
    temperature: np.ndarray


def read_exploration(store: Store, key: str) -> Exploration:
    """Return what a run left."""
    folder = store.folder(key)
    arrays = load_file(folder / "run.safetensors")
    return Exploration(
        read_set(store, key) if (folder / "set").exists() else None,
        json.loads((folder / "told.json").read_text()),
        arrays["time"],
        arrays["temperature"],
    )
