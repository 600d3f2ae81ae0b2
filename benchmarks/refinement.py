"""Laplacian spectra against the procedure released with the paper; what choosing a radius costs."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import json
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import alternate, emit
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import laplacian
from scipy.spatial import cKDTree

from breadth.diversity import Labels, read
from breadth.diversity.spectra import laplacian_spectra
from breadth.training import build_potential, predict
from breadth.training.refinement.radius import (
    RadiusChoice,
    SpectrumReference,
    choose_radii,
    predict_at_radii,
)

ASPIRIN = Path(__file__).resolve().parent / "../../shared/data/rmd17/rmd17_aspirin_train_01.npz"
RADII = np.linspace(3.0, 9.0, 10)
N_STRUCTURES = 1000


def structures() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,000 random branched chains of 20 to 40 atoms.

    Each atom stands 1.09 or 1.45 Å from one of the three before it, and 1.05 Å from any: as dense
    and as far from round as molecules are. All differ, so that no graph comes up twice by design.
    """
    random = np.random.default_rng(0)
    frames = []
    for size in random.integers(20, 41, N_STRUCTURES):
        frame = [np.zeros(3)]
        while len(frame) < size:
            start = frame[-random.integers(1, min(3, len(frame)) + 1)]
            step = random.normal(size=3)
            place = start + step * (random.choice([1.09, 1.45]) / np.linalg.norm(step))
            if min(np.linalg.norm(place - other) for other in frame) > 1.05:
                frame.append(place)
        frames.append(np.array(frame))
    return np.concatenate(frames), np.concatenate([[0], np.cumsum([len(f) for f in frames])])


def released(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return spectra as the paper's script does: one graph, one sparse Laplacian, `eigvals`.

    Written anew with scipy in place of PyTorch Geometric, whose own graphs and Laplacians take
    longer: radius graph of at most 50 neighbours, sparse symmetric Laplacian, eigenvalues of its
    dense form as a general matrix, sorted and padded.
    """
    found = np.zeros((len(offsets) - 1, len(RADII), int(np.diff(offsets).max())))
    for i, (begin, end) in enumerate(pairwise(offsets)):
        own = positions[begin:end]
        for k, radius in enumerate(RADII):
            pairs = cKDTree(own).query_pairs(float(radius), output_type="ndarray")
            rows = np.concatenate([pairs[:, 0], pairs[:, 1]])
            columns = np.concatenate([pairs[:, 1], pairs[:, 0]])
            graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(own),) * 2)
            values = np.linalg.eigvals(laplacian(graph, normed=True).toarray())
            found[i, k, : len(own)] = np.sort(values.real)
    return found


def spectra() -> None:
    """Compare spectra of 1,000 structures at 10 radii."""
    positions, offsets = structures()

    def ours() -> np.ndarray:
        return laplacian_spectra(positions, offsets, RADII, max_neighbours=50)

    largest = float(np.abs(ours() - released(positions, offsets)).max())
    seconds = alternate(ours, lambda: released(positions, offsets), runs=3)
    emit(
        "spectra",
        ours=seconds[0],
        peer=seconds[1],
        peer_name="as released with arXiv:2503.08674, by scipy and numpy",
        unit="s",
        equal=largest < 1e-5,
        packages=("scipy", "numba"),
        structures=N_STRUCTURES,
        radii=len(RADII),
        atoms="20 to 40",
        largest_difference=largest,
    )


def radius_refinement() -> None:
    """Compare choosing each of 1,000 radii with predicting the 1,000 structures once.

    The potential is the fastest one, which makes the share of the choice largest. Predicting at
    the chosen radii, batches of one radius each, is timed against the plain pass too.
    """
    data = read(ASPIRIN)
    reference = SpectrumReference.of(data, 4.7)  # at 5 Å every frame would stay where it is
    torch.manual_seed(0)
    potential = build_potential("factorised_painn", n_features=64)
    for form in ("padded", "fraction", "wasserstein"):

        def choose(form: Any = form) -> RadiusChoice:
            return choose_radii(data, reference, form=form, per="structure")

        def plain() -> Labels:
            return predict(potential, data)

        radius = choose().radius
        seconds = alternate(choose, plain)
        passes = alternate(partial(predict_at_radii, potential, data, radius), plain)
        emit(
            f"radius_refinement_{form}",
            ours=seconds[0],
            peer=seconds[1],
            peer_name="one inference pass of factorised_painn, 64 features",
            unit="s",
            equal=None,
            packages=("numba",),
            structures=len(data),
            atoms=int(data.counts[0]),
            radii=11,
            share_of_inference=round(seconds[0] / seconds[1], 3),
            pass_at_chosen_radii_over_plain=round(passes[0] / passes[1], 3),
            different_radii=len(np.unique(radius)),
        )


def main() -> int:
    """Print all rows; return 1 if one failed."""
    torch.set_num_threads(1)
    failed = False
    for row in (spectra, radius_refinement):
        try:
            row()
        except Exception as error:
            print(json.dumps({"row": row.__name__, "error": f"{type(error).__name__}: {error}"}))
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
