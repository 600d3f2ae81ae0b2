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
from breadth.training import TrainingConfig, build_potential, fit, predict
from breadth.training.batches import FrameStore
from breadth.training.loss import batch_loss
from breadth.training.updates.eager import LOOK

RMD17 = Path(__file__).resolve().parent.parent / "../shared/data/rmd17"
SIZE = {"n_features": 128, "n_layers": 3, "n_basis": 20, "cutoff": 5.0}
N_TEST = 100
#: Of the first call, after which errors are compared; of the second; and of those for memory. On a
#: GPU the clock is read where losses are looked at, and the first stretch makes ready.
UPDATES = {"cpu": (100, 25, 3), "cuda": (640, 320, 3)}


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


def compare(device: str, threads: int, names: tuple[str, str], **facts: Any) -> None:
    """Print the rows of updates and of inference."""
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


def floor(device: str) -> None:
    """Print the time of a loss and its gradient over that of its matrix products at the ceilings.

    Eager, and without the optimizer; both ceilings are measured.
    """
    data = frames("aspirin")
    (level,) = data.levels
    config = TrainingConfig(optimizer="adamw", batch_size=32)
    potential = build_potential("painn", levels=[level], **SIZE).to(device)
    batch, targets = FrameStore(data, np.arange(32), level=level, device=device).labelled(
        np.arange(32)
    )
    parameters = list(potential.parameters())

    def update() -> None:
        loss = batch_loss(potential, batch, targets, level, config, differentiable=True)
        torch.autograd.grad(loss, parameters, materialize_grads=True)

    with FlopCounterMode(display=False) as counter:
        update()
    operations = counter.get_total_flops()
    # All weights, moments and means once in, once out, and a batch: no update moves fewer bytes.
    moved = 2 * 4 * 4 * sum(p.numel() for p in parameters) + 4 * batch.positions.numel() * 3
    a, b = (torch.randn(2048, 2048, device=device) for _ in range(2))
    large = torch.randn(2**26, device=device)
    rate = 2 * 2048**3 / _seconds(lambda: a @ b, device)
    bandwidth = 2 * 4 * large.numel() / _seconds(large.clone, device)
    least = max(operations / rate, moved / bandwidth)
    seconds = _seconds(update, device)
    emit(
        f"floor_{'gpu' if device == 'cuda' else 'cpu'}",
        ours=seconds / least,
        peer=None,
        unit="update / floor",
        equal=None,
        device=_device(device),
        threads=torch.get_num_threads(),
        gflop=round(operations / 1e9, 2),
        gflop_per_s=round(rate / 1e9, 1),
        gb_per_s=round(bandwidth / 1e9, 1),
        floor_ms=round(1e3 * least, 2),
        update_ms=round(1e3 * seconds, 2),
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
    compare("cpu", 1, ("step_cpu1", "inference_cpu"), peak_mb_by_size=memory("cpu"))
    compare("cpu", 2, ("step_cpu2", "inference_cpu2"))
    floor("cpu")
    if torch.cuda.is_available():
        compare("cuda", 1, ("step_gpu", "inference_gpu"), peak_mb_by_size=memory("cuda"))
        floor("cuda")
    else:
        empty("step_gpu", "inference_gpu", "floor_gpu", why="no CUDA device")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(json.loads(sys.argv[1]))
    else:
        sys.exit(main())
