"""SOAP, principal components and Q of frames of 197 atoms as they stream, against DScribe alone.

The peer computes the same descriptors, a frame at a time, and throws them away; what it takes where
it keeps them (``create`` of a list of frames) stands beside. Frames are those of
``../shared/data/umlip_bias``; without them there are no rows. Memory is told after half and all of
the frames; nothing is extrapolated to more.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import resource
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from dscribe.descriptors import SOAP
from rows import alternate, emit

from breadth.analysis.extrapolation import ExtrapolationModel
from breadth.diversity import ConformerSet, concat, read
from breadth.diversity.descriptors import SoapDescriptor, bound
from breadth.studies.extrapolating import fit_reference, score_sets

FOLDER = Path(__file__).resolve().parents[1] / "../shared/data/umlip_bias"
FILES = ("choline_naive/50", "choline_periodic/ft5", "choline_nonperiodic/50")
CHECKED = 5


def peak_mb() -> float:
    """Return the most memory that this process has held, MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def structures(frames: ConformerSet) -> list[Atoms]:
    """Return what DScribe reads."""
    parts = [frames.atoms_slice(i) for i in range(len(frames))]
    return [
        Atoms(frames.numbers[p], frames.positions[p], cell=cell, pbc=True)
        for p, cell in zip(parts, frames.cell, strict=True)
    ]


def exact_q(model: ExtrapolationModel, rows: np.ndarray) -> np.ndarray:
    """Return Q in double precision, as it is written."""
    fitted = model.components
    centred = rows - fitted.mean_
    left = centred - (centred @ fitted.components_.T) @ fitted.components_
    return (left**2).sum(axis=1)


def main() -> None:
    """Time fitting to and scoring of 150 frames."""
    if not FOLDER.is_dir():
        return
    sets = [read(FOLDER / f"{name}.xyz") for name in FILES]
    frames = concat(sets)
    soap = bound(SoapDescriptor(), frames)
    assert soap.elements is not None
    peer = SOAP(
        species=list(soap.elements), r_cut=5.0, n_max=8, l_max=6, sigma=0.375, periodic=True
    )
    systems = structures(frames)
    half = frames.select(np.arange(len(frames) // 2))
    model = fit_reference([half], soap)
    memory = {"fit_half": peak_mb()}

    def describe() -> None:
        for system in systems:
            peer.create(system)

    fitting, alone = alternate(lambda: fit_reference([frames], soap), describe, runs=3)
    memory["fit_all"] = peak_mb()
    scoring, alone_again = alternate(lambda: score_sets(model, [frames], soap), describe, runs=3)
    memory["score_all"] = peak_mb()
    checked = frames.select(np.arange(CHECKED))
    ours = score_sets(model, [checked], soap).q
    rows = np.concatenate([peer.create(system) for system in systems[:CHECKED]])
    error = float(np.abs(ours / exact_q(model, rows) - 1).max())
    # Last, since it holds 20 frames in double precision and would hide our own peak.
    start = time.perf_counter()
    for begin in range(0, len(systems), 20):
        peer.create(systems[begin : begin + 20])
    kept = time.perf_counter() - start
    for row, seconds, theirs in (
        ("extrapolation_fit", fitting, alone),
        ("extrapolation_score", scoring, alone_again),
    ):
        emit(
            row,
            ours=seconds,
            peer=theirs,
            peer_name="dscribe SOAP.create, one frame at a time, thrown away",
            unit="s",
            equal=error < 1e-3,
            packages=("dscribe",),
            frames=len(frames),
            environments=frames.n_atoms,
            features=rows.shape[1],
            seconds_of_peer_kept=round(kept, 3),
            ratio_to_peer_kept=round(kept / seconds, 2),
            largest_relative_error_of_q=error,
            peak_mb_at={**memory, "frames": [len(half), len(frames), len(frames)]},
        )


if __name__ == "__main__":
    main()
