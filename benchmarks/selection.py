"""Choosing points and molecules, each against the tool that people use for it.

Peers beside RDKit are those of requirements-measures.txt, which `make bench` installs; a row whose
peer is missing has none.
"""

from __future__ import annotations

import os

# Equal threads, before any library asks.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import importlib
import resource
from collections.abc import Callable

import numpy as np
from rdkit.SimDivFilters import rdSimDivPickers
from rows import add_peers, alternate, emit

from breadth.diversity.fingerprints import bit_vectors, fingerprints
from breadth.diversity.topology import MolecularGraph
from breadth.sampling.molecules import bundled_molecules
from breadth.sampling.selectors import FarthestPoint, MaxMin

add_peers("measures")
POINTS, FEATURES, TAKEN = 100_000, 64, 1_000
MOLECULES = 1_000_000


def farthest_points() -> None:
    """Take 1,000 of 100,000 points in 64 dimensions, against scikit-matter and fpsample."""
    X = np.random.default_rng(0).normal(size=(POINTS, FEATURES)).astype(np.float32)
    ours = FarthestPoint(n_to_select=TAKEN, random_state=0)
    chosen = ours.fit(X).selected_idx_
    start = int(chosen[0])
    for row, package, name in (
        ("fps_scikit_matter", "skmatter", "skmatter.sample_selection.FPS"),
        ("fps_fpsample", "fpsample", "fpsample.fps_sampling"),
    ):
        peer = _peer(package, X, start)
        facts = {"points": POINTS, "features": FEATURES, "taken": TAKEN}
        if peer is None:
            mine, _ = alternate(lambda: ours.fit(X), lambda: None)
            emit(row, ours=mine, peer=None, peer_name=name, unit="s", equal=None, **facts)
            continue
        theirs = peer()
        mine, other = alternate(lambda: ours.fit(X), peer, runs=3)
        emit(
            row,
            ours=mine,
            peer=other,
            peer_name=name,
            unit="s",
            # Both choices cover the points alike: radii, because rounding may swap near ties.
            equal=bool(np.isclose(_radius(X, chosen), _radius(X, theirs), rtol=1e-5)),
            same_picks=float(np.mean(chosen == theirs)),
            packages=(package, "numba", "scikit-learn"),
            **facts,
        )


def _peer(package: str, X: np.ndarray, start: int) -> Callable[[], np.ndarray] | None:
    try:
        module = importlib.import_module(
            "skmatter.sample_selection" if package == "skmatter" else package
        )
    except ImportError:
        return None
    if package == "fpsample":
        return lambda: module.fps_sampling(X, TAKEN, start)
    return lambda: module.FPS(n_to_select=TAKEN, initialize=start).fit(X).selected_idx_


def _radius(X: np.ndarray, chosen: np.ndarray) -> float:
    """Return the greatest distance of a point from its nearest chosen one."""
    nearest = np.full(len(X), np.inf)
    for row in chosen:
        nearest = np.minimum(nearest, ((X - X[row]) ** 2).sum(1, dtype=np.float64))
    return float(np.sqrt(nearest.max()))


def maxmin() -> None:
    """Take 1,000 of a million fingerprints, with keys and labels, against RDKit without."""
    packed = _million()
    random = np.random.default_rng(1)
    keys = np.array([random.bytes(16).hex().encode() for _ in range(len(packed))], dtype="S32")
    energy = random.normal(size=len(packed))
    told: list[int] = []

    def ours() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        selector = MaxMin(n_to_select=TAKEN, progress=lambda done, _: told.append(done))
        rows = selector.fit(packed, keys=keys).selected_idx_
        return rows, keys[rows], energy[rows]

    before = _peak()
    chosen = ours()[0]
    ours_peak = _peak()
    # RDKit breaks ties by place: it gets the molecules in the order of their keys.
    order = np.argsort(keys)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    vectors = bit_vectors(packed[order])

    def peer() -> np.ndarray:
        picks = rdSimDivPickers.MaxMinPicker().LazyBitVectorPick(
            vectors, len(vectors), TAKEN, firstPicks=[int(place[chosen[0]])]
        )
        return np.array(list(picks))

    equal = np.array_equal(order[peer()], chosen)
    mine, other = alternate(ours, peer, runs=3)
    assert told[-1] == TAKEN
    emit(
        "maxmin",
        ours=mine,
        peer=other,
        peer_name="rdkit MaxMinPicker.LazyBitVectorPick",
        unit="s",
        equal=equal,
        packages=("rdkit", "numba"),
        fingerprints=len(packed),
        bits=packed.shape[1] * 8,
        taken=TAKEN,
        ours_peak_mb=round(ours_peak, 1),
        before_mb=round(before, 1),
    )


def _million() -> np.ndarray:
    """Return packed fingerprints like those of molecules: mixed from the bundled ones' bits."""
    smiles = [molecule.smiles for molecule in bundled_molecules()[:600]]
    no_atoms = np.zeros(0, np.uint8), np.zeros((0, 3), np.int32)
    base = fingerprints([MolecularGraph(*no_atoms, s, 0, "smiles") for s in smiles])
    random = np.random.default_rng(0)
    mixed = np.zeros((MOLECULES, base.shape[1]), np.uint8)
    for begin in range(0, MOLECULES, 50_000):
        part = mixed[begin : begin + 50_000]
        for _ in range(4):
            noise = np.frombuffer(random.bytes(part.size), np.uint8).reshape(part.shape)
            part |= base[random.integers(0, len(base), len(part))] & noise
    return mixed


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print all rows."""
    farthest_points()
    maxmin()
