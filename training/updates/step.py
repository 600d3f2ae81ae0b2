"""One update as a pure function of tensors, for `torch.compile` and `torch.func.vmap`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..batches import Batch, Targets
from ..configuration import TrainingConfig, learning_rate
from ..loss import batch_loss
from ..potentials import Potential

#: As `torch.optim.AdamW` has them by default.
BETAS, EPSILON = (0.9, 0.999), 1e-8


class StepState(NamedTuple):
    """All that an update changes: each a tensor of shape (n,), n the number of moving weights.

    Attributes
    ----------
    weights : Tensor
        In the order of `named_parameters`, without the frozen.
    mean : Tensor
        Their running mean.
    first, second : Tensor
        Adam's moments.
    """

    weights: Tensor
    mean: Tensor
    first: Tensor
    second: Tensor


class Rates(NamedTuple):
    """What of an update depends on its number alone: scalars, so that no shape depends on it.

    Attributes
    ----------
    learning_rate : Tensor
    kept : Tensor
        Share of the running mean that stays.
    unbiased_first, unbiased_second : Tensor
        1 − β^t, by which Adam divides its moments.
    """

    learning_rate: Tensor
    kept: Tensor
    unbiased_first: Tensor
    unbiased_second: Tensor


def rates(config: TrainingConfig, update: int, device: torch.device | str = "cpu") -> Rates:
    """Return the rates of an update, counted from 0."""
    values = (
        learning_rate(config, update),
        # Early on the mean of all weights so far, or it would remember the initial ones.
        min(config.ema_decay, (1 + update) / (10 + update)),
        1 - BETAS[0] ** (update + 1),
        1 - BETAS[1] ** (update + 1),
    )
    return Rates(*torch.tensor(values, device=device).unbind())


Step = Callable[[StepState, Mapping[str, Tensor], Batch, Targets, Rates], tuple[StepState, Tensor]]


def pure_step(
    potential: Potential,
    level: str,
    config: TrainingConfig,
    *,
    frozen: Collection[str] = (),
    conformational: bool = False,
) -> Step:
    """Return an update as a pure function.

    ``step(state, rest, batch, targets, rates)`` gives the next state and the loss before it.
    `rest` names the tensors that stay: frozen parameters and all buffers, see :func:`rest_of`.
    Nothing of it looks at a value, so that it can be compiled whole, and be mapped over stacked
    states, rests, batches and targets.

    Parameters
    ----------
    potential : Potential
        Its form is used, and not its weights.
    level : str
    config : TrainingConfig
    frozen : collection of str
        Names of parameters that stay.
    conformational : bool
        As :func:`~breadth.training.loss.batch_loss` says.
    """
    named = [(n, p.shape) for n, p in potential.named_parameters() if n not in frozen]
    names, shapes = [n for n, _ in named], [s for _, s in named]
    sizes = [shape.numel() for shape in shapes]

    def loss_of(
        weights: Tensor, rest: Mapping[str, Tensor], batch: Batch, targets: Targets
    ) -> Tensor:
        parts = [w.view(s) for w, s in zip(weights.split(sizes), shapes, strict=True)]
        return batch_loss(
            potential,
            batch,
            targets,
            level,
            config,
            differentiable=True,
            conformational=conformational,
            parameters={**rest, **dict(zip(names, parts, strict=True))},
        )

    def step(
        state: StepState, rest: Mapping[str, Tensor], batch: Batch, targets: Targets, now: Rates
    ) -> tuple[StepState, Tensor]:
        gradient, loss = torch.func.grad_and_value(loss_of)(state.weights, rest, batch, targets)
        norm = gradient.square().sum().sqrt()
        gradient = gradient * (config.clip / (norm + 1e-12)).clamp(max=1.0)
        first = torch.lerp(state.first, gradient, 1 - BETAS[0])
        second = state.second * BETAS[1] + gradient.square() * (1 - BETAS[1])
        weights = state.weights * (1 - now.learning_rate * config.weight_decay)
        size = (second / now.unbiased_second).sqrt() + EPSILON
        weights = weights - now.learning_rate * (first / now.unbiased_first) / size
        mean = weights + now.kept * (state.mean - weights)
        return StepState(weights, mean, first, second), loss

    return step


def rest_of(potential: Potential, frozen: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a potential that an update does not change."""
    still = {n: p.detach() for n, p in potential.named_parameters() if n in frozen}
    return still | dict(potential.named_buffers())
