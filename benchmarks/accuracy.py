"""Long accuracy rows, `make bench-accuracy`: default potential and options on official splits.

rMD17 (Christensen & von Lilienfeld 2020): 950 of the official 1,000 training frames, 50 kept for
validation, errors on the official 1,000 test frames, which no choice was made on. Published
force MAE on ethanol: MACE 2.1 meV/Å. The goal here is a CPU run of at most ten minutes below 20.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rows import emit

from breadth.diversity import read
from breadth.training import TrainingConfig, fit, predict

FOLDER = Path(__file__).resolve().parents[1] / "../shared/data/rmd17"
GOALS = {"ethanol": 20.0}


def row(molecule: str, seed: int) -> None:
    """Fit one molecule and print its errors."""
    data = read(FOLDER / f"rmd17_{molecule}_train_01.npz")
    test = read(FOLDER / f"rmd17_{molecule}_test_01.npz")
    (level,) = data.levels
    config = TrainingConfig(device="cpu")
    start, cpu = time.perf_counter(), time.process_time()
    result = fit(
        {"name": "factorised_painn"},
        data,
        level=level,
        train=np.arange(950),
        validation=np.arange(950, 1000),
        config=config,
        seed=seed,
        progress=_told,
    )
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    truth, found = test.labels(level), predict(result.potential, test)
    force_mae = 1e3 * float(np.abs(found.forces - truth.forces).mean())
    energy_mae = 1e3 * float(np.abs(found.energy - truth.energy).mean())
    emit(
        f"rmd17_{molecule}_force_mae",
        ours=force_mae,
        peer=None,
        unit="meV/angstrom",
        equal=None,
        threads=torch.get_num_threads(),
        energy_mae_mev=round(energy_mae, 3),
        goal=GOALS.get(molecule),
        updates=result.updates,
        train_seconds=round(seconds, 1),
        train_cpu_seconds=round(cpu_seconds, 1),
        seed=seed,
    )


def _told(update: int, total: int, loss: float) -> None:
    if update % 500 == 0:
        print(f"{update} of {total} updates, loss {loss:.4f}", file=sys.stderr, flush=True)


def main() -> int:
    """Print the rows that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecules", nargs="*", default=["ethanol"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="two are no faster here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for molecule in options.molecules:
        if not (FOLDER / f"rmd17_{molecule}_train_01.npz").exists():
            print(json.dumps({"row": f"rmd17_{molecule}_force_mae", "error": "no such data"}))
            return 1
        row(molecule, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
