"""Conformers as ASE's atoms, and a label engine as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from ase.stress import full_3x3_to_voigt_6_stress

from ..diversity.conformers import ConformerSet
from ..diversity.errors import DataError
from ..diversity.protocols import LabelEngine


def one_conformer(conformers: ConformerSet, what: str) -> ConformerSet:
    """Return a set of one conformer without labels or extras; raise `DataError` for any other."""
    if len(conformers) != 1:
        raise DataError(
            f"{what} starts from one conformer, and the set holds {len(conformers)}. "
            "Give one at a time."
        )
    return replace(conformers, levels={}, frame_extras={}, atom_extras={})


def bare_atoms(conformers: ConformerSet, i: int = 0) -> Atoms:
    """Return one conformer as `Atoms` with nothing but its cell, charge and spin.

    ``info`` holds `charge` and `spin` (2S + 1); calculators that read initial charges and magnetic
    moments are to be given theirs by the caller.
    """
    at = conformers.atoms_slice(i)
    atoms = Atoms(
        numbers=conformers.numbers[at],
        positions=conformers.positions[at].astype(np.float64),
        cell=conformers.cell[i],
        pbc=conformers.pbc[i],
    )
    atoms.info.update(charge=int(conformers.charge[i]), spin=int(conformers.multiplicity[i]))
    return atoms


def frames_of(
    start: ConformerSet, positions: np.ndarray, *, cells: np.ndarray | None = None, **columns: Any
) -> ConformerSet:
    """Return geometries of the one conformer of `start` as a set.

    Parameters
    ----------
    start : ConformerSet
        Of one conformer.
    positions : array, shape (t, N, 3)
        In Å.
    cells : array, shape (t, 3, 3), optional
        The start's by default.
    **columns
        Fields of `ConformerSet`, such as `time` or `frame_extras`; `minimum`, `temperature` and
        `source` are the start's otherwise.

    Returns
    -------
    ConformerSet
        Of t conformers, without the start's labels, which belong to its geometry.
    """
    t, n = np.shape(positions)[:2]
    kept = {name: np.repeat(getattr(start, name), t) for name in ("minimum", "temperature")}
    return ConformerSet(
        molecules=start.molecules,
        molecule=np.repeat(start.molecule, t),
        numbers=np.tile(start.numbers, t),
        positions=np.asarray(positions, dtype=np.float64).reshape(-1, 3),
        offsets=np.arange(t + 1) * n,
        cell=np.repeat(start.cell, t, axis=0) if cells is None else cells,
        pbc=np.repeat(start.pbc, t, axis=0),
        metadata=start.metadata,
        **{"source": np.repeat(start.source, t), **kept, **columns},
    )


class EngineCalculator(Calculator):
    """A label engine as an ASE calculator for one molecule.

    Every call starts afresh, so that results depend on the geometry alone; `tblite.ase.TBLite`
    runs GFN2-xTB faster, since it starts from the last density.

    Parameters
    ----------
    engine : LabelEngine
    conformer : ConformerSet
        The molecule, as a set of one conformer: charge, multiplicity, SMILES.

    Raises
    ------
    ase.calculators.calculator.CalculationFailed
        From a calculation that gave no label; the message is the engine's.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, engine: LabelEngine, conformer: ConformerSet, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.engine = engine
        self.conformer = one_conformer(conformer, "EngineCalculator")

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy and forces, and the stress where the engine has one."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        if not np.array_equal(self.atoms.numbers, self.conformer.numbers):
            raise CalculationFailed("EngineCalculator was made for another molecule")
        if not np.isfinite(self.atoms.positions).all():
            raise CalculationFailed("a position is not finite")
        labels = self.engine(
            frames_of(self.conformer, self.atoms.positions[None], cells=self.atoms.cell.array[None])
        )
        if not (labels.has_energy[0] and labels.has_forces[0]):
            raise CalculationFailed(labels.faults.get(0, f"{self.engine.name} gave no label"))
        energy = float(labels.energy[0])
        self.results.update(energy=energy, free_energy=energy, forces=np.array(labels.forces))
        if labels.stress is not None and labels.has_stress[0]:
            self.results["stress"] = full_3x3_to_voigt_6_stress(labels.stress[0])
        elif "stress" in properties:
            raise PropertyNotImplementedError(f"{self.engine.name} gave no stress")
