"""Errors of the default potential by learning rate, batch and number of updates.

Run ``python benchmarks/choices/training_defaults.py rates ethanol --directory runs/defaults`` (or
`pool`, and `updates` instead of `rates`); it prints rows of the tables in `docs/trainer.md`. Fits
are kept in the folder, so that a run that was stopped goes on; ``--seeds`` can grow later.

`ethanol` is rMD17: the frames of the official training file are split into 300 to learn from and
500 to validate on; the test file is not opened. `pool` is what studies are made of: displaced
conformers of 300 bundled molecules with GFN2-xTB labels, 6 each of 100 to learn from, validated on
6 each of 100 that no fit learns from. Seeds draw frames or molecules, weights and batches.

`rates` compares rates, batches and optimizers at about equal processor time, which is what a user
pays: an update costs as much as its structures and `OVERHEAD` more. `updates` doubles the updates
of the default pair, each length with a schedule of its own. Other options are the defaults.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from breadth.diversity import BreadthError, ConformerSet, read, write
from breadth.diversity.randomness import generator
from breadth.sampling.engines import Gfn2
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.labels import label
from breadth.sampling.molecules import bundled_molecules
from breadth.training import TrainingConfig, fit, predict

RMD17 = Path(__file__).resolve().parents[2] / "../shared/data/rmd17"
RATES = (1.5e-3, 3e-3, 6e-3, 1.2e-2)
BATCHES = (4, 16, 64)
UPDATES = (500, 1000, 2000, 4000, 8000)
#: Measured on one thread: 11 structures of ethanol, 6 of the pool.
OVERHEAD = 8
N_FRAMES, N_HELD_FRAMES = 300, 500
N_MOLECULES, N_HELD_MOLECULES, N_DRAWN_FROM, N_CONFORMERS = 100, 100, 200, 6


class Cell(NamedTuple):
    """What a fit is made with, beside its seed."""

    learning_rate: float
    batch_size: int
    n_updates: int
    optimizer: str


DEFAULT = Cell(*(TrainingConfig.model_fields[name].default for name in Cell._fields))


def at_equal_time(rate: float, batch: int, updates: int, optimizer: str) -> Cell:
    """Return the setting that takes as long as so many updates of the default batch."""
    updates = round(updates * (DEFAULT.batch_size + OVERHEAD) / (batch + OVERHEAD))
    return Cell(rate, batch, updates, optimizer)


class Data(NamedTuple):
    """Labelled structures, and the groups that are drawn to learn from or held out."""

    every: ConformerSet
    #: Group of each structure: itself, or its molecule.
    group: np.ndarray
    n_train: int
    held: np.ndarray

    def train(self, seed: int) -> np.ndarray:
        """Return the structures that a seed learns from."""
        free = np.setdiff1d(np.unique(self.group), self.held)
        drawn = generator(seed, "training_defaults", "train").choice(free, self.n_train, False)
        return np.flatnonzero(np.isin(self.group, drawn))


def ethanol() -> Data:
    """Return frames of the official training file of rMD17's ethanol."""
    data = read(RMD17 / "rmd17_ethanol_train_01.npz")
    order = generator(0, "training_defaults", "ethanol").permutation(len(data))
    return Data(data, np.arange(len(data)), N_FRAMES, order[:N_HELD_FRAMES])


def pool(folder: Path) -> Data:
    """Return labelled conformers of bundled molecules, made once."""
    if not (folder / "manifest.json").exists():
        known = [m for m in bundled_molecules() if "F" not in m.smiles]  # as in all presets
        order = generator(0, "training_defaults", "pool").permutation(len(known))
        chosen = [known[i] for i in order[: N_DRAWN_FROM + N_HELD_MOLECULES]]
        data, _ = sample_geometries(chosen, n_conformers=N_CONFORMERS, seed=0)
        labels, _ = label(data, Gfn2())
        data = data.with_level("gfn2", labels)
        write(data.select(labels.has_energy & labels.has_forces), folder)
    data = read(folder)
    molecules = generator(0, "training_defaults", "held").permutation(np.unique(data.molecule))
    return Data(data, data.molecule, N_MOLECULES, molecules[:N_HELD_MOLECULES])


def measured(data: Data, cell: Cell, seed: int) -> dict[str, float]:
    """Fit once; return errors on what is held out, meV/Å and meV/atom, and processor time."""
    (level,) = data.every.levels
    held = data.every.select(np.isin(data.group, data.held))
    start = time.process_time()
    try:
        found = fit(
            {"name": "factorised_painn"},
            data.every,
            level=level,
            train=data.train(seed),
            config=TrainingConfig(**cell._asdict(), device="cpu"),
            seed=seed,
        )
    except BreadthError as error:
        if "diverged" not in str(error):
            raise
        return {"force_mae": np.inf, "energy_mae": np.inf}
    seconds = time.process_time() - start
    predicted, truth = predict(found.potential, held), held.labels(level)
    return {
        "force_mae": 1e3 * float(np.abs(predicted.forces - truth.forces).mean()),
        "energy_mae": 1e3 * float(np.mean(np.abs(predicted.energy - truth.energy) / held.counts)),
        "cpu_seconds": seconds,
    }


def against(table: np.ndarray, reference: int) -> tuple[np.ndarray, float]:
    """Return errors relative to those of one setting, and the ratio that chance explains.

    Parameters
    ----------
    table : ndarray, shape (C, S)
        Errors by setting and seed; infinite where a fit diverged.
    reference : int
        Row that others are divided by.

    Returns
    -------
    ratios : ndarray, shape (C,)
        Of geometric means over seeds.
    factor : float
        Ratios times and divided by it are their 95 % intervals, all at once (Bonferroni): Student's
        t with the scatter of log errors once setting and seed have each had their effect.
    """
    logs = np.log(table)
    means = logs.mean(1)
    finite = logs[np.isfinite(means)]
    rest = finite - finite.mean(1, keepdims=True) - finite.mean(0) + finite.mean()
    freedom = (len(finite) - 1) * (table.shape[1] - 1)
    if not freedom:
        return np.exp(means - means[reference]), np.inf
    sd = np.sqrt((rest**2).sum() / freedom)
    quantile = stats.t.ppf(1 - 0.025 / (len(finite) - 1), freedom)
    return np.exp(means - means[reference]), float(
        np.exp(quantile * sd * (2 / len(rest[0])) ** 0.5)
    )


class Kept:
    """Finished fits of one kind of data, in a file."""

    def __init__(self, path: Path, data: Data) -> None:
        self.path, self.data = path, data
        options = {"n_train": data.n_train, **TrainingConfig().model_dump()}
        self.content = {"options": options, "fits": {}}
        if path.exists():
            self.content = json.loads(path.read_text())
        if self.content["options"] != json.loads(json.dumps(options)):
            raise SystemExit(f"{path} was made with other options: choose another folder.")

    def get(self, cell: Cell, seed: int) -> dict[str, float]:
        """Return what a fit measured; fit if it is not there yet."""
        fits, key = self.content["fits"], " ".join(str(x) for x in (*cell, seed))
        if key not in fits:
            fits[key] = measured(self.data, cell, seed)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.content, indent=1))
            part.replace(self.path)
            print(key, fits[key], file=sys.stderr, flush=True)
        return fits[key]


def report(kept: Kept, cells: list[Cell], reference: Cell, n_seeds: int) -> None:
    """Fit what is missing, all settings of a seed first, and print a row for each setting."""
    for seed in range(n_seeds):
        for cell in cells:
            kept.get(cell, seed)
    rows = [[kept.get(cell, seed) for seed in range(n_seeds)] for cell in cells]
    print("| optimizer, rate, batch, updates | force MAE, meV/Å | relative | meV/atom | CPU s |")
    print("|---|---|---|---|---|")
    force = np.array([[one["force_mae"] for one in row] for row in rows])
    energy = np.array([[one["energy_mae"] for one in row] for row in rows]).mean(1)
    ratios, factor = against(force, cells.index(reference))
    for cell, row, mean, ratio, other in zip(
        cells, rows, force.mean(1), ratios, energy, strict=True
    ):
        seconds = np.mean([one.get("cpu_seconds", np.nan) for one in row])
        name = f"{cell.optimizer} {cell.learning_rate:g} {cell.batch_size} {cell.n_updates}"
        print(f"| {name} | {mean:.1f} | {ratio:.2f} | {other:.2f} | {seconds:.0f} |")
    print(f"{n_seeds} seeds; intervals of ratios: times and divided by {factor:.2f}")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("rates", "updates"))
    parser.add_argument("kind", choices=("ethanol", "pool"))
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--optimizer", nargs="+", default=[DEFAULT.optimizer])
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument(
        "--updates", type=int, nargs="+", help="of the default batch; `rates` takes one number"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.directory.mkdir(parents=True, exist_ok=True)
    data = ethanol() if asked.kind == "ethanol" else pool(asked.directory / "pool")
    kept = Kept(asked.directory / f"{asked.kind}.json", data)
    if asked.part == "rates":
        (updates,) = asked.updates or (1000,)
        cells = [
            at_equal_time(rate, batch, updates, optimizer)
            for optimizer in asked.optimizer
            for batch in asked.batches
            for rate in asked.rates
        ]
        default = DEFAULT._replace(n_updates=updates)
    else:
        cells = [
            DEFAULT._replace(n_updates=n, optimizer=optimizer)
            for optimizer in asked.optimizer
            for n in asked.updates or UPDATES
        ]
        default = cells[-1]
    report(kept, cells, default if default in cells else cells[0], asked.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
