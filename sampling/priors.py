"""Priors that are worse than they claim: the controls of a refinement by cheap labels.

A prior helps by what it knows of the system at hand. Labels with their sign turned round are as
smooth, as large and as consistent as the prior's own, and say the opposite; labels with noise say
the same less clearly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..diversity.conformers import ConformerSet, Labels
from ..diversity.errors import ConfigurationError
from ..diversity.randomness import generator


def inverted(labels: Labels) -> Labels:
    """Return labels with the sign of energies, forces and stresses turned round.

    A model that was *trained* on such labels would lose nothing, for its head can turn the sign
    back: the control is a prior that tells the truth in training and the opposite at test time.

    Parameters
    ----------
    labels : Labels
        Of any level; reference energies are turned with the rest.
    """
    return replace(
        labels,
        energy=-labels.energy,
        forces=-labels.forces,
        stress=None if labels.stress is None else -labels.stress,
        reference_energies={z: -e for z, e in labels.reference_energies.items()},
    )


def noisy(conformers: ConformerSet, level: str, *, share: float, seed: int) -> Labels:
    """Return the labels of a level with normal noise, each conformer's on its own stream.

    Parameters
    ----------
    conformers : ConformerSet
    level : str
        With labels of it.
    share : float
        Standard deviation of the noise: of forces in root mean square force components of the
        level in this set; of energies in the same number of eV.
    seed : int

    Raises
    ------
    ConfigurationError
        If the share is negative or not finite.
    """
    if not (np.isfinite(share) and share >= 0):
        raise ConfigurationError(f"share = {share}: noise is 0 or more times the forces' size.")
    labels = conformers.labels(level)
    there = labels.has_forces[conformers.atom_conformer]
    size = share * float(np.sqrt(np.mean(labels.forces[there] ** 2))) if there.any() else 0.0
    energy, forces = labels.energy.copy(), labels.forces.astype(np.float64)
    for i, name in enumerate(conformers.id.astype("U32").tolist()):
        stream = generator(seed, "noisy prior", name)
        at = conformers.atoms_slice(i)
        if labels.has_energy[i]:
            energy[i] += size * stream.standard_normal()
        if labels.has_forces[i]:
            forces[at] += size * stream.standard_normal((at.stop - at.start, 3))
    return replace(labels, energy=energy, forces=forces)
