"""One update as a pure function of tensors, for `torch.compile` and `torch.func.vmap`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from ..batches import Batch, Targets
from ..configuration import TrainingConfig
from ..loss import batch_loss
from ..optimizer import Descent, Rates, StepState
from ..potentials import Potential
from ..profiling import stage

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
    descend = Descent(potential, config, frozen)

    def loss_of(
        weights: Tensor, rest: Mapping[str, Tensor], batch: Batch, targets: Targets
    ) -> Tensor:
        return batch_loss(
            potential,
            batch,
            targets,
            level,
            config,
            differentiable=True,
            conformational=conformational,
            parameters={**rest, **descend.named(weights)},
        )

    def step(
        state: StepState, rest: Mapping[str, Tensor], batch: Batch, targets: Targets, now: Rates
    ) -> tuple[StepState, Tensor]:
        gradient, loss = torch.func.grad_and_value(loss_of)(state.weights, rest, batch, targets)
        with stage("optimizer and mean"):
            return descend(state, gradient, now), loss

    return step


def rest_of(potential: Potential, frozen: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a potential that an update does not change."""
    still = {n: p.detach() for n, p in potential.named_parameters() if n in frozen}
    return still | dict(potential.named_buffers())
