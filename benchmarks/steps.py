"""PaiNN's update and inference beside SchNetPack's PaiNN, and above what the hardware allows.

Aspirin of rMD17, 128 features, 3 rounds, 20 radial functions, batches of 32, float32: the same
frames, loss, optimizer and number of updates on both sides, each in a process of its own, in turn;
this suite eager on a CPU, as by default, and compiled on a GPU, its compilation not counted.
Results count as equal where the force errors after these updates do, within 15 % or better. Rows of
a GPU are empty where there is none.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.calling import call, schnetpack
from rows import emit, empty
from torch.utils.flop_counter import FlopCounterMode

from breadth.diversity import ConformerSet, read
from breadth.training import TrainingConfig, fit, predict
from breadth.training.preparing import prepare
from breadth.training.state import TrainingState
from breadth.training.updates.eager import LOOK, EagerUpdates

RMD17 = Path(__file__).resolve().parent.parent / "../shared/data/rmd17"
SIZE = {"n_features": 128, "n_layers": 3, "n_basis": 20, "cutoff": 5.0}
N_TEST = 100
#: Of the first call, after which errors are compared; of the second; and of those for memory. On a
#: GPU the clock is read where losses are looked at, and the first stretch makes ready.
UPDATES = {"cpu": (100, 25, 3), "cuda": (640, 320, 3)}

#: Operations of the optimizer for each weight: norm of the gradient and clipping 3, moments 7,
#: their ratio 5, decay and step 3, running mean 3. Products of Muon are counted with the others.
PER_WEIGHT = 21


def frames(molecule: str) -> ConformerSet:
    """Return the training frames of a molecule."""
    return read(RMD17 / f"rmd17_{molecule}_train_01.npz")


def work(options: dict[str, Any]) -> None:
    """Train and predict as `options` say; print what `peers/schnetpack_painn.py` prints."""
    torch.set_num_threads(options["threads"])
    data = frames(options["molecule"])
    (level,) = data.levels
    size = {k: options[k] for k in SIZE}
    config = TrainingConfig(**{k: options[k] for k in TrainingConfig.model_fields if k in options})
    train = np.arange(len(data) - options["n_test"])
    ends = [time.perf_counter()]
    potential = {"name": "painn", **size}
    result = fit(
        potential,
        data,
        level=level,
        train=train,
        config=config,
        progress=lambda *_: ends.append(time.perf_counter()),
        tell=_refuse,
    ).potential
    test = data.select(np.arange(len(train), len(data)))
    off = np.abs(predict(result, test).forces - test.labels(level).forces)
    begin = time.perf_counter()
    if options["n_inference"]:
        predict(result, data.select(np.arange(options["n_inference"])), batch_size=50)
    told = {
        "ms": 1e3 * float(np.median(np.diff(ends[:: options["look"]]))) / options["look"],
        "force_mae": float(off.mean()),
        "inference_seconds": time.perf_counter() - begin,
        "scale": float(result.scales[0]),
        "weights": sum(p.numel() for p in result.parameters()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options["device"] == "cuda":
        told["peak_mb"] = torch.cuda.max_memory_allocated() / 1024**2
    print(json.dumps(told))


def _refuse(message: str) -> None:
    raise RuntimeError(f"not what the row says: {message}")


def measured(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what both sides measure, with the same options."""
    ours = call([sys.executable, __file__, json.dumps(options)], options)
    return ours, schnetpack(frames(options["molecule"]), ours["scale"], options)


def asked(**others: Any) -> dict[str, Any]:
    """Return the options of a call."""
    config = TrainingConfig(optimizer="adamw", batch_size=32, learning_rate=1e-3).model_dump(
        exclude={"n_updates"}
    )
    found = {**config, **SIZE, "molecule": "aspirin", "n_test": N_TEST, "n_inference": 0, **others}
    if found["device"] == "cuda":
        found["compile"] = "always"  # as a fit is that is long enough
    return {**found, "look": min(found["n_updates"], LOOK[found["device"]])}


def memory(device: str) -> dict[str, Any]:
    """Return the peak memory in MB of both sides by batch and by molecule."""
    told: dict[str, Any] = {}
    for name, options in {
        "batch 8": {"batch_size": 8},
        "batch 32": {},
        "batch 128": {"batch_size": 128},
        "ethanol, 9 atoms": {"molecule": "ethanol"},
        "azobenzene, 24 atoms": {"molecule": "azobenzene"},
    }.items():
        both = measured(asked(device=device, threads=1, n_updates=UPDATES[device][2], **options))
        told[name] = [None if one is None else round(one["peak_mb"]) for one in both]
    return told


def compare(device: str, threads: int, names: tuple[str, str], **facts: Any) -> float:
    """Print the rows of updates and of inference; return milliseconds of an update."""
    runs = [
        measured(asked(device=device, threads=threads, n_updates=n, n_inference=1000))
        for n in UPDATES[device][:2]
    ]
    first = runs[0]
    peer_name = None if first[1] is None else f"SchNetPack {first[1]['version']} PaiNN"
    mae = [None if one is None else one["force_mae"] for one in first]
    equal = None if mae[1] is None else bool(mae[0] < 1.15 * mae[1])
    for name, key, unit in zip(
        names, ("ms", "inference_seconds"), ("ms/update", "s/1000 frames"), strict=True
    ):
        ours, peer = (
            None if first[i] is None else statistics.median(run[i][key] for run in runs)
            for i in (0, 1)
        )
        emit(
            name,
            ours=ours,
            peer=peer,
            peer_name=peer_name,
            unit=unit,
            equal=equal,
            device=_device(device),
            threads=threads,
            batch=32 if key == "ms" else 50,
            atoms=21,
            force_mae_ev_per_angstrom=mae,
            updates=UPDATES[device][0],
            runs=[[None if one is None else round(one[key], 3) for one in run] for run in runs],
            weights=[None if one is None else one["weights"] for one in first],
            peak_mb_ours_peer=[None if one is None else round(one["peak_mb"]) for one in first],
            **(facts if key == "ms" else {}),
        )
    return statistics.median(run[0]["ms"] for run in runs)


def needed(data: ConformerSet, size: dict[str, Any], config: TrainingConfig) -> tuple[int, int]:
    """Return operations and bytes without which no update can be made.

    Operations are those of all matrix products, counted in an eager update, and the optimizer's.
    Bytes are the least that any order of work moves: a batch; the gradient, whose norm must be
    known before it is used, once out and once in; weights, mean and both moments once in and once
    out.
    """
    (level,) = data.levels
    train = np.arange(len(data))
    ready = prepare({"name": "painn", **size}, data, level=level, train=train, config=config)
    state = TrainingState(ready.potential, config, ready.frozen)
    with FlopCounterMode(display=False) as counter:
        EagerUpdates(state, ready.tasks, 0, _refuse).advance(1)
    ((_, task),) = ready.tasks
    batch = task.store.batch(task.order.batch(0))
    # Element, position and force of each atom.
    moved = batch.numbers.numel() * (8 + 2 * 3 * 4) + 4 * state.mean.numel() * (2 + 2 * 4)
    return counter.get_total_flops() + PER_WEIGHT * state.mean.numel(), moved


def floor(device: str, ms: float) -> None:
    """Print the time of an update over what its operations or bytes take at the ceilings.

    Both ceilings are measured: a large matrix product, a large copy. The update is that of
    `step_cpu1` or `step_gpu`, the whole of it: batch, loss, second differentiation, optimizer and
    mean, in the form in which it is timed there.

    Parameters
    ----------
    device : {'cpu', 'cuda'}
    ms : float
        What an update takes.
    """
    options = asked(device=device, n_updates=1)
    config = TrainingConfig(**{k: options[k] for k in TrainingConfig.model_fields if k in options})
    operations, moved = needed(frames("aspirin").select(np.arange(64)), SIZE, config)
    a, b = (torch.randn(2048, 2048, device=device) for _ in range(2))
    large = torch.randn(2**26, device=device)
    rate = 2 * 2048**3 / _seconds(lambda: a @ b, device)
    bandwidth = 2 * 4 * large.numel() / _seconds(large.clone, device)
    least = 1e3 * max(operations / rate, moved / bandwidth)
    emit(
        f"floor_{'gpu' if device == 'cuda' else 'cpu'}",
        ours=ms / least,
        peer=None,
        unit="update / floor",
        equal=None,
        device=_device(device),
        threads=torch.get_num_threads(),
        gflop=round(operations / 1e9, 2),
        mb=round(moved / 1e6, 1),
        gflop_per_s=round(rate / 1e9, 1),
        gb_per_s=round(bandwidth / 1e9, 1),
        floor_ms=round(least, 3),
        update_ms=round(ms, 3),
    )


def _seconds(call: Any, device: str, runs: int = 9) -> float:
    taken = []
    for _ in range(runs):
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[2:])


def _device(name: str) -> str:
    return torch.cuda.get_device_name() if name == "cuda" else name


def main() -> int:
    """Print all rows; return 1 if one failed."""
    if not RMD17.exists():
        print(json.dumps({"row": "step_cpu1", "error": f"{RMD17} is not there"}))
        return 1
    torch.set_num_threads(1)
    ms = compare("cpu", 1, ("step_cpu1", "inference_cpu"), peak_mb_by_size=memory("cpu"))
    floor("cpu", ms)
    compare("cpu", 2, ("step_cpu2", "inference_cpu2"))
    if torch.cuda.is_available():
        ms = compare("cuda", 1, ("step_gpu", "inference_gpu"), peak_mb_by_size=memory("cuda"))
        floor("cuda", ms)
    else:
        empty("step_gpu", "inference_gpu", "floor_gpu", why="no CUDA device")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(json.loads(sys.argv[1]))
    else:
        sys.exit(main())
