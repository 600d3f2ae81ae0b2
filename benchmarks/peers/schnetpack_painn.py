"""Train SchNetPack's PaiNN as `benchmarks/training.py` asks; run by its own interpreter.

Reads an npz of frames of one molecule and the options, prints one JSON object. Pairs are found
once beforehand and not timed, which favours it: SchNetPack caches them too.
"""

import json
import math
import resource
import sys
import time
from typing import TypeVar

import numpy as np
import torch
import torch.utils.data.dataloader as dataloader

# SchNetPack 2.1.1 imports a name that torch has since made private.
if not hasattr(dataloader, "T_co"):
    dataloader.T_co = TypeVar("T_co", covariant=True)

import schnetpack as spk
from schnetpack import properties


def main() -> None:
    path, options = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(options.get("threads", 1))
    device = torch.device(options["device"])
    torch.manual_seed(0)
    frames = {k: torch.tensor(v) for k, v in np.load(path).items()}
    scale = float(frames["scale"])
    z = frames["numbers"].to(device)
    positions, energies, forces = (
        frames[k].to(device, torch.float32) for k in ("positions", "energies", "forces")
    )
    n, atoms = positions.shape[:2]
    distances = torch.cdist(frames["positions"], frames["positions"])
    near = (distances < options["cutoff"]) & ~torch.eye(atoms, dtype=torch.bool)
    pairs = [frame.nonzero().T.to(device) for frame in near]

    def inputs(rows: np.ndarray) -> dict[str, torch.Tensor]:
        b = len(rows)
        shift = [pairs[r] + i * atoms for i, r in enumerate(rows.tolist())]
        ij = torch.cat(shift, 1)
        return {
            properties.Z: z.repeat(b),
            properties.R: positions[rows].reshape(-1, 3),
            properties.idx_i: ij[0],
            properties.idx_j: ij[1],
            properties.idx_m: torch.arange(b, device=device).repeat_interleave(atoms),
            properties.n_atoms: torch.full((b,), atoms, device=device),
            properties.offsets: torch.zeros(ij.shape[1], 3, device=device),
            properties.cell: torch.zeros(b, 3, 3, device=device),
            properties.pbc: torch.zeros(3 * b, dtype=torch.bool, device=device),
        }

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    lr, total, size = options["learning_rate"], options["n_updates"], options["batch_size"]
    # Imports at first use are not timed.
    torch.optim.AdamW([torch.zeros(1, device=device, requires_grad=True)], fused=True)
    # Read as often as this suite reads it: on a GPU each reading waits for the device.
    look = options.get("look", 1)
    rising, ends, begin = max(1, round(0.05 * total)), [], clock()
    train = n - options["n_test"]
    for seed in range(options.get("n_models", 1)):
        model = made(options).to(device)
        model(inputs(np.arange(2)))
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=lr, weight_decay=options["weight_decay"], fused=True
        )
        rng = np.random.default_rng(seed)
        ends.append(clock())
        for update in range(total):
            rows = rng.choice(train, size, replace=False)
            found = model(inputs(rows))
            off_e = (found["energy"] - energies[rows] / scale) / math.sqrt(atoms)
            off_f = found["forces"].view(size, atoms, 3) - forces[rows] / scale
            loss = options["energy_weight"] * (off_e.square() + 1e-4).sqrt().mean()
            loss = loss + (off_f.square().sum(-1) + 1e-4).sqrt().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), options["clip"], foreach=True)
            done = (update - rising) / max(1, total - rising)
            now = (update + 1) / rising if update < rising else 0.5 * (1 + math.cos(math.pi * done))
            optimizer.param_groups[0]["lr"] = lr * now
            optimizer.step()
            if (update + 1) % look == 0:
                ends.append(clock())
    seconds = clock() - begin
    # As users are told to predict: without the graph of a second derivative.
    model.eval()
    wrong = []
    for first in range(train, n, 50):
        rows = np.arange(first, min(first + 50, n))
        predicted = model(inputs(rows))["forces"].detach().view(len(rows), atoms, 3) * scale
        wrong.append((predicted - forces[rows]).abs().mean().item())
    frames_done, start = 0, clock()
    while frames_done < options.get("n_inference", 0):
        rows = np.arange(frames_done, frames_done + 50) % n
        model(inputs(rows))["forces"].detach()
        frames_done += len(rows)
    inference = clock() - start
    result = {
        "ms": 1e3 * float(np.median(np.diff(ends))) / look,
        "force_mae": float(np.mean(wrong)),
        "seconds": seconds,
        "inference_seconds": inference,
        "peak_mb": peak_mb(device),
        "weights": sum(p.numel() for p in model.parameters()),
        "version": spk.__version__,
    }
    print(json.dumps(result))


def made(options: dict) -> spk.model.NeuralNetworkPotential:
    """Return a new model."""
    return spk.model.NeuralNetworkPotential(
        representation=spk.representation.PaiNN(
            n_atom_basis=options["n_features"],
            n_interactions=options["n_layers"],
            radial_basis=spk.nn.BesselRBF(options["n_basis"], options["cutoff"]),
            cutoff_fn=spk.nn.CosineCutoff(options["cutoff"]),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=options["n_features"], output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )


def peak_mb(device: torch.device) -> float:
    """Return the most memory that was held, MB: of the device, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
