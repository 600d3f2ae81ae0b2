"""The fine-tuned models: one fit for each training set, always from the universal model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...diversity import ConformerSet, DataError, concat, read
from ...training import TrainingConfig, save_potential
from ...training.refinement import Replay, fine_tune, original_level, pseudo_labels
from ..pool import read_set
from ..registry import potential
from ..store import Store
from ..units import Unit
from .question import FinetuningConfiguration
from .starting import universal_of


def fit_unit(
    asked: FinetuningConfiguration,
    sets: Sequence[Unit],
    others: Unit,
    *,
    training: TrainingConfig,
    seed: int,
) -> Unit:
    """Return the unit that fine-tunes the universal model on the union of labelled frames."""
    parameters: dict[str, Any] = {
        "universal": universal_of(asked),
        "level": asked.engine,
        "what": asked.fine_tuning.what,
        "training": training.model_dump(mode="json"),
        "threads": asked.threads,
    }
    inputs = {f"set/{place:03d}": unit.key for place, unit in enumerate(sets)}
    if asked.fine_tuning.replay:
        parameters["replay"] = asked.fine_tuning.replay
        inputs["others"] = others.key
    return Unit("fine_tuned", 1, parameters, inputs, seed)


def run_fit(unit: Unit, store: Store, folder: Path) -> None:
    """Fine-tune, and keep the weights."""
    asked = unit.parameters
    torch.set_num_threads(asked["threads"])
    universal = potential(asked["universal"]["name"])
    frames = joined(store, [k for r, k in sorted(unit.inputs.items()) if r.startswith("set/")])
    if frames is None:
        raise DataError(
            "No frame could be labelled for a fit: every run of its arm broke before its second "
            "half, or the engine failed on all frames. See aside.json of the units it reads."
        )
    replay = None
    if "others" in unit.inputs:
        other = read(store.folder(unit.inputs["others"]) / "replay")
        other = other.select(np.arange(min(asked["replay"], len(other))))
        replay = Replay(pseudo_labels(universal, other), original_level(universal))
    found = fine_tune(
        universal,
        frames,
        level=asked["level"],
        index=np.arange(len(frames)),
        what=asked["what"],
        replay=replay,
        config=TrainingConfig(**asked["training"]),
        seed=unit.seed,
        directory=store.partial(unit),
    )
    save_potential(folder / "potential", found.potential, {"level": asked["level"]})
    facts = {"n_frames": len(frames), "loss": float(found.history["loss"][-20:].mean())}
    (folder / "fit.json").write_text(json.dumps(facts))


def joined(store: Store, keys: Sequence[str]) -> ConformerSet | None:
    """Return the sets of units as one, None if none of them has any."""
    parts = [read_set(store, key) for key in keys if (store.folder(key) / "set").exists()]
    return concat(parts) if parts else None
