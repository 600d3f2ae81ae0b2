"""Errors on rMD17 against the number of training frames, with the exponents of power laws.

Run ``python benchmarks/choices/learning_curves.py ethanol --directory runs/curves``; it prints the
rows of a table in `docs/trainer.md`. Frames are drawn from the official training split; all fits
have equal options and updates; errors are those on the official test split. They are kept in the
folder, so that a run that was stopped goes on.

The exponent is the slope of log error against log frames over all sizes and seeds; its interval
comes from drawing seeds with replacement.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from breadth.diversity import ConformerSet, read
from breadth.diversity.randomness import generator
from breadth.training import TrainingConfig, fit, predict

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/rmd17"
SIZES = (50, 100, 200, 400, 800, 1000)
#: What is not named here is the default.
RECIPES = {
    "factorised_painn": {},
    "painn": {"learning_rate": 5e-3},
    "tensornet": {"batch_size": 4, "learning_rate": 5e-3},
}
N_DRAWS = 2000


def errors(
    data: ConformerSet, test: ConformerSet, config: TrainingConfig, name: str, n: int, seed: int
) -> dict[str, float]:
    """Fit to some frames; return the errors on the test frames, meV/Å and meV."""
    (level,) = data.levels
    order = generator(seed, "learning_curves").permutation(len(data))
    found = fit({"name": name}, data, level=level, train=order[:n], config=config, seed=seed)
    predicted, truth = predict(found.potential, test), test.labels(level)
    return {
        "force_mae": 1e3 * float(np.abs(predicted.forces - truth.forces).mean()),
        "energy_mae": 1e3 * float(np.abs(predicted.energy - truth.energy).mean()),
    }


def exponent(sizes: np.ndarray, table: np.ndarray) -> tuple[float, float, float]:
    """Return the exponent of a power law through errors (sizes, seeds), and its interval."""

    def slope(values: np.ndarray) -> float:
        return float(np.polyfit(np.log(sizes), np.log(values).mean(1), 1)[0])

    draws = generator(0, "bootstrap").integers(0, table.shape[1], (N_DRAWS, table.shape[1]))
    low, high = np.quantile([slope(table[:, some]) for some in draws], [0.025, 0.975])
    return slope(table), float(low), float(high)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecule")
    parser.add_argument("--potential", default="factorised_painn", choices=sorted(RECIPES))
    parser.add_argument("--optimizer", default="muon", choices=("muon", "adamw"))
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--directory", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = read(SHARED / f"rmd17_{asked.molecule}_train_01.npz")
    test = read(SHARED / f"rmd17_{asked.molecule}_test_01.npz")
    recipe = RECIPES[asked.potential]
    config = TrainingConfig(
        n_updates=asked.updates, optimizer=asked.optimizer, device="cpu", **recipe
    )
    options = {"potential": asked.potential, "molecule": asked.molecule, **config.model_dump()}
    asked.directory.mkdir(parents=True, exist_ok=True)
    kept = (
        asked.directory
        / f"{asked.molecule}_{asked.potential}_{asked.optimizer}_{asked.updates}.json"
    )
    done = json.loads(kept.read_text()) if kept.exists() else {"options": options, "errors": {}}
    if done["options"] != json.loads(json.dumps(options)):
        print(f"{kept} was made with other options: choose another folder.", file=sys.stderr)
        return 1
    # All sizes of a seed first: an early stop leaves whole curves.
    for seed in range(asked.seeds):
        for n in SIZES:
            if (key := f"{n} {seed}") not in done["errors"]:
                done["errors"][key] = errors(data, test, config, asked.potential, n, seed)
                part = kept.with_suffix(".part")
                part.write_text(json.dumps(done, indent=1))
                part.replace(kept)
                print(key, done["errors"][key], file=sys.stderr, flush=True)
    print(f"{asked.potential}, {asked.molecule}, {asked.updates} updates, {asked.seeds} seeds")
    for name in ("force_mae", "energy_mae"):
        table = np.array(
            [[done["errors"][f"{n} {s}"][name] for s in range(asked.seeds)] for n in SIZES]
        )
        means = ", ".join(f"{n}: {m:.1f}" for n, m in zip(SIZES, table.mean(1), strict=True))
        slope, low, high = exponent(np.array(SIZES), table)
        print(f"{name}: {means}; exponent {slope:.2f} [{low:.2f}, {high:.2f}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
