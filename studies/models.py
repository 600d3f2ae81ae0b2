"""Units that fit a potential and that predict with one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import load_file, save_file

from ..diversity import ConformerSet
from ..training import DivergedError, TrainingConfig, fit, load_potential, predict, save_potential
from ..training.potentials import Potential
from .pool import by_id, read_set, rows_by_id, selected
from .store import Store
from .units import Unit

#: Checkpoints of a training curve, spaced evenly on a logarithmic scale.
N_CHECKPOINTS = 8
#: Stands in a unit's folder in place of a model, or of its predictions, where the fit diverged:
#: equal options diverge again, so that the unit is finished.
DIVERGED = "diverged.json"


def fit_unit(
    *,
    pool: Unit,
    train: Unit,
    monitor: Unit,
    potential: Mapping[str, Any],
    training: TrainingConfig,
    level: str,
    threads: int,
    seed: int,
) -> Unit:
    """Return the unit that fits one model on the conformers of a selection."""
    parameters = {
        "potential": dict(potential),
        "training": training.model_dump(mode="json"),
        "level": level,
        "threads": threads,
    }
    inputs = {"pool": pool.key, "train": train.key, "monitor": monitor.key}
    return Unit("fit", 1, parameters, inputs, seed)


def run_fit(unit: Unit, store: Store, folder: Path) -> None:
    """Fit one model and keep its weights and training curve, or why it diverged."""
    torch.set_num_threads(unit.parameters["threads"])
    level = unit.parameters["level"]
    config = TrainingConfig(**unit.parameters["training"])
    pool = read_set(store, unit.inputs["pool"])
    watched = by_id(pool, selected(store, unit.inputs["monitor"]))

    def monitor(update: int, potential: Potential) -> dict[str, float]:
        return {"monitor_force_mae": monitored(potential, watched, level)}

    try:
        result = fit(
            unit.parameters["potential"],
            pool,
            level=level,
            train=rows_by_id(pool, selected(store, unit.inputs["train"])),
            config=config,
            seed=unit.seed,
            directory=store.partial(unit),
            monitor=monitor,
            monitor_at=checkpoints(config.n_updates),
        )
    except DivergedError as error:
        note_divergence(folder, str(error))
        return
    save_potential(folder / "potential", result.potential, {"level": level})
    curve(result.history).to_netcdf(folder / "curve.nc", engine="h5netcdf")


def note_divergence(folder: Path, reason: str) -> None:
    """Keep in a unit's folder that its model diverged, and why."""
    (folder / DIVERGED).write_text(json.dumps({"reason": reason}))


def divergence(store: Store, key: str) -> str | None:
    """Return why the model of a finished unit of a fit or of predictions diverged, or None."""
    path = store.folder(key) / DIVERGED
    return str(json.loads(path.read_text())["reason"]) if path.exists() else None


def checkpoints(n_updates: int) -> list[int]:
    """Return the updates at which a training curve is drawn, the last one included."""
    spaced = np.geomspace(max(1, n_updates / 2 ** (N_CHECKPOINTS - 1)), n_updates, N_CHECKPOINTS)
    return sorted({round(u) for u in spaced})


def curve(history: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return a training curve: monitored error, and the mean loss since the checkpoint before."""
    updates = history["monitor_update"]
    starts = np.concatenate([[0], updates[:-1]]).astype(np.int64)
    loss = [history["loss"][i:j].mean() for i, j in zip(starts, updates, strict=True)]
    return xr.Dataset(
        {
            "updates": ("checkpoint", updates.astype(float)),
            "train_loss": ("checkpoint", np.array(loss)),
            "monitor_force_mae": (
                "checkpoint",
                history["monitor_force_mae"],
                {"units": "eV/angstrom"},
            ),
        }
    )


def predictions_unit(*, fit: Unit, pool: Unit, test: Unit, threads: int) -> Unit:
    """Return the unit that predicts the conformers of a selection with a fitted model."""
    inputs = {"fit": fit.key, "pool": pool.key, "test": test.key}
    return Unit("predictions", 1, {"level": fit.parameters["level"], "threads": threads}, inputs)


def run_predictions(unit: Unit, store: Store, folder: Path) -> None:
    """Predict energies and forces; a model that diverged predicts nothing, and says so."""
    reason = divergence(store, unit.inputs["fit"])
    if reason is not None:
        note_divergence(folder, reason)
        return
    torch.set_num_threads(unit.parameters["threads"])
    potential, _ = load_potential(store.folder(unit.inputs["fit"]) / "potential")
    pool = read_set(store, unit.inputs["pool"])
    tested = by_id(pool, selected(store, unit.inputs["test"]))
    try:
        labels = predict(potential, tested, level=unit.parameters["level"])
    except DivergedError as error:
        note_divergence(folder, str(error))
        return
    arrays = {"energy": labels.energy, "forces": labels.forces.astype(np.float32)}
    save_file(arrays, folder / "predictions.safetensors")


def read_predictions(store: Store, key: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return ids, energies (n,) in eV and forces (A, 3) in eV/Å of a unit's predictions."""
    folder = store.folder(key)
    arrays = load_file(folder / "predictions.safetensors")
    return selected(store, store.unit(key).inputs["test"]), arrays["energy"], arrays["forces"]


def monitored(potential: Potential, conformers: ConformerSet, level: str) -> float:
    """Return the mean absolute error of force components, eV/Å; NaN of a model that diverges."""
    try:
        predicted = predict(potential, conformers, level=level)
    except DivergedError:  # the fit ends by itself, where its loss does
        return float("nan")
    return float(np.abs(predicted.forces - conformers.labels(level).forces).mean())
