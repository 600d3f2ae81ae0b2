"""Evaluate every model on its own run, on other arms' runs and on what is common to all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from ...diversity import ConformerSet, concat
from ...diversity.descriptors import bound
from ...training import Potential, predict
from ...training.refinement import original_level
from ..pool import read_set
from ..registry import featurizer, potential
from ..store import Store
from ..units import Unit
from .fits import joined
from .outside import DETECTORS, atom_scores
from .question import FinetuningConfiguration
from .starting import read_model, universal_of

#: Roles of the sets that a unit of evaluation reads: training frames, test frames.
TRAIN, TEST = "train/", "test/"


def evaluated_unit(
    asked: FinetuningConfiguration,
    tests: Sequence[Unit],
    train: Sequence[Unit],
    others: Unit,
    fit: Unit | None = None,
) -> Unit:
    """Return the unit that evaluates one model.

    Parameters
    ----------
    asked : FinetuningConfiguration
    tests : sequence of Unit
        Units of labelled frames.
    train : sequence of Unit
        Its labelled frames. Those of the universal model, which has none, are the first training
        sets of all replicates: by them its energies move to the level of the labels.
    others : Unit
        Other molecules, of the original domain.
    fit : Unit, optional
        Of the model; the universal one by default.
    """
    parameters: dict[str, Any] = {
        "universal": universal_of(asked),
        "level": asked.engine,
        "descriptor": asked.descriptor,
        "n_components": asked.n_components,
        "threads": asked.threads,
    }
    inputs = {f"{TEST}{unit.key}": unit.key for unit in tests}
    inputs |= {f"{TRAIN}{place:03d}": unit.key for place, unit in enumerate(train)}
    inputs["others"] = others.key
    if fit is not None:
        inputs["fit"] = fit.key
    return Unit("evaluated", 1, parameters, inputs)


def run_evaluated(unit: Unit, store: Store, folder: Path) -> None:
    """Predict every test set, score its atoms, and predict other molecules."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    model, universal = read_model(store, unit), "fit" not in unit.inputs
    keys = sorted(key for role, key in unit.inputs.items() if role.startswith(TEST))
    keys = [key for key in keys if (store.folder(key) / "set").exists()]
    arrays: dict[str, np.ndarray] = {}
    train = joined(store, [k for r, k in sorted(unit.inputs.items()) if r.startswith(TRAIN)])
    if keys:
        sets = [read_set(store, key) for key in keys]
        whole = concat(sets)
        found = predict(model, whole, level=None if universal else asked["level"])
        energy = found.energy
        if universal and train is not None:
            energy = energy + offset(model, train, asked["level"])
        scores = np.full((len(DETECTORS), whole.n_atoms), np.nan)
        # One frame, which a run that broke may leave, has none to hold out for limits.
        if not universal and train is not None and len(train) > 1:
            described: Any = bound(featurizer(asked["descriptor"]), train, whole)
            scores, limits = atom_scores(train, whole, model, described, asked["n_components"])
            arrays["limit"] = limits
        structures = np.cumsum([0, *map(len, sets)])
        atoms = np.cumsum([0, *(part.n_atoms for part in sets)])
        for place, key in enumerate(keys):
            rows = slice(*structures[place : place + 2])
            at = slice(*atoms[place : place + 2])
            arrays[f"energy/{key}"] = energy[rows]
            arrays[f"forces/{key}"] = found.forces[at].astype(np.float32)
            arrays[f"score/{key}"] = scores[:, at].astype(np.float32)
    original = read_set(store, unit.inputs["others"])
    level = original_level(model if universal else potential(asked["universal"]["name"]))
    found = predict(model, original, level=level)
    arrays["energy/original"] = found.energy
    arrays["forces/original"] = found.forces.astype(np.float32)
    contiguous = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    save_file(contiguous, folder / "evaluated.safetensors")


def offset(model: Potential, frames: ConformerSet, level: str) -> float:
    """Return in eV by how much labels of a level exceed a model's energies, on average."""
    return float(np.mean(frames.labels(level).energy - predict(model, frames).energy))


def read_evaluated(store: Store, unit: Unit) -> dict[str, np.ndarray]:
    """Return ``energy/KEY``, ``forces/KEY`` and ``score/KEY`` by test set, and ``limit``."""
    return load_file(store.folder(unit.key) / "evaluated.safetensors")
