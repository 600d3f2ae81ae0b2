"""What the benchmark of an update counts, without which none can be made."""

import importlib
import sys
from pathlib import Path

import pytest

from breadth.training import TrainingConfig, build_potential


@pytest.fixture(scope="module")
def steps():
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("steps")
    finally:
        sys.path.remove(folder)


def test_the_floor_counts_the_optimizer(make_toy, steps):
    data = make_toy(n_molecules=1)
    counted = {}
    for width in (8, 16):
        size = {"n_features": width, "n_layers": 1, "n_basis": 4, "cutoff": 5.0}
        n = sum(p.numel() for p in build_potential("painn", **size).parameters())
        for optimizer in ("adamw", "muon"):
            config = TrainingConfig(
                n_updates=1, batch_size=4, device="cpu", optimizer=optimizer, compile="never"
            )
            counted[width, optimizer] = (n, *steps.needed(data, size, config))
    n, operations, moved = counted[8, "adamw"]
    # 4 structures of 3 atoms; four tensors in and out, the gradient out and in, 4 bytes a weight.
    assert moved == 12 * 32 + 40 * n
    # Linear maps of single atoms alone: forward, forces, and twice as much for the gradient.
    assert operations > 21 * n + 4 * 2 * 12 * 8 * 8
    assert counted[8, "muon"][1] > operations
    assert counted[8, "muon"][2] == moved
    assert counted[16, "adamw"][1] > 2 * operations
