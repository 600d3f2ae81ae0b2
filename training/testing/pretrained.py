"""What universal potentials with pretrained weights keep beside."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ...diversity.errors import ConfigurationError
from ..potentials import energy_and_forces
from .contract import PotentialContract
from .structures import make_batch, random_structure


class PretrainedContract(PotentialContract):
    """What of the contract applies to universal potentials, whose cutoff and weights are given.

    Their long-range terms reach beyond the cutoff, and they can neither be stacked nor compiled:
    neighbours are lists whose lengths hang on the data.
    """

    test_smooth_at_the_cutoff = None  # type: ignore[assignment]
    test_layouts_agree = None  # type: ignore[assignment]
    test_stacked_equals_alone = None  # type: ignore[assignment]
    test_stacked_updates_equal_those_alone = None  # type: ignore[assignment]
    test_an_update_is_one_graph = None  # type: ignore[assignment]
    test_a_smaller_cutoff_is_smooth_too = None  # type: ignore[assignment]

    def test_only_its_own_cutoff(self) -> None:
        potential = self.make()
        batch = make_batch([random_structure(3)])
        same = energy_and_forces(potential, batch, potential.cutoff)
        torch.testing.assert_close(same, energy_and_forces(potential, batch), rtol=0, atol=0)
        with pytest.raises(ConfigurationError, match="cutoff"):
            potential.atomic(batch, potential.cutoff - 0.5)

    def test_levels_begin_with_the_pretrained_readout(self) -> None:
        with torch.random.fork_rng(devices=[]):
            own = self.build().__class__.own_level  # type: ignore[attr-defined]
            potential = self.build((own, "another")).double().eval()
        assert not potential.seen[1].any()
        batch = make_batch([random_structure(6)])
        e, f = energy_and_forces(potential, batch, level=own, references=False)
        e2, f2 = energy_and_forces(potential, batch, level="another", references=False)
        torch.testing.assert_close((e, f), (e2, f2), rtol=0, atol=0)
        heads = [[p for _, p in head.named_parameters()] for head in potential.heads]
        assert all(a.data_ptr() != b.data_ptr() for a, b in zip(*heads, strict=True))

    def test_forces_are_differentiable_in_the_weights(self) -> None:
        potential = self.make()
        batch = make_batch([random_structure(6), random_structure(4, seed=1)])
        weight = next(p for n, p in potential.named_parameters() if n.startswith("heads.0."))
        direction = torch.randn_like(weight, generator=torch.Generator().manual_seed(0))

        def loss() -> Tensor:
            e, f = energy_and_forces(potential, batch, references=False, differentiable=True)
            return f.square().sum() + e.square().sum()

        def moved(step: float) -> float:
            with torch.no_grad():
                weight.add_(direction, alpha=step)
            return float(loss().detach())

        (gradient,) = torch.autograd.grad(loss(), weight)
        h = 1e-5
        numeric = (moved(h) - moved(-2 * h)) / (2 * h)
        exact = float((gradient * direction).sum())
        assert abs(exact) > 1e-3
        assert abs(exact - numeric) < 1e-4 * abs(exact)
