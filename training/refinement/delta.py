"""Learning what a prior lacks: the difference of two levels, and the way back.

R. Ramakrishnan, P. Dral, M. Rupp, A. von Lilienfeld, J. Chem. Theory Comput. 11, 2087 (2015).
"""

from __future__ import annotations

import numpy as np

from ...diversity.conformers import ConformerSet
from ...diversity.errors import DataError
from ...diversity.tables import Labels


def difference_level(level: str, prior_level: str) -> str:
    """Return the name of the level that holds `level` minus `prior_level`."""
    return f"{level}-minus-{prior_level}"


def difference(data: ConformerSet, *, level: str, prior_level: str) -> ConformerSet:
    """Return the set with the level :func:`difference_level` added.

    Energies and forces are there where both levels have them, isolated atoms likewise. Where
    the prior has none, such as a force field, reference energies of the difference are fitted
    like any other's.

    Parameters
    ----------
    data : ConformerSet
    level, prior_level : str

    Raises
    ------
    DataError
        If no conformer has labels of both levels.
    """
    one, other = data.labels(level), data.labels(prior_level)
    has_energy = one.has_energy & other.has_energy
    has_forces = one.has_forces & other.has_forces
    if not (has_energy | has_forces).any():
        raise DataError(
            f"No conformer has labels of both {level!r} and {prior_level!r}: there is no "
            "difference to learn."
        )
    atoms = one.reference_energies.keys() & other.reference_energies.keys()
    labels = Labels(
        energy=np.where(has_energy, one.energy - other.energy, 0.0),
        forces=np.where(has_forces[data.atom_conformer, None], one.forces - other.forces, 0.0),
        has_energy=has_energy,
        has_forces=has_forces,
        reference_energies={
            z: one.reference_energies[z] - other.reference_energies[z] for z in sorted(atoms)
        },
    )
    return data.with_level(difference_level(level, prior_level), labels)


def add_prior(predicted: Labels, data: ConformerSet, *, prior_level: str) -> Labels:
    """Return predictions of a difference with the prior's labels added back.

    Parameters
    ----------
    predicted : Labels
        By :func:`~breadth.training.predict` for the same conformers.
    data : ConformerSet
    prior_level : str

    Returns
    -------
    Labels
        Without a value where the prior has none.
    """
    prior = data.labels(prior_level)
    has_energy = predicted.has_energy & prior.has_energy
    has_forces = predicted.has_forces & prior.has_forces
    there = has_forces[data.atom_conformer, None]
    return Labels(
        energy=np.where(has_energy, predicted.energy + prior.energy, 0.0),
        forces=np.where(there, predicted.forces + prior.forces, 0.0),
        has_energy=has_energy,
        has_forces=has_forces,
    )
