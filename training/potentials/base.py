"""What every potential is: per-atom energies from a batch, and their derivatives."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...diversity.conformers import ConformerSet
from ...diversity.errors import ConfigurationError
from ..batches import Batch, HalfList, Neighbours, half_list, neighbours
from ..profiling import stage

#: Size of tables by atomic number: 0 is padding, 118 the last element.
N_ELEMENTS = 119


class AtomicOutput(NamedTuple):
    """What a potential says about each atom.

    Attributes
    ----------
    energies : Tensor, shape (B, N)
        Energy above the reference energy of the atom's element, eV; zero for padding.
    features : Tensor, shape (B, N, F)
        Invariant features from which the energies are read.
    """

    energies: Tensor
    features: Tensor


class Potential(nn.Module, ABC):
    """A map from structures to per-atom energies, with a head for each level of theory.

    The energy of a structure at a level is Σ_i (ε(Z_i) + σ y_i): y_i is the head's output, of
    order one; σ the scale of the level, in eV, the root mean square force of the training set
    times 1 Å; ε the level's reference energies. σ y_i is kept in the precision of the weights,
    ε in float64 and added last, so that float32 weights lose nothing to large total energies.

    Parameters
    ----------
    cutoff : float
        In Å.
    levels : sequence of str
        Levels of theory; the first is the one used where none is named.
    n_features : int
        F, width of the invariant features.
    """

    def __init__(self, *, cutoff: float, levels: Sequence[str], n_features: int) -> None:
        super().__init__()
        if not cutoff > 0:
            raise ConfigurationError(f"The cutoff must be above 0 Å, not {cutoff}.")
        if not levels or len(set(levels)) != len(levels):
            raise ConfigurationError("A potential needs levels of theory, each named once.")
        self.cutoff = float(cutoff)
        #: Cutoffs in Å that it was trained at, ends included; others are extrapolation.
        self.cutoff_range = (self.cutoff, self.cutoff)
        self.levels = tuple(levels)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(n_features, n_features), nn.SiLU(), nn.Linear(n_features, 1))
            for _ in self.levels
        )
        n = len(self.levels)
        self.register_buffer("scales", torch.ones(n))
        self.register_buffer("references", torch.zeros(n, N_ELEMENTS, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(n, N_ELEMENTS, dtype=torch.bool))
        self.register_buffer("anchored", torch.zeros(n, N_ELEMENTS, dtype=torch.bool))

    #: Most atoms of a batch of predictions, padding included: bounds their memory.
    atoms_per_batch: ClassVar[int] = 2048
    #: Whether `represent` takes half lists too, which are fastest on a CPU.
    half_lists: ClassVar[bool] = False

    #: Set by every potential's constructor: its arguments.
    _hyper: dict[str, Any]
    scales: Tensor
    references: Tensor
    seen: Tensor
    anchored: Tensor

    # -- what a potential must say --------------------------------------------------------------

    @abstractmethod
    def represent(self, batch: Batch, pairs: Any, cutoff: float) -> Tensor:
        """Return invariant features (B, N, F) without data-dependent control flow.

        `pairs` are :class:`~breadth.training.Neighbours`, or a `HalfList` where `half_lists`
        says so.
        """

    @abstractmethod
    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""

    def check(self, conformers: ConformerSet) -> None:
        """Raise a DataError where conformers are none that the potential can treat.

        Potentials trained here take all; universal ones know their domain. Called where
        structures come in, once for a set.
        """

    # -- shared ----------------------------------------------------------------------------------

    @property
    def hyper(self) -> dict[str, Any]:
        """Hyper-parameters that rebuild this potential: ``type(self)(**self.hyper)``."""
        return dict(self._hyper)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the hyper-parameters with their default values."""
        return {k: p.default for k, p in inspect.signature(cls).parameters.items()}

    def level_index(self, level: str | None) -> int:
        """Return the head's place for a level; the first where none is named."""
        if level is None:
            return 0
        if level not in self.levels:
            have = ", ".join(map(repr, self.levels))
            raise ConfigurationError(f"The potential has no level {level!r}; it has {have}.")
        return self.levels.index(level)

    def atomic(
        self, batch: Batch, cutoff: float | None = None, level: str | None = None
    ) -> AtomicOutput:
        """Return per-atom energies and features, by whatever is fastest where the batch is.

        Parameters
        ----------
        batch : Batch
        cutoff : float, optional
            In Å; neighbours and envelope move together. By default the trained cutoff.
        level : str, optional
            By default the first.
        """
        radius = self.cutoff if cutoff is None else float(cutoff)
        x = batch.positions
        looped = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
        autocast = torch.is_autocast_enabled("cpu")
        if looped and not autocast and not batch.periodic and self.takes_half_lists(batch, radius):
            pairs = half_list(batch, radius)
            if len(pairs.first):  # or nothing would depend on the positions
                return self._read(batch, pairs, radius, level)
        return self.forward(batch, radius, level)

    def takes_half_lists(self, batch: Batch, cutoff: float) -> bool:
        """Tell whether half lists serve a batch on a CPU; the cutoff is in Å."""
        return self.half_lists

    def forward(
        self, batch: Batch, cutoff: float | None = None, level: str | None = None
    ) -> AtomicOutput:
        """Return the same by tensor operations alone, for `torch.func` and `torch.compile`."""
        radius = self.cutoff if cutoff is None else float(cutoff)
        return self._read(batch, neighbours(batch, radius), radius, level)

    def _read(
        self, batch: Batch, pairs: Neighbours | HalfList, cutoff: float, level: str | None
    ) -> AtomicOutput:
        place = self.level_index(level)
        features = self.represent(batch, pairs, cutoff)
        raw = self.heads[place](features).squeeze(-1) * self.scales[place]
        return AtomicOutput(torch.where(batch.mask, raw, 0.0), features)

    def set_level(
        self, level: str, *, references: Mapping[int, float], scale: float, anchored: Sequence[int]
    ) -> None:
        """Set a level's reference energies (eV), scale (eV), and elements with isolated atoms."""
        place = self.level_index(level)
        with torch.no_grad():
            self.scales[place] = scale
            for table in (self.references, self.seen, self.anchored):
                table[place] = 0
            for z, energy in references.items():
                self.references[place, z] = energy
                self.seen[place, z] = True
            for z in anchored:
                self.anchored[place, z] = True

    def set_cutoff_range(self, low: float, high: float) -> None:
        """Say that it is trained at all cutoffs between two, in Å, its own among them."""
        if not low <= self.cutoff <= high:
            raise ConfigurationError(
                f"Random cutoffs from {low:g} to {high:g} Å leave out the potential's own, "
                f"{self.cutoff:g} Å, at which it is validated and used by default: widen the "
                "range or move the cutoff."
            )
        self.cutoff_range = (float(low), float(high))

    def energies_are_absolute(self, numbers: Any, level: str | None = None) -> bool:
        """Tell whether energies of structures with these elements compare between molecules.

        True where every element was in the training set and had an isolated atom of the level.
        Otherwise only forces and energy differences between conformers of a molecule mean
        anything.
        """
        zs = np.unique(np.asarray(numbers, dtype=np.int64))
        place = self.level_index(level)
        known = (self.anchored[place] & self.seen[place]).cpu().numpy()
        return bool(known[zs[zs > 0]].all())

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Potential:
        # A cast of the weights must not cost total energies their digits.
        exact = self.references
        super()._apply(fn, recurse)
        self.references = exact.to(self.references.device)
        return self


def _residual(
    potential: Potential,
    parameters: Mapping[str, Tensor] | None,
    batch: Batch,
    cutoff: float | None,
    level: str | None,
) -> Tensor:
    if parameters is None:
        return potential.atomic(batch, cutoff, level).energies.sum(1)
    output = torch.func.functional_call(potential, dict(parameters), (batch, cutoff, level))
    return output.energies.sum(1)


def reference_sum(
    potential: Potential,
    batch: Batch,
    level: str | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the sum of reference energies of each structure, eV, float64, shape (B,)."""
    tables = (parameters or {}).get("references", potential.references)
    table = tables[potential.level_index(level)]
    return (table[batch.numbers] * batch.mask).sum(1)


def energy_and_forces(
    potential: Potential,
    batch: Batch,
    cutoff: float | None = None,
    level: str | None = None,
    *,
    parameters: Mapping[str, Tensor] | None = None,
    differentiable: bool = False,
    references: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return energies and their negative gradient.

    Parameters
    ----------
    potential : Potential
    batch : Batch
    cutoff : float, optional
        In Å.
    level : str, optional
    parameters : mapping of str to Tensor, optional
        Parameters and buffers to use instead of the potential's own. The derivative is then a
        pure function, for `torch.func.grad` and `torch.func.vmap` over stacked parameters.
    differentiable : bool
        Keep the graph of the forces, for a loss on them.
    references : bool
        Add the reference energies, in float64. A loss leaves them out.

    Returns
    -------
    energies : Tensor, shape (B,)
        In eV; float64 with references.
    forces : Tensor, shape (B, N, 3)
        In eV/Å.
    """
    if parameters is not None:

        def total(x: Tensor) -> tuple[Tensor, Tensor]:
            with stage("forward"):
                e = _residual(potential, parameters, batch.with_positions(x), cutoff, level)
            return e.sum(), e

        with stage("forces"):
            gradient, energies = torch.func.grad(total, has_aux=True)(batch.positions)
    else:
        with torch.enable_grad():
            x = batch.positions.detach().requires_grad_()
            with stage("forward"):
                energies = _residual(potential, None, batch.with_positions(x), cutoff, level)
            with stage("forces"):
                (gradient,) = torch.autograd.grad(energies.sum(), x, create_graph=differentiable)
        if not differentiable:
            energies = energies.detach()
    if references:
        energies = energies.double() + reference_sum(potential, batch, level, parameters)
    return energies, -gradient


def energy_forces_stress(
    potential: Potential, batch: Batch, cutoff: float | None = None, level: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return energies, forces and the stress of periodic structures.

    The stress is the derivative of the energy by a symmetric strain of positions and cell, over
    the volume: ASE's sign.

    Returns
    -------
    energies : Tensor of float64, shape (B,)
    forces : Tensor, shape (B, N, 3)
    stress : Tensor, shape (B, 3, 3)
        In eV/Å³; zero for structures that are not periodic in three directions.
    """
    with torch.enable_grad():
        x = batch.positions.detach().requires_grad_()
        strain = torch.zeros_like(batch.cell).requires_grad_()
        deform = 0.5 * (strain + strain.transpose(1, 2))
        strained = batch.with_positions(x + x @ deform, batch.cell + batch.cell @ deform)
        energies = potential.atomic(strained, cutoff, level).energies.sum(1)
        gradient, virial = torch.autograd.grad(energies.sum(), (x, strain))
    volume = torch.linalg.det(batch.cell).abs()[:, None, None]
    solid = batch.pbc.all(1)[:, None, None]
    stress = torch.where(solid, virial / torch.where(solid, volume, 1.0), 0.0)
    total = energies.detach().double() + reference_sum(potential, batch, level)
    return total, -gradient, stress
