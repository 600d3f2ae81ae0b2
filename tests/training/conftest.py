"""A toy world: springs between all atoms, whose energies and forces are known exactly."""

import numpy as np
import pytest
import torch

from breadth.diversity.conformers import ConformerSet
from breadth.diversity.tables import Labels, Molecules
from breadth.training.testing import random_structure

# Two threads on tensors this small wait for each other longer than they work.
torch.set_num_threads(1)

ATOM_ENERGIES = {1: -13.6, 6: -1028.0, 8: -2041.0}


def springs(positions):
    vectors = positions[:, None] - positions[None]
    r = np.sqrt((vectors**2).sum(-1)) + np.eye(len(positions))
    pull = (r - 1.5) * np.exp(-r / 2)
    np.fill_diagonal(pull, 0.0)
    # E = Σ_{i<j} f(r), f' = pull; f by its closed form.
    f = -2 * np.exp(-r / 2) * (r + 0.5)
    np.fill_diagonal(f, 0.0)
    energy = f.sum() / 2
    forces = -((pull / r)[..., None] * vectors).sum(1)
    return energy, forces


def make_set(n_molecules=3, n_conformers=12, seed=0, atoms=True):
    rng = np.random.default_rng(seed)
    numbers, positions, energies, forces, molecule, offsets = [], [], [], [], [], [0]
    for m in range(n_molecules):
        z = np.array([6, 8, 1, 1, 6, 1, 8][: 3 + m % 5])
        start = random_structure(len(z), seed=m)[1].numpy()
        for _ in range(n_conformers):
            x = start + 0.1 * rng.normal(size=start.shape)
            e, f = springs(x)
            numbers.append(z)
            positions.append(x)
            energies.append(e + sum(ATOM_ENERGIES[int(a)] for a in z))
            forces.append(f)
            molecule.append(m)
            offsets.append(offsets[-1] + len(z))
    labels = Labels(
        energy=np.array(energies),
        forces=np.concatenate(forces),
        reference_energies=ATOM_ENERGIES if atoms else {},
    )
    return ConformerSet(
        molecules=Molecules(key=np.array([f"m{i}" for i in range(n_molecules)])),
        molecule=np.array(molecule),
        numbers=np.concatenate(numbers),
        positions=np.concatenate(positions),
        offsets=np.array(offsets),
        levels={"springs": labels},
    )


@pytest.fixture(scope="session")
def toy():
    return make_set()


@pytest.fixture
def make_toy():
    return make_set


@pytest.fixture
def with_prior():
    """Make a set with a prior `soft`: springs of 0.8 the strength, any offset per molecule."""

    def make(offsets=(0.0, 0.0, 0.0), **options):
        data = make_set(n_molecules=3, **options)
        labels = data.labels("springs")
        atoms = np.array([ATOM_ENERGIES[int(z)] for z in data.numbers])
        bound = labels.energy - np.add.reduceat(atoms, data.offsets[:-1])
        soft = Labels(
            energy=0.8 * bound + np.asarray(offsets)[data.molecule], forces=0.8 * labels.forces
        )
        return data.with_level("soft", soft)

    return make
