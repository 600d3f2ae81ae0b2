"""Sums over half lists: against plain sums, both derivatives, and threads."""

import os
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from breadth.training import PaiNN, TensorNet, build_potential, energy_and_forces
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


NAMES = ["painn", "schnet", "tensornet"]


def cast(batch: Batch, **to) -> Batch:
    """Cast what is a number, and move all."""
    kinds = ("numbers", "positions", "mask", "cell", "pbc", "charge")
    moved = {name: getattr(batch, name).to(to.get("device")) for name in kinds}
    if "dtype" in to:
        moved |= {name: moved[name].to(to["dtype"]) for name in ("positions", "cell", "charge")}
    return replace(batch, **moved)


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_goes_without_half_lists(batch, name):
    potential = build_potential(name, n_features=8, n_layers=1).bfloat16()
    low = cast(batch, dtype=torch.bfloat16)
    assert torch.equal(potential.atomic(low).energies, potential(low).energies)


@pytest.mark.parametrize("name", NAMES)
def test_other_devices_go_without_half_lists(batch, name):
    potential = build_potential(name, n_features=8, n_layers=1).to("meta")
    output = potential.atomic(cast(batch, device="meta", dtype=torch.float32))
    assert output.energies.shape == batch.numbers.shape


@pytest.mark.parametrize("name", NAMES)
def test_positions_that_are_no_numbers_give_no_numbers(batch, name):
    potential = build_potential(name, n_features=8, n_layers=1).double()
    lost = batch.positions.clone()
    lost[3, 2] = torch.nan
    energies, forces = energy_and_forces(potential, batch.with_positions(lost), references=False)
    assert torch.isnan(energies).tolist() == [False, False, False, True]
    assert torch.isnan(forces[3][batch.mask[3]]).all()
    assert torch.isfinite(forces[:3]).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_threads_of_its_own(batch):
    pairs = half_list(batch, CUTOFF)
    shared = replace(pairs, bounds=(0, 0, len(pairs.first)))  # all pairs to the second thread
    w, x = filters_and_values(len(pairs.first), batch.numbers.numel())
    expected = pair_sum(shared, w, x, PARTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if not child:
        os._exit(0 if torch.equal(pair_sum(shared, w, x, PARTS), expected) else 1)
    end = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def single(batch: Batch) -> Batch:
    parts = {k: getattr(batch, k).float() for k in ("positions", "cell", "charge")}
    return replace(batch, **parts)


def test_far_fragments_keep_their_digits():
    """Second moments about the centre would lose them; TensorNet takes plain lists there."""
    z, x = random_structure(9)
    far = torch.tensor([1000.0, 0, 0], dtype=x.dtype)
    coarse = single(make_batch([(torch.cat([z, z]), torch.cat([x, x + far]))]))
    exactly = replace(coarse, positions=coarse.positions.double(), cell=coarse.cell.double())
    torch.manual_seed(0)
    potential = TensorNet(cutoff=CUTOFF, n_features=8)
    _, forces = energy_and_forces(potential, coarse)
    _, exact = energy_and_forces(potential.double(), exactly)
    assert float((forces - exact).norm() / exact.norm()) < 2e-5


def test_autocast_takes_tensor_operations(batch):
    torch.manual_seed(0)
    potential = PaiNN(cutoff=CUTOFF, n_features=8)
    exact = potential.atomic(single(batch)).energies
    with torch.autocast("cpu", torch.bfloat16):
        coarse = potential.atomic(single(batch)).energies
    torch.testing.assert_close(coarse.float(), exact, rtol=0.1, atol=0.05)
