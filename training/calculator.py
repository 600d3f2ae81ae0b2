"""A trained potential as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ..diversity.conformers import ConformerSet
from ..diversity.errors import BreadthError, DataError
from ..diversity.tables import Molecules
from .batches import Batch
from .potentials import Potential, energy_and_forces, energy_forces_stress
from .splitting import halved


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
        self._batch: Batch | None = None

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return what changed since the last calculation, exactly.

        The comparison of ASE has a tolerance, and takes a tenth of a small potential's time; it
        does not look at the charge in ``atoms.info``, which potentials take.
        """
        last = self.atoms
        if last is None:
            return list(all_changes)
        same = {
            "positions": np.array_equal(last.positions, atoms.positions),
            "numbers": np.array_equal(last.numbers, atoms.numbers),
            "cell": np.array_equal(last.cell.array, atoms.cell.array),
            "pbc": np.array_equal(last.pbc, atoms.pbc),
            "initial_charges": last.info.get("charge", 0) == atoms.info.get("charge", 0),
        }
        return [name for name, unchanged in same.items() if not unchanged]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties at once; ASE asks for them by name.

        Raises
        ------
        DataError
            If a position or cell vector is NaN or infinite in the potential's precision, or the
            atoms lie outside of a universal potential's domain.
        BreadthError
            If the atoms do not fit in memory.
        """
        if atoms is not None:
            self.atoms = atoms.copy()  # without the folder that the base class makes for files
        assert self.atoms is not None
        like = self.potential.scales
        batch, self._batch = self._batch, None  # if anything is refused, nothing is kept
        _check(self.atoms, like.dtype)
        # Between steps of dynamics only positions change; a potential may be cast or moved.
        if (
            batch is None
            or list(system_changes) != ["positions"]
            or (batch.cell.dtype, batch.cell.device) != (like.dtype, like.device)
        ):
            self.potential.check(_as_set(self.atoms))
            batch = _new_batch(self.atoms, like)
        else:
            batch = batch.with_positions(_tensor(self.atoms.positions, like.dtype, like))
        self._batch = batch
        solid, n = bool(self.atoms.pbc.all()), len(self.atoms)
        compute = energy_forces_stress if solid else energy_and_forces

        def too_many(_: int) -> None:
            raise BreadthError(
                f"{n} atoms do not fit in memory. Take a smaller potential or cutoff, or a machine "
                "with more memory."
            )

        energies, forces, *stress = halved(
            lambda _: compute(self.potential, batch, self.cutoff, self.level), 1, too_many
        )
        if solid:
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress[0][0].double().cpu().numpy())
        energy = float(energies[0])
        self.results.update(
            energy=energy, free_energy=energy, forces=forces[0].double().cpu().numpy()
        )


def _tensor(array: Any, dtype: torch.dtype, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(np.asarray(array), dtype=dtype, device=like.device)[None]


def _check(atoms: Atoms, dtype: torch.dtype) -> None:
    """Raise where lists of neighbours would pass over a position or cell that is no number."""
    most = torch.finfo(dtype).max
    for what, x in (("The position of atom", atoms.positions), ("Cell vector", atoms.cell.array)):
        if not np.abs(x).max(initial=0.0) <= most:
            bad = int(np.argmin((np.abs(x) <= most).all(1)))
            kind = str(dtype).removeprefix("torch.")
            raise DataError(f"{what} {bad} is NaN or infinite in {kind}.")


def _as_set(atoms: Atoms) -> ConformerSet:
    state = {
        name: np.array([atoms.info.get(name, default)])
        for name, default in (("charge", 0), ("multiplicity", 1))
    }
    return ConformerSet(
        molecules=Molecules(key=np.array(["atoms"]), **state),
        molecule=np.zeros(1, dtype=np.int64),
        numbers=atoms.numbers,
        positions=atoms.positions,
        offsets=np.array([0, len(atoms)]),
        cell=atoms.cell.array[None],
        pbc=atoms.pbc[None],
    )


def _new_batch(atoms: Atoms, like: torch.Tensor) -> Batch:
    return Batch(
        numbers=_tensor(atoms.numbers, torch.int64, like),
        positions=_tensor(atoms.positions, like.dtype, like),
        mask=torch.ones(1, len(atoms), dtype=torch.bool, device=like.device),
        cell=_tensor(atoms.cell.array, like.dtype, like),
        pbc=_tensor(atoms.pbc, torch.bool, like),
        charge=_tensor(atoms.info.get("charge", 0), like.dtype, like),
        periodic=bool(atoms.pbc.any()),
    )
