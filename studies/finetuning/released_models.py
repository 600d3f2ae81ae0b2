"""The models of released sets: fitted, scored, and their predictions gathered.

The predictions have the layout of `breadth.analysis.finetuning.layout`, as those of a study with
dynamics of its own. Here ``replicate`` is the seed of a fit and ``test_run`` the arm whose frames
are tested; ``test_iteration`` and ``test_replicate`` are −1; a model has NaN for frames that it
trained on. Files tell no times: ``frame`` is the place among the arm's tested frames, and frames
are told apart by their positions alone. The universal model predicts at its own level; its
energies carry the constant by which the labels of all tested frames differ from them on average.
Scores are those of a training set, with the features of the universal model: they can be had
before any fit, and seeds share them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

from ...analysis.finetuning.layout import UNIVERSAL
from ...diversity.descriptors import bound
from ...training import TrainingConfig, load_potential, save_potential
from ...training.refinement import fine_tune
from ..models import read_predictions
from ..pool import by_id, read_set, rows_by_id, selected
from ..registry import featurizer, potential
from ..store import Store
from ..units import Unit
from .outside import DETECTORS, atom_scores

if TYPE_CHECKING:
    from .released import ReleasedPlan


def run_released_universal(unit: Unit, store: Store, folder: Path) -> None:
    """Keep the universal potential as it is."""
    save_potential(folder / "potential", potential(unit.parameters["universal"]["name"]))


def run_released_fit(unit: Unit, store: Store, folder: Path) -> None:
    """Fine-tune the universal potential on one set."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    data = read_set(store, unit.inputs["data"])
    result = fine_tune(
        potential(asked["universal"]["name"]),
        data,
        level=asked["level"],
        index=rows_by_id(data, selected(store, unit.inputs["train"])),
        what=asked["what"],
        config=TrainingConfig(**asked["training"]),
        seed=unit.seed,
        directory=store.partial(unit),
    )
    save_potential(folder / "potential", result.potential, {"level": asked["level"]})
    (folder / "fit.json").write_text(json.dumps({"loss": result.history["loss"].tolist()}))


def run_released_scores(unit: Unit, store: Store, folder: Path) -> None:
    """Score how far the atoms of tested frames lie outside a training set."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    data = read_set(store, unit.inputs["data"])
    train, test = (by_id(data, selected(store, unit.inputs[role])) for role in ("train", "test"))
    universal, _ = load_potential(store.folder(unit.inputs["universal"]) / "potential")
    described: Any = bound(featurizer(asked["descriptor"]), train, test)
    score, limit = atom_scores(train, test, universal, described, asked["n_components"])
    save_file({"score": score, "limit": limit}, folder / "scores.safetensors")


def gather_released(store: Store, plan: ReleasedPlan, *, level: str) -> xr.Dataset:
    """Return the predictions of all finished models; see the top of this module."""
    pool = read_set(store, plan.data.key)
    every = [i for ids in plan.tested.values() for i in ids]
    data = pool.select(rows_by_id(pool, every))
    place = {name: row for row, name in enumerate(every)}
    models = [m for m in plan.models if store.has(m.predictions)]
    reference = data.labels(level)
    elements = data.elements.astype(np.int64)
    energy = np.full((len(models), len(data)), np.nan)
    forces = np.full((len(models), data.n_atoms, 3), np.nan, dtype=np.float32)
    score = np.full((len(models), len(DETECTORS), data.n_atoms), np.nan)
    limit = np.full((len(models), len(DETECTORS), len(elements)), np.nan)
    for row, model in enumerate(models):
        ids, energies, all_forces = read_predictions(store, model.predictions.key)
        structures = [place[i] for i in ids]
        atoms = _atoms(data.offsets, structures)
        if model.arm == UNIVERSAL:
            energies = energies + np.mean(reference.energy[structures] - energies)
        energy[row, structures] = energies
        forces[row, atoms] = all_forces
        if model.scores is not None and store.has(model.scores):
            found = load_file(store.folder(model.scores.key) / "scores.safetensors")
            score[row][:, atoms] = found["score"]
            limit[row] = found["limit"][:, elements]
    runs = np.repeat(list(plan.tested), [len(ids) for ids in plan.tested.values()])
    unknown = np.full(len(data), -1)
    ev, per_angstrom = {"units": "eV"}, {"units": "eV/angstrom"}
    atoms_of = {"sample_dimension": "atom", "long_name": "atoms per structure"}
    return xr.Dataset(
        {
            "arm": ("model", np.array([m.arm for m in models], dtype=np.str_)),
            "iteration": ("model", [m.iteration for m in models]),
            "replicate": ("model", [m.replicate for m in models]),
            "n_frames": ("model", [m.n_frames for m in models]),
            "test_run": ("structure", runs),
            "test_iteration": ("structure", unknown),
            "test_replicate": ("structure", unknown),
            "frame": ("structure", np.concatenate([np.arange(len(x)) for x in
                                                   plan.tested.values()])),
            "conformer_id": ("structure", np.array(every, dtype=np.str_)),
            "n_atoms": ("structure", data.counts, atoms_of),
            "atomic_number": ("atom", data.numbers.astype(np.int64)),
            "energy_reference": ("structure", reference.energy, ev),
            "forces_reference": (("atom", "xyz"), reference.forces, per_angstrom),
            "energy": (("model", "structure"), energy, ev),
            "forces": (("model", "atom", "xyz"), forces, per_angstrom),
            "score": (("model", "detector", "atom"), score),
            "limit": (("model", "detector", "element"), limit),
        },
        coords={"detector": np.array(DETECTORS, dtype=np.str_), "element": elements},
        attrs={"level": level},
    )  # fmt: skip


def _atoms(offsets: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Return the atoms of some structures, one after the other."""
    return np.concatenate([np.arange(offsets[r], offsets[r + 1]) for r in rows])
