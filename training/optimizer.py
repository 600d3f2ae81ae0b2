"""How a gradient moves the weights: AdamW, and Muon for weight matrices.

An update is a pure function of tensors, for compiled fits and stacks, and has a form that works in
place, for all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from .configuration import TrainingConfig, learning_rate
from .potentials import Potential
from .potentials.elements import ElementTable

#: Of AdamW, as `torch.optim` has them by default.
BETAS, EPSILON = (0.9, 0.999), 1e-8
#: Of Muon: its momentum, and the iteration a X + b (XXᵀ) X + c (XXᵀ)² X, made so many times.
MOMENTUM, NEWTON_SCHULZ, N_ITERATIONS = 0.95, (3.4445, -4.7750, 2.0315), 5


class StepState(NamedTuple):
    """All that an update changes: each a tensor of shape (n,), n the number of moving weights.

    Attributes
    ----------
    weights : Tensor
        In the order of :attr:`Descent.names`.
    mean : Tensor
        Their running mean.
    first, second : Tensor
        Running means of the gradient and of its square; the latter is AdamW's alone.
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
        _kept(config, update),
        1 - BETAS[0] ** (update + 1),
        1 - BETAS[1] ** (update + 1),
    )
    return Rates(*torch.tensor(values, device=device).unbind())


def _kept(config: TrainingConfig, update: int) -> float:
    # Early on the mean of all weights so far, or it would remember the initial ones.
    return min(config.ema_decay, (1 + update) / (10 + update))


class Descent:
    """What a gradient does to the weights.

    The gradient is clipped, weights decay, and AdamW moves them. With ``optimizer: muon`` weight
    matrices move otherwise: by the momentum of their gradient, its singular values brought near
    one, scaled so that a step is as long as one of AdamW. Rows for elements are no matrix in this
    sense, nor are the vectors that make energies of features.

    Parameters
    ----------
    potential : Potential
        Its form is used, and not its weights.
    config : TrainingConfig
    frozen : collection of str
        Names of parameters that stay.

    Attributes
    ----------
    names : tuple of str
        Parameters that move, in the order of :class:`StepState`: those of AdamW come first, then
        matrices, those of one shape together, so that they are one batched product.
    n_adamw : int
        Number of weights that AdamW moves.

    Notes
    -----
    Muon: K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/, with the scale of
    J. Liu et al., arXiv:2502.16982; for interatomic potentials see arXiv:2607.02499.
    """

    def __init__(
        self, potential: Potential, config: TrainingConfig, frozen: Collection[str] = ()
    ) -> None:
        self.config = config
        moving = {n: p.shape for n, p in potential.named_parameters() if n not in frozen}
        matrices = matrices_of(potential) if config.optimizer == "muon" else frozenset()
        alike: dict[torch.Size, list[str]] = {}
        for name in moving:
            if name in matrices:
                alike.setdefault(moving[name], []).append(name)
        others = [name for name in moving if name not in matrices]
        self.names = (*others, *itertools.chain(*alike.values()))
        self.shapes = [moving[name] for name in self.names]
        self.n_adamw = begin = sum(moving[name].numel() for name in others)
        self._groups: list[tuple[slice, tuple[int, ...]]] = []
        for shape, names in alike.items():
            end = begin + len(names) * shape.numel()
            self._groups.append((slice(begin, end), (len(names), *shape)))
            begin = end

    def flat(self, potential: Potential) -> Tensor:
        """Return the moving weights of a potential of this form, shape (n,)."""
        return torch.cat([potential.get_parameter(name).detach().flatten() for name in self.names])

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, as views of all moving weights (n,)."""
        parts = flat.split([shape.numel() for shape in self.shapes])
        views = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return dict(zip(self.names, views, strict=True))

    def __call__(self, state: StepState, gradient: Tensor, now: Rates) -> StepState:
        """Return the next state: a pure function of tensors."""
        n, config = self.n_adamw, self.config
        norm = gradient.square().sum().sqrt()
        gradient = gradient * (config.clip / (norm + 1e-12)).clamp(max=1.0)
        first = torch.lerp(state.first[:n], gradient[:n], 1 - BETAS[0])
        second = state.second[:n] * BETAS[1] + gradient[:n].square() * (1 - BETAS[1])
        size = (second / now.unbiased_second).sqrt() + EPSILON
        firsts, steps = [first], [(first / now.unbiased_first) / size]
        for where, shape in self._groups:
            momentum = torch.lerp(state.first[where], gradient[where], 1 - MOMENTUM)
            ahead = torch.lerp(gradient[where], momentum, MOMENTUM)
            firsts.append(momentum)
            steps.append(_muon_step(ahead.view(shape)).flatten())
        weights = state.weights * (1 - now.learning_rate * config.weight_decay)
        weights = weights - now.learning_rate * torch.cat(steps)
        mean = weights + now.kept * (state.mean - weights)
        second = torch.cat([second, state.second[n:]])
        return StepState(weights, mean, torch.cat(firsts), second)

    @torch.no_grad()
    def change(self, state: StepState, gradient: Tensor, update: int) -> None:
        """Make the same update in place, which takes a fraction of the time on a CPU.

        Parameters
        ----------
        state : StepState
        gradient : Tensor, shape (n,)
            Changed as well.
        update : int
            Counted from 0.
        """
        n, config, rate = self.n_adamw, self.config, learning_rate(self.config, update)
        gradient *= (config.clip / (torch.linalg.vector_norm(gradient) + 1e-12)).clamp(max=1.0)
        adamw(
            [state.weights[:n]],
            [gradient[:n]],
            [state.first[:n]],
            [state.second[:n]],
            [],
            [torch.full((), float(update), device=gradient.device)],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=config.weight_decay,
            eps=EPSILON,
            maximize=False,
        )
        for where, shape in self._groups:
            momentum = state.first[where].lerp_(gradient[where], 1 - MOMENTUM)
            step = _muon_step(gradient[where].lerp_(momentum, MOMENTUM).view(shape))
            weights = state.weights[where].mul_(1 - rate * config.weight_decay)
            weights.sub_(step.flatten(), alpha=rate)
        state.mean.lerp_(state.weights, 1 - _kept(config, update))


def _muon_step(momentum: Tensor) -> Tensor:
    return orthogonal(momentum) * (0.2 * max(momentum.shape[-2:]) ** 0.5)


def orthogonal(x: Tensor) -> Tensor:
    """Return matrices (…, m, n) with their singular values brought near one, to about 0.7…1.2.

    The gains of the small ones are bounded: what is below a thousandth of the norm stays small.
    """
    a, b, c = NEWTON_SCHULZ
    turned = x.shape[-2] > x.shape[-1]
    if turned:
        x = x.mT
    x = x / (x.square().sum((-2, -1), keepdim=True).sqrt() + 1e-7)
    for _ in range(N_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if turned else x


def matrices_of(potential: Potential) -> frozenset[str]:
    """Return the names of parameters that map features to features."""
    tables = [n for n, m in potential.named_modules() if isinstance(m, ElementTable)]
    return frozenset(
        name
        for name, p in potential.named_parameters()
        if p.dim() == 2 and min(p.shape) > 1 and name.rpartition(".")[0] not in tables
    )
