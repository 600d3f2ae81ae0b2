"""The forms of an update that every potential must have: pure, stacked, and one graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ..batches import Batch, Targets
from ..configuration import TrainingConfig
from ..optimizer import Descent, StepState, rates
from ..potentials import Potential, energy_and_forces
from ..stacks.state import StackTensors
from ..stacks.updates import stacked_step
from ..updates.compilation import one_graph
from ..updates.step import pure_step, rest_of
from .structures import make_batch, random_structure


class FormsContract(ABC):
    """Inherited by the contract of potentials."""

    @abstractmethod
    def build(self, levels: Sequence[str] = ("default",)) -> Potential:
        """Return a fresh potential; the random state is set before."""

    def make(self, seed: int = 0, levels: Sequence[str] = ("default",)) -> Potential:
        """Return a potential in double precision with scale and reference energies that count."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            potential = self.build(levels).double().eval()
        for i, level in enumerate(levels):
            potential.set_level(
                level,
                references={1: -13.6 - i, 6: -1028.0, 7: -1483.0, 8: -2041.0},
                scale=1.5 + i,
                anchored=[1, 6, 7, 8],
            )
        return potential

    def test_a_loss_on_forces_has_one_gradient(self) -> None:
        """By what is fastest here, and by tensor operations alone."""
        potential = self.make()
        batch = make_batch([random_structure(n, seed=n) for n in (9, 1, 5)], padding=2)
        own = dict(potential.named_parameters())
        rest = dict(potential.named_buffers())

        def loss(energies: Tensor, forces: Tensor) -> Tensor:
            return energies.square().sum() + forces.square().sum()

        found = torch.autograd.grad(
            loss(*energy_and_forces(potential, batch, differentiable=True)),
            list(own.values()),
            materialize_grads=True,
        )

        def pure(parameters: dict[str, Tensor]) -> Tensor:
            return loss(*energy_and_forces(potential, batch, parameters={**rest, **parameters}))

        expected = torch.func.grad(pure)({k: v.detach() for k, v in own.items()})
        for gradient, other in zip(found, expected.values(), strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-8, atol=1e-9)

    def test_stacked_equals_alone(self) -> None:
        potentials = [self.make(seed) for seed in (0, 1)]
        stacked = {
            name: torch.stack([dict(_tensors(p))[name] for p in potentials])
            for name, _ in _tensors(potentials[0])
        }
        batch = make_batch([random_structure(n, seed=n) for n in (8, 5)])
        energies, forces = torch.func.vmap(
            lambda parameters: energy_and_forces(potentials[0], batch, parameters=parameters)
        )(stacked)
        for row, potential in enumerate(potentials):
            e, f = energy_and_forces(potential, batch)
            torch.testing.assert_close(energies[row], e, rtol=0, atol=1e-8)
            torch.testing.assert_close(forces[row], f, rtol=0, atol=1e-9)

    def test_stacked_updates_equal_those_alone(self) -> None:
        potentials = [self.make(seed) for seed in (0, 1)]
        potentials[1].set_level(
            "default", references={1: -13.0, 6: -1020.0, 7: -1480.0, 8: -2040.0}, scale=0.7,
            anchored=[1, 6],
        )  # fmt: skip
        sizes = ((7, 5), (4, 6))
        config = TrainingConfig(learning_rate=1e-3, weight_decay=0.1, ema_decay=0.5, device="cpu")
        step = pure_step(potentials[0], "default", config)
        states = [_first_state(potential, config) for potential in potentials]
        # A member that does not move stays as it is, whatever the others do.
        still = _first_state(self.make(2), config)
        parts = [torch.stack(own) for own in zip(*states, still, strict=True)]
        moving = torch.tensor([True, True, False])
        stack = StackTensors(*parts, moving, torch.zeros(3, dtype=torch.int64))  # type: ignore[call-arg]
        rests = [rest_of(potential) for potential in (*potentials, potentials[0])]
        rest = {name: torch.stack([own[name] for own in rests]) for name in rests[0]}
        structures = [[random_structure(n, seed=n) for n in own] for own in (*sizes, sizes[0])]
        together = make_batch([one for own in structures for one in own])
        for update in range(3):
            now = rates(config, update)
            stack, losses = stacked_step(step)(stack, rest, together, _targets(together), now)
            for row, (state, own) in enumerate(zip(states, structures[:-1], strict=True)):
                batch = make_batch(own)
                targets = _targets(batch)
                states[row], loss = step(state, rest_of(potentials[row]), batch, targets, now)
                torch.testing.assert_close(losses[row], loss, rtol=1e-10, atol=0)
        for row, (state, potential) in enumerate(zip(states, potentials, strict=True)):
            assert not torch.equal(state.weights, _first_state(potential, config).weights)
            for mine, alone in zip(stack, state, strict=False):
                torch.testing.assert_close(mine[row], alone, rtol=0, atol=1e-8)
        for mine, before in zip(stack, still, strict=False):
            assert torch.equal(mine[-1], before)
        assert stack.done.tolist() == [3, 3, 0]

    def test_an_update_is_one_graph(self) -> None:
        potential = self.make()
        config = TrainingConfig(device="cpu")
        step = pure_step(potential, "default", config)
        batch = make_batch([random_structure(n, seed=n) for n in (7, 4)])
        given = (rest_of(potential), batch, _targets(batch), rates(config, 0))
        captured = one_graph(step, "eager")(_first_state(potential, config), *given)
        plain = step(_first_state(potential, config), *given)
        torch.testing.assert_close(captured, plain, rtol=1e-9, atol=1e-9)


def _tensors(potential: Potential) -> list[tuple[str, Tensor]]:
    return [*potential.named_parameters(), *potential.named_buffers()]


def _first_state(potential: Potential, config: TrainingConfig) -> StepState:
    weights = Descent(potential, config).flat(potential)
    return StepState(weights, weights.clone(), *torch.zeros(2, len(weights)).to(weights).unbind())


def _targets(batch: Batch) -> Targets:
    """Return labels that a potential must learn: of springs to the origin, E = Σ x²/2 − 1000 eV."""
    n = len(batch.numbers)
    there = batch.mask[..., None]
    return Targets(
        energy=(batch.positions.square() * there).sum((1, 2)).double() / 2 - 1000.0,
        forces=-batch.positions * there,
        has_energy=torch.ones(n, dtype=torch.bool),
        has_forces=torch.ones(n, dtype=torch.bool),
        molecule=torch.zeros(n, dtype=torch.int64),
    )
