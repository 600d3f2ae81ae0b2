"""Tensors as nine numbers: against 3 × 3 matrices, and both derivatives."""

import numpy as np
import pytest
import torch

from breadth.training.potentials.tensor_products import BASIS, SHARE, Tensors, fast_product


def values(seed: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=(9, 4, 5)), requires_grad=True)


def matrices(x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("a...,aij->...ij", x, torch.tensor(BASIS))


def test_the_basis_is_orthonormal_and_keeps_parts_apart():
    np.testing.assert_allclose(np.einsum("aij,bij->ab", BASIS, BASIS), np.eye(9), atol=1e-15)
    np.testing.assert_allclose(BASIS[1:4], -BASIS[1:4].transpose(0, 2, 1))
    np.testing.assert_allclose(BASIS[4:], BASIS[4:].transpose(0, 2, 1))
    np.testing.assert_allclose(np.trace(BASIS, axis1=1, axis2=2)[1:], 0, atol=1e-15)


def test_products_are_those_of_matrices():
    x, y = values(0), values(1)
    a, b = matrices(x), matrices(y)
    for found in (Tensors().product(x, y), fast_product(x, y)):
        torch.testing.assert_close(matrices(found), a @ b + b @ a)


def test_fast_products_and_their_derivatives():
    x, y = values(0), values(1)
    assert torch.autograd.gradcheck(fast_product, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(fast_product, (x, y), fast_mode=True)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_change_no_bit(threads):
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(2, 9, 131, 77)).astype(np.float32))  # none divides these
    assert x.numel() // SHARE >= 5, "nothing is shared"
    before = torch.get_num_threads()
    try:
        found = []
        for n in (1, threads):
            torch.set_num_threads(n)
            found.append(fast_product(x, y))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    a, b = matrices(x.double()), matrices(y.double())
    torch.testing.assert_close(matrices(found[0].double()), a @ b + b @ a, rtol=1e-5, atol=1e-4)


def test_vectors_turn_with_the_basis():
    r = torch.tensor(np.random.default_rng(2).normal(size=(6, 3)))
    parts = Tensors().harmonics(r)
    whole = r[:, :, None] * r[:, None, :]
    trace = torch.eye(3, dtype=r.dtype) * r.square().sum(-1)[:, None, None] / 3
    found = torch.einsum("pa,aij->pij", parts[:, 4:], torch.tensor(BASIS[4:]))
    torch.testing.assert_close(found, whole - trace)
    # As an antisymmetric matrix a vector turns all others: [r]× v = r × v, up to the norm.
    turn = torch.einsum("pa,aij->pij", parts[:, 1:4], torch.tensor(BASIS[1:4])) * 2**0.5
    v = torch.tensor([0.3, -1.2, 0.7], dtype=r.dtype)
    torch.testing.assert_close(turn @ v, torch.linalg.cross(r, v.expand_as(r)))
