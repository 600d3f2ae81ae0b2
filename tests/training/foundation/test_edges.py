"""Flat edges of padded batches against ASE's neighbour list."""

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.training.batches import Batch
from breadth.training.potentials.foundation import edges
from breadth.training.testing import make_batch, random_structure


def batch_of(frames: list[Atoms], padding: int = 0) -> Batch:
    n = max(map(len, frames)) + padding
    numbers = torch.zeros(len(frames), n, dtype=torch.int64)
    positions = torch.zeros(len(frames), n, 3, dtype=torch.float64)
    for row, atoms in enumerate(frames):
        numbers[row, : len(atoms)] = torch.tensor(atoms.numbers)
        positions[row, : len(atoms)] = torch.tensor(atoms.positions)
    return Batch(
        numbers=numbers,
        positions=positions,
        mask=numbers > 0,
        cell=torch.tensor(np.stack([atoms.cell.array for atoms in frames])),
        pbc=torch.tensor(np.stack([atoms.pbc for atoms in frames])),
        charge=torch.zeros(len(frames), dtype=torch.float64),
        periodic=any(atoms.pbc.any() for atoms in frames),
    )


def listed(receivers, senders, vectors):
    """Sort edges, so that lists of them compare."""
    rows = np.column_stack([receivers, senders, np.round(vectors, 6) + 0.0])
    return rows[np.lexsort(rows.T[::-1])]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), cutoff=st.floats(1.0, 6.0), padding=st.integers(0, 2))
def test_edges_are_those_of_ase(seed, cutoff, padding):
    random = np.random.default_rng(seed)
    frames = []
    for pbc in ([True] * 3, [False] * 3, [True, False, True]):
        z, x = random_structure(int(random.integers(1, 6)), seed=seed)
        cell = np.diag(random.uniform(2.5, 6.0, 3)) + random.uniform(-0.5, 0.5, (3, 3))
        atoms = Atoms(z.numpy(), x.numpy() + random.normal(scale=4.0, size=3), cell=cell, pbc=pbc)
        frames.append(atoms)
    batch = batch_of(frames, padding)
    found = edges(batch, cutoff)
    assert found.numbers.tolist() == [int(z) for atoms in frames for z in atoms.numbers]
    begin, expected = 0, []
    for atoms in frames:
        i, j, vectors = neighbor_list("ijD", atoms, cutoff)
        expected.append(listed(i + begin, j + begin, vectors))
        begin += len(atoms)
    expected = np.concatenate(expected)
    np.testing.assert_allclose(
        listed(found.receivers, found.senders, found.vectors.numpy()), expected, atol=2e-6
    )
    cells = batch.cell[found.edge_structure]
    again = found.positions[found.senders] - found.positions[found.receivers]
    again = again + torch.einsum("ec,ecx->ex", found.shifts, cells)
    torch.testing.assert_close(again, found.vectors)

    half = edges(batch, cutoff, halves=True)
    both = listed(
        torch.cat([half.receivers, half.senders]),
        torch.cat([half.senders, half.receivers]),
        torch.cat([half.vectors, -half.vectors]).numpy(),
    )
    np.testing.assert_allclose(both, expected, atol=2e-6)


def test_padded_puts_atoms_back():
    batch = make_batch([random_structure(n, seed=n) for n in (2, 9, 1)], padding=1)
    found = edges(batch, 6.0)
    back = found.padded(found.positions)
    torch.testing.assert_close(back[batch.mask], batch.positions[batch.mask])
    assert back[~batch.mask].abs().max() == 0
    near = found.select(torch.linalg.vector_norm(found.vectors, dim=-1) < 2.5)
    assert 0 < len(near.vectors) < len(found.vectors)


def test_gradients_reach_positions_and_cells():
    z, x = random_structure(4)
    batch = make_batch([(z, x)], cells=[torch.eye(3, dtype=torch.float64) * 4.0])
    positions = batch.positions.clone().requires_grad_()
    cell = batch.cell.clone().requires_grad_()
    torch.autograd.gradcheck(
        lambda p, c: edges(batch.with_positions(p, c), 3.9).vectors, (positions, cell)
    )
