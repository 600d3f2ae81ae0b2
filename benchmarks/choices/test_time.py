"""How the defaults of test-time training were chosen: on systems outside every study's tests.

    python benchmarks/choices/test_time.py --out runs/choices [--world pool|rmd17] [--seeds 3]

Two worlds. `pool`: a draw of bundled molecules of its own (seed 777), GFN2-xTB their truth; fits
on the 40 smallest of 60, adapted to 4 of the largest, one at a time, with MMFF94 and UFF as priors.
`rmd17`: benzene, uracil and aspirin, adapted to ethanol and malonaldehyde with GFN1-xTB; the
issue's test systems, naphthalene, toluene and salicylic acid, are not read. One JSON object a line:
the force MAE on structures not adapted on, in meV/Å, mean over systems and seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import numpy as np
import torch

from breadth.diversity import ConformerSet, concat, read, write
from breadth.diversity.randomness import ordering
from breadth.sampling.engines import Gfn1, Uff
from breadth.sampling.labels import label
from breadth.training import PriorTask, TrainingConfig, fit, predict
from breadth.training.refinement import TestTimeConfig, adapt, prior_loss

RMD17 = Path(__file__).resolve().parents[2] / "../shared/data/rmd17"
POTENTIAL = {"name": "factorised_painn", "n_features": 48, "n_layers": 2, "cutoff": 4.0}
TRAINING = TrainingConfig(
    optimizer="adamw",
    n_updates=1500,
    batch_size=8,
    relative_energies=True,
    device="cpu",
    checkpoint_every=500,
)
#: What is tried, every value with every other; the command line replaces them. A margin of 0 is
#: none: all steps are made.
GRID = {
    "learning_rate": [3e-3, 1e-2, 3e-2],
    "layers": [0.34, 0.67, 1.0],
    "n_steps": [200.0],
    "margin": [0.0, 1.0, 1.2],
}


def pool(folder: Path) -> tuple[ConformerSet, str, list[str], list[int]]:
    """Return the pool, its level, its priors, and the molecules to adapt to."""
    if not (folder / "labelled").exists():
        settings = ["n_molecules=60", "n_conformers=40", "elements=[H,C,N,O]", "seed=777"]
        command = [sys.executable, "-m", "breadth.studies.cli.app", "pool", "--out"]
        subprocess.run([*command, str(folder / "pool"), "--set", *settings], check=True)
        data = read(folder / "pool" / "pool")
        write(data.with_level("uff", label(data, Uff())[0]), folder / "labelled")
    data = read(folder / "labelled")
    sizes = np.array([data.counts[data.molecule == m][0] for m in range(data.n_molecules)])
    return data, "gfn2", ["mmff94", "uff"], np.argsort(sizes, kind="stable")[-8::2].tolist()


def rmd17(folder: Path) -> tuple[ConformerSet, str, list[str], list[int]]:
    """Return 200 training frames of three molecules, 100 of two more, with GFN1 labels."""
    names = ["benzene", "uracil", "aspirin", "ethanol", "malonaldehyde"]
    if not (folder / "labelled").exists():
        parts = []
        for name in names:
            frames = read(RMD17 / f"rmd17_{name}_train_01.npz")
            take = ordering(0, frames.id.tolist())[: 200 if name in names[:3] else 100]
            parts.append(frames.select(np.sort(take)))
        data = concat(parts)
        write(data.with_level("gfn1", label(data, Gfn1())[0]), folder / "labelled")
    data = read(folder / "labelled")
    (level,) = set(data.levels) - {"gfn1"}
    keys = data.molecules.key.tolist()
    print({"molecules": keys}, file=sys.stderr)
    return data, level, ["gfn1"], [m for m in range(len(keys)) if _atoms(data, m) == 9]


def _atoms(data: ConformerSet, molecule: int) -> int:
    return int(data.counts[data.molecule == molecule][0])


def train_rows(data: ConformerSet, tested: list[int], world: str) -> np.ndarray:
    """Return ten conformers of each of the 40 smallest molecules; all of rMD17's three."""
    if world == "rmd17":
        return np.flatnonzero(~np.isin(data.molecule, tested))
    sizes = np.array([_atoms(data, m) for m in range(data.n_molecules)])
    rows = []
    for m in np.argsort(sizes, kind="stable")[:40]:
        mine = np.flatnonzero(data.molecule == m)
        rows.append(mine[ordering(0, data.id[mine].tolist())[:10]])
    return np.sort(np.concatenate(rows))


def force_mae(potential: Any, data: ConformerSet, rows: np.ndarray, level: str) -> float:
    """Return the force MAE in meV/Å."""
    part = data.select(rows)
    found = predict(potential, part, level=level)
    return 1e3 * float(np.abs(found.forces - part.labels(level).forces).mean())


def sweep(world: str, folder: Path, seeds: int, grid: dict[str, list[float]]) -> None:
    """Fit, adapt with every choice, and print."""
    data, level, priors, tested = {"pool": pool, "rmd17": rmd17}[world](folder)
    train = train_rows(data, tested, world)
    halves = []
    for m in tested:
        mine = np.flatnonzero(data.molecule == m)
        mine = mine[ordering("half", data.id[mine].tolist())]
        halves.append((mine[: len(mine) // 2], mine[len(mine) // 2 :]))
    for prior in priors:
        lacks = [np.mean(np.abs(
            (data.labels(prior).forces - data.labels(level).forces)[np.isin(data.atom_conformer, b)]
        )) for _, b in halves]  # fmt: skip
        plain, joint, found = [], [], {}
        for seed in range(seeds):
            same = {"level": level, "train": train, "config": TRAINING, "seed": seed}
            none = fit(POTENTIAL, data, directory=folder / f"none{seed}", **same)
            task = PriorTask(level=prior, train=train)
            place = folder / f"{prior}{seed}"
            both = fit(POTENTIAL, data, directory=place, prior=task, **same).potential
            owed = prior_loss(both, data, prior_level=prior, index=train)
            plain.append([force_mae(none.potential, data, b, level) for _, b in halves])
            joint.append([force_mae(both, data, b, level) for _, b in halves])
            for values in product(*grid.values()):
                options = dict(zip(grid, values, strict=True))
                free = not options["margin"]
                config = TestTimeConfig(**{**options, "margin": options["margin"] or 1.0})
                for (a, b), base in zip(halves, joint[-1], strict=True):
                    done = adapt(
                        both, data, prior_level=prior, index=a, config=config, seed=seed,
                        owed=None if free else owed,
                    )  # fmt: skip
                    watched = done.history["watched_loss"]
                    found.setdefault(values, []).append(
                        (force_mae(done.potential, data, b, level), base, done.steps,
                         watched[0], watched.min(), owed)
                    )  # fmt: skip
        head = {"world": world, "prior": prior, "prior_mae": round(1e3 * float(np.mean(lacks)), 1)}
        head |= {"none": round(float(np.mean(plain)), 1), "joint": round(float(np.mean(joint)), 1)}
        for values, rows in found.items():
            mae, base, steps, first, last, owed = np.array(rows).T
            print(json.dumps({
                **head, **dict(zip(grid, values, strict=True)),
                "test_time": round(float(mae.mean()), 1),
                "worst_change": round(float((mae / base).max() - 1), 3),
                "better": f"{int((mae < base).sum())}/{len(mae)}",
                "steps": round(float(steps.mean())),
                "prior_loss": [round(float(x.mean()), 3) for x in (first, last, owed)],
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/choices"))
    parser.add_argument("--world", choices=("pool", "rmd17"), default="pool")
    parser.add_argument("--seeds", type=int, default=3)
    for name, values in GRID.items():
        parser.add_argument(f"--{name}", type=float, nargs="+", default=values)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    (asked.out / asked.world).mkdir(parents=True, exist_ok=True)
    grid = {name: getattr(asked, name) for name in GRID}
    sweep(asked.world, asked.out / asked.world, asked.seeds, grid)
