"""RMSDs of all pairs of conformers, against RDKit."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import json
import sys

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolAlign
from rows import alternate, emit

from breadth.diversity.rmsd import pairwise_rmsd

N_CONFORMERS, N_ATOMS = 500, 40


def rmsd() -> None:
    """Compare 500 conformers of 40 atoms with each other, each pair by its own best rotation.

    Atoms correspond by their order on both sides, without symmetries.
    """
    random = np.random.default_rng(0)
    frames = random.normal(scale=3.0, size=(N_ATOMS, 3))
    frames = frames + random.normal(scale=0.5, size=(N_CONFORMERS, N_ATOMS, 3))
    atoms = Chem.RWMol()
    for _ in range(N_ATOMS):
        atoms.AddAtom(Chem.Atom(0))
    for frame in frames:
        conformer = Chem.Conformer(N_ATOMS)
        conformer.SetPositions(frame)
        atoms.AddConformer(conformer, assignId=True)
    molecule, as_they_are = atoms.GetMol(), [[(i, i) for i in range(N_ATOMS)]]

    def ours() -> np.ndarray:
        return pairwise_rmsd(frames)

    def peer() -> list[float]:
        return list(rdMolAlign.GetAllConformerBestRMS(molecule, numThreads=1, map=as_they_are))

    largest = float(np.abs(ours()[np.tril_indices(N_CONFORMERS, -1)] - np.array(peer())).max())
    seconds = alternate(ours, peer)
    emit(
        "rmsd",
        ours=seconds[0],
        peer=seconds[1],
        peer_name="RDKit GetAllConformerBestRMS",
        unit="s",
        equal=largest < 1e-6,
        packages=("rdkit",),
        conformers=N_CONFORMERS,
        atoms=N_ATOMS,
        largest_difference_angstrom=largest,
    )


def main() -> int:
    """Print all rows; return 1 if one failed."""
    try:
        rmsd()
    except Exception as error:
        print(json.dumps({"row": "rmsd", "error": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
