"""Measuring sets of environments, against the package whose measures these are.

The peer is that of requirements-measures.txt, which `make bench` installs; without it the row has
none.
"""

from __future__ import annotations

import os

# Equal threads, before any library asks.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import time
from collections.abc import Callable

import numpy as np
from rows import add_peers, alternate, emit
from scipy.spatial.distance import cdist

from breadth.diversity.descriptors import CompactDescriptor, atomic_features
from breadth.diversity.kernel_density import self_kernel_sums
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import bundled_molecules

add_peers("measures")
POINTS, FEATURES, KINDS, BANDWIDTH = 20_000, 50, 400, 1.0
ENVIRONMENTS = 1_000_000


def entropy() -> None:
    """Compute the exact entropy of 20,000 environments, against `quests.entropy.entropy`.

    The points are vibrations around 400 places, so that sums run from one neighbour to dozens.
    """
    random = np.random.default_rng(0)
    places = random.normal(scale=2.0, size=(KINDS, FEATURES))
    spread = random.uniform(0.02, 0.2, size=(POINTS, 1))
    X = places[random.integers(0, KINDS, POINTS)] + spread * random.normal(size=(POINTS, FEATURES))
    X = X.astype(np.float32)

    def ours() -> float:
        return float(np.log(POINTS) - np.log(self_kernel_sums(X, bandwidth=BANDWIDTH)).mean())

    true = _in_double_precision(X)
    mine = ours()
    facts = {
        "points": POINTS,
        "features": FEATURES,
        "bandwidth": BANDWIDTH,
        "entropy_in_float64": true,
        "error_of_ours": abs(mine - true),
    }
    peer = _peer(X)
    if peer is None:
        seconds, theirs = alternate(ours, lambda: None, runs=3)[0], None
    else:
        seconds, theirs = alternate(ours, peer, runs=3)
        facts["error_of_peer"] = abs(peer() - true)
    emit(
        "entropy",
        ours=seconds,
        peer=theirs,
        peer_name="quests.entropy.entropy",
        unit="s",
        equal=None if peer is None else max(facts["error_of_ours"], facts["error_of_peer"]) < 1e-4,
        packages=("numba", "quests") if peer else ("numba",),
        **facts,
    )


def _peer(X: np.ndarray) -> Callable[[], float] | None:
    try:
        import quests.entropy
    except ImportError:
        return None
    return lambda: float(quests.entropy.entropy(X, h=BANDWIDTH))


def _in_double_precision(X: np.ndarray) -> float:
    """Return the entropy from distances that SciPy takes one by one in float64."""
    wide = X.astype(np.float64)
    sums = [
        np.exp(-cdist(block, wide, "sqeuclidean") / (2 * BANDWIDTH**2)).sum(1)
        for block in np.array_split(wide, 40)
    ]
    return float(np.log(POINTS) - np.log(np.concatenate(sums)).mean())


def compact_descriptor() -> None:
    """Describe a million environments of molecules of 18 atoms; there is no peer."""
    molecules = [m for m in bundled_molecules() if len(m.numbers) == 18][:20]
    frames, _ = sample_geometries(molecules, n_conformers=10, seed=0)
    frames = frames.select(np.resize(np.arange(len(frames)), -(-ENVIRONMENTS // 18)))
    compact = CompactDescriptor()
    atomic_features(frames.select([0]), compact)  # compiles
    start = time.perf_counter()
    atomic_features(frames, compact)
    seconds = time.perf_counter() - start
    emit(
        "compact_descriptor",
        ours=seconds,
        peer=None,
        unit="s",
        equal=None,
        packages=("numba",),
        environments=frames.n_atoms,
        per_second=round(frames.n_atoms / seconds),
    )


def main() -> None:
    """Print the rows."""
    entropy()
    compact_descriptor()


if __name__ == "__main__":
    main()
