"""A trained potential as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .batches import Batch
from .potentials import Potential, energy_and_forces, energy_forces_stress


class PotentialCalculator(Calculator):
    """Energies (eV), forces (eV/Å) and, for three-dimensional crystals, stress (eV/Å³).

    Parameters
    ----------
    potential : Potential
        Computed with in its own precision, on its own device.
    level : str, optional
        Level of theory; the potential's first by default.
    cutoff : float, optional
        In Å; the trained one by default.
    **kwargs
        For :class:`ase.calculators.calculator.Calculator`.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        potential: Potential,
        *,
        level: str | None = None,
        cutoff: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.potential, self.level, self.cutoff = potential, level, cutoff

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties at once; ASE asks for them by name."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        batch = _batch(self.atoms, next(self.potential.parameters()))
        if self.atoms.pbc.all():
            energies, forces, stress = energy_forces_stress(
                self.potential, batch, self.cutoff, self.level
            )
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress[0].double().cpu().numpy())
        else:
            energies, forces = energy_and_forces(self.potential, batch, self.cutoff, self.level)
        energy = float(energies[0])
        self.results.update(
            energy=energy, free_energy=energy, forces=forces[0].double().cpu().numpy()
        )


def _batch(atoms: Atoms, like: torch.Tensor) -> Batch:
    def put(array: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=dtype, device=like.device)[None]

    return Batch(
        numbers=put(atoms.numbers, torch.int64),
        positions=put(atoms.positions, like.dtype),
        mask=torch.ones(1, len(atoms), dtype=torch.bool, device=like.device),
        cell=put(atoms.cell.array, like.dtype),
        pbc=put(atoms.pbc, torch.bool),
        charge=put(atoms.info.get("charge", 0), like.dtype),
        periodic=bool(atoms.pbc.any()),
    )
