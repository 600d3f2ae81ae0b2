"""Errors at cutoffs across a range, of potentials trained at one cutoff and at random ones.

Run ``python benchmarks/choices/random_cutoffs.py``; it prints the tables of
`docs/radius_refinement.md`. Trained on frames of ethanol and malonaldehyde of rMD17, tested on
others of the two, and on paracetamol, which the potentials never saw, also at the radius that
refinement chooses for it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import sys
from pathlib import Path

import numpy as np
import torch

from breadth.diversity import ConformerSet, read
from breadth.diversity.concat import concat
from breadth.training import TrainingConfig, fit, predict
from breadth.training.refinement.radius import (
    SpectrumReference,
    candidate_radii,
    choose_radii,
    predict_at_radii,
)

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/rmd17"
RADII = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5)
RANGES = (None, (4.5, 5.5), (4.0, 6.0))
N_TRAIN, N_TEST, SEEDS = 150, 100, 3
FORMS = ("padded", "fraction", "wasserstein")


def frames(name: str, part: str, n: int) -> ConformerSet:
    """Return some frames of a molecule, spread over its file."""
    data = read(SHARED / f"rmd17_{name}_{part}_01.npz")
    return data.select(np.linspace(0, len(data) - 1, n).astype(int))


def force_mae(labels: object, data: ConformerSet) -> float:
    """Return the force MAE in meV/Å."""
    return 1e3 * float(np.abs(labels.forces - data.labels().forces).mean())  # type: ignore[attr-defined]


def main() -> int:
    """Print the table."""
    torch.set_num_threads(1)
    known = ("ethanol", "malonaldehyde")
    train = concat([frames(name, "train", N_TRAIN) for name in known])
    (level,) = train.levels
    tests = {
        "seen": concat([frames(name, "test", N_TEST) for name in known]),
        "paracetamol": frames("paracetamol", "test", N_TEST),
    }
    for cutoffs in RANGES:
        config = TrainingConfig(
            optimizer="adamw",
            n_updates=800,
            random_cutoff=cutoffs,
            relative_energies=True,
            device="cpu",
        )
        found = np.zeros((SEEDS, len(tests), len(RADII)))
        refined = np.zeros((SEEDS, len(FORMS), 2))
        for seed in range(SEEDS):
            potential = fit(
                {"name": "factorised_painn", "n_features": 32},
                train,
                level=level,
                train=np.arange(len(train)),
                config=config,
                seed=seed,
            ).potential
            for t, test in enumerate(tests.values()):
                for k, radius in enumerate(RADII):
                    found[seed, t, k] = force_mae(predict(potential, test, cutoff=radius), test)
            reference = SpectrumReference.of(train, potential.cutoff)
            new = tests["paracetamol"]
            offered = candidate_radii(potential)
            if cutoffs is None:  # the same candidates as the widest range
                offered = np.linspace(*RANGES[-1], 10)
            for f, form in enumerate(FORMS):
                choice = choose_radii(new, reference, form=form, radii=offered)  # type: ignore[arg-type]
                labels = predict_at_radii(potential, new, choice.radius)
                refined[seed, f] = choice.radius.mean(), force_mae(labels, new)
        for t, name in enumerate(tests):
            cells = " | ".join(
                f"{m:.0f} ± {s:.0f}"
                for m, s in zip(found[:, t].mean(0), found[:, t].std(0, ddof=1), strict=True)
            )
            print(f"| {cutoffs or 5.0} | {name} | {cells} |", flush=True)
        cells = " | ".join(
            f"{form}: r* {r:.2f} Å, {mae:.0f} ± {sd:.0f}"
            for form, (r, mae), sd in zip(
                FORMS, refined.mean(0), refined[:, :, 1].std(0, ddof=1), strict=True
            )
        )
        print(f"| {cutoffs or 5.0} | paracetamol refined | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
