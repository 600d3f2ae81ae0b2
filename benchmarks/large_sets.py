"""Measuring a large set: how time and memory grow with its conformers. There is no peer."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import resource
import time
from dataclasses import replace

import numpy as np
from rows import emit

from breadth.diversity import ConformerSet
from breadth.diversity.measures.measure import measure
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import bundled_molecules

MOLECULES, SAMPLED, NOISE = 1_000, 5, 0.03
SIZES = (25, 50, 100)


def large_set() -> ConformerSet:
    """Return 10⁵ conformers of 10³ molecules: five of each, displaced at random 20 times."""
    few, _ = sample_geometries(bundled_molecules()[::2], n_conformers=SAMPLED, seed=0)
    whole = few.select(np.repeat(np.arange(len(few)), max(SIZES) // SAMPLED))
    noise = np.random.default_rng(0).normal(scale=NOISE, size=whole.positions.shape)
    return replace(whole, positions=whole.positions + noise)


def main() -> None:
    """Time `measure` at a quarter, half and all of the conformers."""
    whole = large_set()
    rank = np.arange(len(whole)) % max(SIZES)
    seconds = []
    for size in SIZES:
        part = whole.select(np.flatnonzero(rank < size))
        start = time.perf_counter()
        measure(part)
        seconds.append(time.perf_counter() - start)
    slope = np.polyfit(np.log(SIZES), np.log(seconds), 1)[0]
    emit(
        "measure",
        ours=seconds[-1],
        peer=None,
        unit="s",
        equal=None,
        packages=("numba", "rdkit"),
        conformers=len(whole),
        molecules=whole.n_molecules,
        environments=whole.n_atoms,
        seconds_at={str(MOLECULES * n): round(s, 2) for n, s in zip(SIZES, seconds, strict=True)},
        exponent=round(float(slope), 2),
        peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    )
