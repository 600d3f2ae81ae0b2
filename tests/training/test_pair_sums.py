"""Sums over half lists: against plain sums, both derivatives, and threads."""

import numpy as np
import pytest
import torch

from breadth.training.batches import Batch, half_list, neighbours
from breadth.training.potentials.pair_sums import pair_sum
from breadth.training.testing import make_batch, random_structure

CUTOFF = 4.0
PARTS = (0, 1, 1)


@pytest.fixture
def batch() -> Batch:
    return make_batch([random_structure(n, seed=n) for n in (7, 1, 4, 9)], padding=2)


def filters_and_values(n_pairs: int, n_atoms: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    w = torch.tensor(rng.normal(size=(2, n_pairs, 3)), requires_grad=True)
    return w, torch.tensor(rng.normal(size=(n_atoms, 3, 3)), requires_grad=True)


def test_every_pair_within_the_cutoff_stands_once(batch):
    pairs = half_list(batch, CUTOFF)
    full = neighbours(batch, CUTOFF, "list")
    b, n = batch.numbers.shape
    atoms = torch.arange(b * n).view(b, n, 1).expand_as(full.index)[full.mask]
    others = (torch.arange(b)[:, None, None] * n + full.index)[full.mask]
    expected = {(int(i), int(j)) for i, j in zip(atoms, others, strict=True) if i < j}
    found = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(found) == len(set(found)) > 20
    assert set(found) == expected
    squared, inverse = pairs.distances(batch.positions)
    assert float(squared.max()) < CUTOFF**2
    torch.testing.assert_close(squared * inverse**2, torch.ones_like(squared))


def test_large_structures_have_the_same_pairs(batch, monkeypatch):
    small = half_list(batch, CUTOFF)
    monkeypatch.setattr("breadth.training.batches.DENSE_ATOMS", 2)
    large = half_list(batch, CUTOFF)
    assert torch.equal(small.first, large.first)
    assert torch.equal(small.second, large.second)


def test_sums_and_their_two_derivatives(batch):
    pairs = half_list(batch, CUTOFF)
    w, x = filters_and_values(len(pairs.first), batch.numbers.numel())
    expected = torch.zeros_like(x)
    for p, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        for m, c in enumerate(PARTS):
            expected[i, m] += (w[c, p] * x[j, m]).detach()
            expected[j, m] += (w[c, p] * x[i, m]).detach()
    torch.testing.assert_close(pair_sum(pairs, w, x, PARTS).detach(), expected)

    def f(w, x):
        return pair_sum(pairs, w, x, PARTS)

    assert torch.autograd.gradcheck(f, (w, x), fast_mode=True)
    assert torch.autograd.gradgradcheck(f, (w, x), fast_mode=True)


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_threads_change_no_number(batch, threads):
    alone = half_list(batch, CUTOFF)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shared = half_list(batch, CUTOFF)
    finally:
        torch.set_num_threads(before)
    assert len(shared.bounds) == threads + 1
    assert shared.bounds[0] == 0
    assert shared.bounds[-1] == len(shared.first)
    n = batch.numbers.shape[1]
    for begin, end in zip(shared.bounds[1:-1], shared.bounds[2:], strict=True):
        if 0 < begin < end:  # no structure on both sides
            assert shared.first[begin - 1] // n != shared.first[begin] // n
    w, x = filters_and_values(len(alone.first), batch.numbers.numel())
    sums = [pair_sum(pairs, w, x, PARTS) for pairs in (alone, shared)]
    assert torch.equal(*sums)
    gradients = [torch.autograd.grad(one.square().sum(), (w, x)) for one in sums]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
