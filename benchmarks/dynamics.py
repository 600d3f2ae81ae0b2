"""Langevin dynamics by ASE with our potentials, against the bare call that they rest on."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import json
import sys

import numpy as np
import torch
from rows import alternate, emit

from breadth.sampling import DynamicsSettings, Molecule, run_dynamics, sample_geometries
from breadth.training import PotentialCalculator
from breadth.training.batches import FrameStore
from breadth.training.potentials import Potential, build_potential, energy_and_forces

STEPS = 100
#: Most time of a step, in bare calls.
LIMIT = 1.5
#: 9 and 21 atoms: the small and the large end of what the studies run.
MOLECULES = {"ethanol": "CCO", "aspirin": "CC(=O)Oc1ccccc1C(=O)O"}


def untrained(name: str) -> Potential:
    """Return a small potential with the forces of weak springs: its time is a trained one's."""
    torch.manual_seed(0)
    potential = build_potential(name, n_features=32)
    potential.set_level("default", references={1: 0.0, 6: 0.0, 8: 0.0}, scale=0.1, anchored=[])
    return potential


def dynamics(molecule: str, name: str) -> bool:
    """Time steps of dynamics, and as many bare calls at the run's last geometry."""
    start, _ = sample_geometries([Molecule(molecule, MOLECULES[molecule])], n_conformers=1, seed=0)
    potential = untrained(name)
    settings = DynamicsSettings(n_steps=STEPS, record_every=20, temperature=300.0)

    def run():  # type: ignore[no-untyped-def]
        calculator = PotentialCalculator(potential)
        return run_dynamics(start, calculator, settings, seed=0, level="model")

    last = run().trajectory.select([-1])
    batch = FrameStore(last).batch(np.array([0]))

    def bare() -> None:
        for _ in range(STEPS):
            energy_and_forces(potential, batch)

    ours, peer = alternate(run, bare, runs=5)
    forces = energy_and_forces(potential, batch)[1][0].numpy()
    equal = bool(np.allclose(last.labels("model").forces, forces, atol=1e-5))
    emit(
        "dynamics" if (molecule, name) == ("ethanol", "painn") else f"dynamics_{molecule}_{name}",
        ours=1e3 * ours / STEPS,
        peer=1e3 * peer / STEPS,
        peer_name="energy_and_forces of one batch",
        unit="ms/step",
        equal=equal,
        packages=("ase",),
        atoms=start.n_atoms,
        potential=name,
        of_a_bare_call=round(ours / peer, 2),
        limit=LIMIT,
    )
    return equal


def main() -> int:
    """Print all rows; return 1 if dynamics and bare call disagree."""
    torch.set_num_threads(1)
    sound = [
        dynamics(molecule, name) for molecule in MOLECULES for name in ("painn", "factorised_painn")
    ]
    if not all(sound):
        print(json.dumps({"row": "dynamics", "error": "forces in dynamics are not the model's"}))
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main())
