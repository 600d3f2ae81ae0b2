"""The loss on energies and forces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .batches import Batch, FrameStore, Targets
from .potentials import Potential, energy_and_forces
from .potentials.base import reference_sum
from .profiling import stage
from .splitting import Parts

#: Below this error, in units of σ, the loss is a parabola: its gradient fades with the error.
SMOOTH = 0.01


class LossWeights(Protocol):
    """What has weights of the two parts of the loss: the configurations have."""

    @property
    def energy_weight(self) -> float:
        """w_E."""

    @property
    def force_weight(self) -> float:
        """w_F."""


def batch_loss(
    potential: Potential,
    batch: Batch,
    targets: Targets,
    level: str,
    config: LossWeights,
    *,
    differentiable: bool,
    conformational: bool = False,
    cutoff: float | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return w_E ⟨|ΔE| / (√N σ)⟩ + w_F ⟨‖ΔF_i‖ / σ⟩, with |x| smoothed to √(x² + SMOOTH²).

    The first mean is over structures with energies, the second over atoms of structures with
    forces; σ is the scale of the level, in eV and eV/Å. Errors of energies grow like √N where
    atoms err independently, so that sizes count alike.

    Parameters
    ----------
    potential : Potential
    batch, targets : Batch, Targets
    level : str
    config : LossWeights
    differentiable : bool
        Keep the graph, for gradients of the loss.
    conformational : bool
        Take the mean of each molecule in the batch off ΔE: what an energy is worth of which only
        differences between conformers mean something, such as a force field's. A molecule that
        stands in the batch once then teaches by its forces alone.
    cutoff : float, optional
        In Å; the potential's own by default.
    parameters : mapping of str to Tensor, optional
        Parameters and buffers to use instead of the potential's own; the loss is then a pure
        function of them.
    """
    energies, forces = energy_and_forces(
        potential,
        batch,
        cutoff,
        level,
        parameters=parameters,
        differentiable=differentiable,
        references=False,
    )
    with stage("loss"):
        return loss_of(
            energies,
            forces,
            potential,
            batch,
            targets,
            level,
            config,
            conformational=conformational,
            parameters=parameters,
        )


def loss_of(
    energies: Tensor,
    forces: Tensor,
    potential: Potential,
    batch: Batch,
    targets: Targets,
    level: str,
    config: LossWeights,
    *,
    conformational: bool = False,
    parameters: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the loss of energies (B,) above the references, eV, and forces (B, N, 3), eV/Å.

    As :func:`batch_loss` defines it, which computes both.
    """
    scales = (parameters or {}).get("scales", potential.scales)
    scale = scales[potential.level_index(level)]
    above = targets.energy - reference_sum(potential, batch, level, parameters)
    if conformational:
        # In float64: references that were never fitted may leave hundreds of eV.
        wrong = _without_means(energies.double() - above, targets).to(energies.dtype)
    else:
        wrong = energies - above.to(energies.dtype)
    wrong = wrong / (scale * batch.mask.sum(1).sqrt())
    off = (forces - targets.forces) / scale
    loss_e = _mean(wrong.square(), targets.has_energy)
    loss_f = _mean(off.square().sum(-1), targets.has_forces[:, None] & batch.mask)
    return config.energy_weight * loss_e + config.force_weight * loss_f


def _without_means(x: Tensor, targets: Targets) -> Tensor:
    """Take each molecule's mean over its structures with energies off, shape (B,)."""
    same = targets.molecule[:, None] == targets.molecule
    same = (same & targets.has_energy).to(x.dtype)
    return x - same @ x / same.sum(1).clamp(min=1)


def _mean(squares: Tensor, there: Tensor) -> Tensor:
    sizes = torch.where(there, (squares + SMOOTH**2).sqrt(), 0.0)
    return sizes.sum() / there.sum().clamp(min=1)


def mean_loss(
    potential: Potential,
    store: FrameStore,
    level: str,
    config: LossWeights,
    *,
    conformational: bool = False,
    at_once: int = 64,
) -> float:
    """Return the loss of all frames of a store, batches of 64 or fewer weighted by their sizes.

    Energies and forces of a batch are computed in parts of at most `at_once` structures, fewer
    where they do not fit in memory, which changes the loss by rounding alone.
    """

    def outputs(batch: Batch) -> tuple[Tensor, Tensor]:
        return energy_and_forces(potential, batch, level=level, references=False)

    parts = Parts(store, outputs, at_once)
    total = 0.0
    many = max(1, min(64, potential.atoms_per_batch // int(store.counts.max())))
    for start in range(0, len(store), many):
        rows = np.arange(start, min(start + many, len(store)))
        batch, targets = store.labelled(rows)
        energies, forces = [], []
        for _, _, (e, f) in parts(rows):
            energies.append(e)
            forces.append(pad(f, (0, 0, 0, batch.mask.shape[1] - f.shape[1])))
        loss = loss_of(
            torch.cat(energies),
            torch.cat(forces),
            potential,
            batch,
            targets,
            level,
            config,
            conformational=conformational,
        )
        total += float(loss) * len(rows)
    return total / len(store)
