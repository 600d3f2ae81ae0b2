"""Twenty potentials for a study: this suite, as a study fits them, beside SchNetPack in a loop.

PaiNN with 64 features, 3 rounds and 20 radial functions on aspirin, batches of 32, equal updates.
SchNetPack fits one after the other with all cores, which is how it is used. This suite fits them
as its studies do: on a CPU one process for each core, on a GPU as a stack. Neither side's time has
imports and what else is loaded at first use: on a CPU each process of this suite makes one update
before the clock runs. From there to the end of the last fit all counts here, also reading frames
and predicting, which SchNetPack's time leaves out. On a GPU both count what makes the device ready.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.calling import schnetpack
from rows import emit, empty

from breadth.diversity import read
from breadth.training import Member, TrainingConfig, fit, fit_stack, predict

ASPIRIN = Path(__file__).resolve().parent.parent / (
    "../shared/data/rmd17/rmd17_aspirin_train_01.npz"
)
SIZE = {"n_features": 64, "n_layers": 3, "n_basis": 20, "cutoff": 5.0}
N_MODELS, N_TEST = 20, 100
POTENTIAL = {"name": "painn", **SIZE}
#: Without the running mean of the weights, which the peer has not and which lags at first.
CONFIG = TrainingConfig(
    optimizer="adamw",
    n_updates=40,
    batch_size=32,
    learning_rate=1e-3,
    ema_decay=0.0,
    device="cpu",
)


#: Where the processes of a pool wait for each other; set in each of them.
_barrier: Barrier


def begin_together(barrier: Barrier) -> None:
    """Keep the barrier of a pool; called first in each of its processes."""
    global _barrier
    _barrier = barrier


def made_ready(_: int) -> None:
    """Make one update, and wait until every process has: none then does it twice."""
    one(0, CONFIG.model_copy(update={"n_updates": 1}))
    _barrier.wait()


def one(seed: int, config: TrainingConfig = CONFIG) -> tuple[float, float, float]:
    """Fit a model; return its force error in eV/Å, its scale, and the peak of the process in MB."""
    torch.set_num_threads(1)
    data = read(ASPIRIN)
    (level,) = data.levels
    train = np.arange(len(data) - N_TEST)
    found = fit(POTENTIAL, data, level=level, train=train, config=config, seed=seed).potential
    test = data.select(np.arange(len(train), len(data)))
    off = np.abs(predict(found, test).forces - test.labels(level).forces)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return float(off.mean()), float(found.scales[0]), peak


def at_once(config: TrainingConfig) -> tuple[float, list[tuple[float, float, float]]]:
    """Fit all models as a stack; return its time in s, and what :func:`one` returns of each."""
    data = read(ASPIRIN)
    (level,) = data.levels
    train = np.arange(len(data) - N_TEST)
    members = [Member(train, seed) for seed in range(N_MODELS)]
    begin = time.perf_counter()
    results = fit_stack(POTENTIAL, data, members, level=level, config=config).results
    seconds = time.perf_counter() - begin
    peak = torch.cuda.max_memory_allocated() / 1024**2 if torch.cuda.is_available() else 0.0
    test = data.select(np.arange(len(train), len(data)))
    truth, told = test.labels(level).forces, []
    for found in (result.potential for result in results):
        off = np.abs(predict(found, test).forces - truth)
        told.append((float(off.mean()), float(found.scales[0]), peak))
    return seconds, told


def compare(
    row: str,
    device: str,
    seconds: float,
    ours: list[tuple[float, float, float]],
    peak_mb: float,
    **facts: Any,
) -> None:
    """Measure SchNetPack, and print the row."""
    options: dict[str, Any] = {
        **CONFIG.model_dump(),
        **SIZE,
        "n_test": N_TEST,
        "n_models": N_MODELS,
        "device": device,
        "threads": len(os.sched_getaffinity(0)),
        "look": CONFIG.n_updates,  # it is waited for once a model
    }
    theirs = schnetpack(read(ASPIRIN), ours[0][1], options)
    mae = [statistics.mean(error for error, _, _ in ours), theirs and theirs["force_mae"]]
    emit(
        row,
        ours=seconds,
        peer=theirs and theirs["seconds"],
        peer_name=theirs and f"SchNetPack {theirs['version']} PaiNN",
        unit="s",
        equal=None if theirs is None else bool(mae[0] < 1.15 * theirs["force_mae"]),
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        threads=options["threads"],
        models=N_MODELS,
        updates=CONFIG.n_updates,
        force_mae_ev_per_angstrom=mae,
        peak_mb_ours_peer=[round(peak_mb), theirs and round(theirs["peak_mb"])],
        **facts,
    )


def main() -> int:
    """Print all rows; return 1 if one failed."""
    if not ASPIRIN.exists():
        print(json.dumps({"row": "sweep_cpu", "error": f"{ASPIRIN.name} is not there"}))
        return 1
    cores = len(os.sched_getaffinity(0))
    context = get_context("spawn")
    shared = (context.Barrier(cores, timeout=600),)
    with ProcessPoolExecutor(cores, context, initializer=begin_together, initargs=shared) as pool:
        list(pool.map(made_ready, range(cores)))
        begin = time.perf_counter()
        ours = list(pool.map(one, range(N_MODELS)))
        seconds = time.perf_counter() - begin
    peak = cores * max(peak for _, _, peak in ours)
    compare("sweep_cpu", "cpu", seconds, ours, peak, processes=cores)
    if torch.cuda.is_available():
        seconds, ours = at_once(CONFIG.model_copy(update={"device": "cuda"}))
        compare("sweep_gpu", "cuda", seconds, ours, ours[0][2], stack=N_MODELS)
    else:
        empty("sweep_gpu", why="no CUDA device")
    return 0


if __name__ == "__main__":
    sys.exit(main())
