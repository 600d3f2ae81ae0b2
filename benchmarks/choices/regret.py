"""Regret of advice: advise from a pilot, spend four times its largest cell, look at what was lost.

For each seed and each temperature of the pool a pilot of 4 × 4 cells is fitted (``measure``), and
at four times the labels of its largest cell six designs of M × C. The larger study has a seed of
its own: other molecules, other hold-outs, other initial weights. What `breadth advise` says of the
pilot is then compared (``report``) with the best of the six and with rules of thumb.

    python benchmarks/choices/regret.py measure --out /tmp/regret     # an hour of one core
    python benchmarks/choices/regret.py report --out /tmp/regret
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from breadth.analysis import advise, measure_errors
from breadth.analysis.advice import Cells, read_cells
from breadth.studies.executor import process_pool
from breadth.studies.plan import open_plan
from breadth.studies.pool import read_set
from breadth.studies.predictions import gather_predictions
from breadth.studies.results import load, save
from breadth.studies.store import Store
from breadth.studies.tradeoff import TradeoffConfiguration
from breadth.studies.tradeoff.fits import fit_cells
from breadth.studies.tradeoff.labelling import label_cells, with_high_forces

SEEDS = (1, 2, 3)
#: K: vibrations that a few conformers cover, and others that they do not.
TEMPERATURES = (300, 800)
#: Of the pilot; its largest cell has 320 labels.
PILOT = {"n_molecules": (5, 10, 20, 40), "n_conformers": (1, 2, 4, 8)}
BUDGET = 1280
#: Molecules that there are to train on.
MOST = 280
#: Molecules of the designs at the larger budget: √N × √N, …, 10 conformers of each, …, all.
DESIGNS = (36, 54, 80, 128, 190, 280)


#: What is minimised: either side alone, and both.
AIMS: dict[str, dict[str, float]] = {
    "unseen_molecules": {"unseen_molecules": 1.0},
    "own_conformers": {"own_conformers": 1.0},
    "half and half": {"unseen_molecules": 0.5, "own_conformers": 0.5},
}
#: Rules of thumb: numbers of molecules.
RULES = {"√N × √N": 36, "10 conformers each": 128, "all molecules": MOST}


def question(seed: int, temperature: float, *, pilot: bool) -> TradeoffConfiguration:
    """Return what a pilot, or the study of the larger budget, is asked."""
    content: dict[str, Any] = {
        "seed": seed if pilot else 1000 + seed,
        "replicates": 3,
        "pool": {
            "n_molecules": 120 if pilot else 370,
            "n_conformers": 22 if pilot else 50,
            "temperature": temperature,
            "min_rotatable_bonds": 2,
            "elements": ["H", "C", "N", "O"],
            "prior": None,
        },
        "hold_outs": {"n_molecules": 20, "n_own": 20},
        "fixed_budget": None if pilot else {"budget": BUDGET, "n_molecules": DESIGNS},
        "fixed_molecules": None,
        "grid": PILOT if pilot else None,
        "potential": {"name": "factorised_painn", "n_features": 32, "n_layers": 1, "cutoff": 4.0},
        "training": {
            "optimizer": "adamw",
            "n_updates": 400,
            "batch_size": 8,
            "learning_rate": 0.006,
        },
        "n_monitor": 1,
    }
    return TradeoffConfiguration.model_validate(content)


def measure(asked: TradeoffConfiguration, out: Path, executor: Executor) -> None:
    """Write ``results.nc`` of a study, without the figures and measures that it would have."""
    if (out / "results.nc").exists():
        return
    store = Store(out)
    with store.locked():
        open_plan(out, "tradeoff", asked, molecules=asked.pool.digest())
        cells, pool_unit = label_cells(asked, store, executor, _tell)
        pool = read_set(store, pool_unit.key)
        cells = with_high_forces(asked, cells, pool)
        fits = fit_cells(asked, cells, pool_unit, store, executor, _tell)
        predictions = gather_predictions(
            store,
            pool,
            [evaluation for evaluation, _ in fits],
            asked.designs(),
            level=asked.pool.engine,
            prior=asked.pool.prior,
        )
        save(measure_errors(predictions, random_state=asked.seed), out / "results.nc")


def _tell(phase: str, done: float, total: float) -> None:
    print(f"\r{phase}: {done:.0f} of {total:.0f}   ", end="", file=sys.stderr, flush=True)


def places(out: Path) -> list[tuple[int, int, Path, Path]]:
    """Return seed, temperature and the folders of pilot and study of every case."""
    return [
        (seed, t, out / f"{t}K-{seed}" / "pilot", out / f"{t}K-{seed}" / "study")
        for seed in SEEDS
        for t in TEMPERATURES
    ]


def mixture(cells: Cells, weights: dict[str, float]) -> np.ndarray:
    """Return the weighted error of every cell and replicate, (K, R), meV/Å."""
    columns = [cells.test_sets.index(name) for name in weights]
    return 1e3 * cells.errors[:, :, columns] @ np.array(list(weights.values()))


def nearest(cells: Cells, molecules: float) -> int:
    """Return the row of the design whose number of molecules is nearest, by logarithm."""
    return int(np.abs(np.log(cells.molecules / molecules)).argmin())


def pilots_ratio(cells: Cells, weights: dict[str, float]) -> float:
    """Return the molecules that keep the ratio M : C of the pilot's best cell of 40 labels."""
    rows = np.flatnonzero(cells.labels == 40)
    best = rows[mixture(cells, weights)[rows].mean(axis=1).argmin()]
    return float(cells.molecules[best] * np.sqrt(BUDGET / 40))


def regrets(pilot: Path, study: Path, aim: str) -> dict[str, Any]:
    """Return what the advice of a pilot, and rules of thumb, lose in a study, meV/Å."""
    weights, results = AIMS[aim], load(pilot / "results.nc")
    advice = advise(results, budget=BUDGET, weights=weights, most_molecules=MOST)
    cells = read_cells(load(study / "results.nc"))
    found = mixture(cells, weights)
    best = int(found.mean(axis=1).argmin())
    chosen = {
        "advice": nearest(cells, advice.n_molecules),
        "the pilot's ratio": nearest(cells, pilots_ratio(read_cells(results), weights)),
        **{rule: nearest(cells, molecules) for rule, molecules in RULES.items()},
    }
    expected = [1e3 * x for x in (advice.force_mae, *advice.interval)]
    return {
        "aim": aim,
        "advised": [advice.n_molecules, advice.n_conformers],
        "advised_interval": advice.n_molecules_interval,
        "supported": advice.supported,
        "reasons": advice.reasons,
        "errors": dict(zip(cells.molecules.tolist(), found.mean(axis=1).tolist(), strict=True)),
        "best": int(cells.molecules[best]),
        "expected": expected,
        "found": float(found[chosen["advice"]].mean()),
        "regret": {
            name: {
                "molecules": int(cells.molecules[row]),
                "mean": float((found[row] - found[best]).mean()),
                "interval": _interval(found[row] - found[best]),
            }
            for name, row in chosen.items()
        },
    }


def _interval(values: np.ndarray) -> list[float]:
    """Return Student's 95 % interval of a mean."""
    half = stats.t.isf(0.025, len(values) - 1) * stats.sem(values)
    return [float(values.mean() - half), float(values.mean() + half)]


def report(out: Path) -> None:
    """Print one JSON object for each case and aim, then means over cases as a table."""
    rows = defaultdict(list)
    for seed, temperature, pilot, study in places(out):
        if not (study / "results.nc").exists():
            print(f"{temperature} K, seed {seed}: not measured yet", file=sys.stderr)
            continue
        for aim in AIMS:
            row = {"seed": seed, "temperature": temperature, **regrets(pilot, study, aim)}
            rows[aim].append(row)
            print(json.dumps(row, ensure_ascii=False))
    for aim, those in rows.items():
        print(f"\n{aim}: mean regret over {len(those)} cases, meV/Å, [95 %]; advice − rule")
        regret = {
            name: np.array([row["regret"][name]["mean"] for row in those])
            for name in those[0]["regret"]
        }
        for name, values in regret.items():
            low, high = _interval(values) if len(values) > 1 else (np.nan, np.nan)
            less = regret["advice"] - values
            ends = _interval(less) if len(values) > 1 else (np.nan, np.nan)
            print(
                f"  {name:<20}{values.mean():6.1f} [{low:5.1f}, {high:5.1f}]"
                f"{less.mean():8.1f} [{ends[0]:5.1f}, {ends[1]:5.1f}]"
            )
        inside = [row["expected"][1] <= row["found"] <= row["expected"][2] for row in those]
        held = sum(row["supported"] for row in those)
        print(f"  supported: {held}; error found in the interval told: {sum(inside)}")


def main() -> None:
    """Measure, or report what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("measure", "report"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.stage == "measure":
        with process_pool(given.workers) as executor:
            for seed, temperature, pilot, study in places(given.out):
                for is_pilot, folder in ((True, pilot), (False, study)):
                    folder.mkdir(parents=True, exist_ok=True)
                    measure(question(seed, temperature, pilot=is_pilot), folder, executor)
    else:
        report(given.out)


if __name__ == "__main__":
    main()
