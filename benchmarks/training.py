"""Training steps of all potentials, PaiNN and its kin against SchNetPack's PaiNN if installed.

`requirements-schnetpack.txt` says how. Both sides learn the same frames with the same loss,
optimizer, batch size and learning rate on one thread; the results count as equal where the force
errors after these updates do, within 15 % or better.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.calling import schnetpack
from rows import emit

from breadth.diversity import ConformerSet, read
from breadth.training import TrainingConfig, fit, predict

HERE = Path(__file__).resolve().parent
ASPIRIN = HERE.parent / "../shared/data/rmd17/rmd17_aspirin_train_01.npz"
N_TEST = 100


def train(data: ConformerSet, potential: dict[str, Any], config: TrainingConfig) -> dict[str, Any]:
    """Return the median time of an update in ms and the force error after the last, eV/Å."""
    (level,) = data.levels
    ends = [time.perf_counter()]
    result = fit(
        potential,
        data,
        level=level,
        train=np.arange(len(data) - N_TEST),
        config=config,
        progress=lambda *_: ends.append(time.perf_counter()),
    )
    test = data.select(np.arange(len(data) - N_TEST, len(data)))
    off = np.abs(predict(result.potential, test).forces - test.labels(level).forces)
    scale = float(result.potential.scales[0])
    ms = 1e3 * float(np.median(np.diff(ends)))
    return {"ms": ms, "force_mae": float(off.mean()), "scale": scale}


def main() -> int:
    """Print all rows; return 1 if one failed."""
    if not ASPIRIN.exists():
        print(json.dumps({"row": "train_step", "error": f"{ASPIRIN.name} is not there"}))
        return 1
    torch.set_num_threads(1)
    data = read(ASPIRIN)
    config = TrainingConfig(n_updates=400, device="cpu")
    for features in (32, 64):
        size = {"n_features": features, "n_layers": 2, "n_basis": 8, "cutoff": 5.0}
        ours = {
            name: train(data, {"name": name, **size}, config)
            for name in ("painn", "factorised_painn")
        }
        scale = ours["painn"]["scale"]
        theirs = schnetpack(data, scale, {**config.model_dump(), **size, "n_test": N_TEST})
        for name, measured in ours.items():
            mae = {"ours": measured["force_mae"]}
            if theirs is not None:
                mae["peer"] = theirs["force_mae"]
            emit(
                f"train_step_{name}_{features}",
                ours=measured["ms"],
                peer=None if theirs is None else theirs["ms"],
                peer_name=None if theirs is None else f"SchNetPack {theirs['version']} PaiNN",
                unit="ms/update",
                equal=None if theirs is None else bool(mae["ours"] < 1.15 * mae["peer"]),
                batch=config.batch_size,
                atoms=int(data.counts[0]),
                force_mae_ev_per_angstrom={k: round(v, 4) for k, v in mae.items()},
                updates=config.n_updates,
            )
    ours = train(data, {"name": "schnet", "n_features": 64}, config)
    emit(
        "train_step_schnet_64",
        ours=ours["ms"],
        peer=None,
        unit="ms/update",
        equal=None,
        batch=config.batch_size,
        atoms=int(data.counts[0]),
        force_mae_ev_per_angstrom={"ours": round(ours["force_mae"], 4)},
        updates=config.n_updates,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
