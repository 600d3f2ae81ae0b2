"""PaiNN's sums over half lists: against plain sums, both derivatives, and threads."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from breadth.training.batches import HalfList, half_list
from breadth.training.potentials.directed_sums import directed_sum
from breadth.training.testing import make_batch, random_structure

F = 5


@pytest.fixture
def pairs() -> HalfList:
    batch = make_batch([random_structure(n, seed=n) for n in (7, 5)])
    found = half_list(batch, 4.0)
    assert len(found.first) > 10
    return found


def inputs(pairs: HalfList, carried: bool) -> list[Tensor]:
    """Return filters, directions, gates and vectors."""
    torch.manual_seed(0)
    n, c = len(pairs.first), 3 if carried else 2
    shapes = ((n, c, F), (n, 3), (2 * 7, c, F), (2 * 7, 3 if carried else 0, F))
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


@pytest.mark.parametrize("carried", [False, True])
def test_sums_and_their_two_derivatives(pairs, carried):
    w, u, y, v = inputs(pairs, carried)
    scalars = torch.zeros(len(y), F, dtype=y.dtype)
    vectors = v.detach().clone() if carried else torch.zeros(len(y), 3, F, dtype=y.dtype)
    for p, (first, second) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        for i, j, sign in ((first, second, 1), (second, first, -1)):
            a, b, *c = (w[p] * y[j]).detach()
            scalars[i] += a
            vectors[i] += b * sign * u[p, :, None].detach()
            if carried:
                vectors[i] += c[0] * v[j].detach()

    def f(*x: Tensor) -> tuple[Tensor, Tensor]:
        return directed_sum(pairs, *x)

    torch.testing.assert_close([x.detach() for x in f(w, u, y, v)], [scalars, vectors])
    given = (w, u, y, v) if carried else (w, u, y)
    rest = () if carried else (v.detach(),)
    assert torch.autograd.gradcheck(lambda *x: f(*x, *rest), given, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *x: f(*x, *rest), given, fast_mode=True)


def test_threads_change_no_number(pairs):
    middle = int(torch.searchsorted(pairs.first, 7))
    shared = replace(pairs, bounds=(0, middle, len(pairs.first)))
    found = []
    for each in (pairs, shared):
        x = inputs(pairs, True)
        sums = directed_sum(each, *x)
        total = sum(s.square().sum() for s in sums)
        first = torch.autograd.grad(total, x, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), x)
        found.append([*sums, *first, *second])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
