"""Weights that are looked up: in compiled updates by operations whose gradients have one order."""

import operator

import pytest
import torch

from breadth.training import POTENTIALS, build_potential
from breadth.training.potentials.base import N_ELEMENTS
from breadth.training.potentials.elements import ElementTable
from breadth.training.testing import make_batch, random_structure
from breadth.training.updates.step import rest_of


def test_a_product_gives_the_same_rows_and_gradients():
    torch.manual_seed(0)
    table = ElementTable(5).double()
    numbers = torch.tensor([[1, 8, 1, 0], [6, 6, 6, N_ELEMENTS - 1]])
    captured = torch.compile(table, backend="eager", fullgraph=True)
    rows, again = table(numbers), captured(numbers)
    assert torch.equal(rows, again)
    one, other = (torch.autograd.grad(x.square().sum(), table.weight)[0] for x in (rows, again))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", sorted(POTENTIALS))
def test_no_compiled_update_looks_up_rows(name):
    potential = build_potential(name, levels=["a"], n_features=8, n_layers=1, cutoff=4.0)
    batch = make_batch([tuple(x.float() if x.is_floating_point() else x for x in made)
                        for made in (random_structure(4), random_structure(3))])  # fmt: skip
    calls = []

    def backend(graph, inputs):
        calls.extend((node.target, node.args) for node in graph.graph.nodes)
        return graph

    def energies(weights):
        return torch.func.functional_call(potential, weights, (batch,)).energies.sum()

    weights = rest_of(potential) | {n: p.detach() for n, p in potential.named_parameters()}
    torch.compile(energies, backend=backend, fullgraph=True)(weights)
    assert calls, "nothing was captured"
    assert not [args for target, args in calls if "function embedding" in str(target)]
    places = [args[1] for target, args in calls if target is operator.getitem]
    assert not [place for place in places if "[" in str(place)], "an index that names rows"
