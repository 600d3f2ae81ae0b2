"""Predictions in which every structure has a cutoff of its own, and what a change of it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...diversity.conformers import ConformerSet, Labels
from ...diversity.errors import ConfigurationError
from ...diversity.tables import ragged_index
from ..potentials import Potential
from ..prediction import predict


def predict_at_radii(
    potential: Potential,
    data: ConformerSet,
    radii: np.ndarray | float,
    *,
    level: str | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
) -> Labels:
    """Predict energies and forces, each structure at its own cutoff.

    Parameters
    ----------
    potential : Potential
    data : ConformerSet
    radii : array, shape (n,), or float
        In Å. Structures of one radius are predicted together: few different radii are fast.
    level, batch_size, device
        See :func:`~breadth.training.predict`.

    Returns
    -------
    Labels
        In the order of the set.

    Raises
    ------
    ConfigurationError
        If there is not one radius above 0 Å for each structure.
    """
    n = len(data)
    chosen = np.asarray(radii, dtype=float)
    if chosen.shape not in ((), (n,)) or not np.isfinite(chosen).all() or (chosen <= 0).any():
        raise ConfigurationError(
            f"{n} structures need a radius each, finite and above 0 Å, or one for all."
        )
    chosen = np.broadcast_to(chosen, (n,))
    options = {"level": level, "batch_size": batch_size, "device": device}
    if n == 0 or (chosen == chosen[0]).all():
        cutoff = float(chosen[0]) if n else None
        return predict(potential, data, cutoff=cutoff, **options)  # type: ignore[arg-type]
    energy = np.zeros(n)
    forces = np.zeros((data.n_atoms, 3))
    for radius in np.unique(chosen):
        rows = np.flatnonzero(chosen == radius)
        part = data.select(rows)
        found = predict(potential, part, cutoff=float(radius), **options)  # type: ignore[arg-type]
        energy[rows] = found.energy
        forces[ragged_index(data.offsets, rows)[0]] = found.forces
    return Labels(
        energy=energy,
        forces=forces.astype(found.forces.dtype),
        reference_energies=found.reference_energies,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class ForceJumps:
    """What changes of the radius do along a path, at the geometries where they occur.

    Parameters
    ----------
    frame : array of int64, shape (k,)
        Frames whose radius is not that of the frame before.
    jump : array, shape (k,)
        Mean over atoms of ‖F_i(r) − F_i(r before)‖ at the frame's geometry, eV/Å.
    largest : array, shape (k,)
        The largest of an atom, eV/Å.
    energy : array, shape (k,)
        E(r) − E(r before), eV: what such a change would add to a trajectory's energy.
    n_steps : int
        Steps of the path at which the radius could have changed.
    mean_force : float
        Mean over the path's atoms of ‖F_i‖, eV/Å, to compare with.
    """

    frame: np.ndarray
    jump: np.ndarray
    largest: np.ndarray
    energy: np.ndarray
    n_steps: int
    mean_force: float


def force_jumps(
    potential: Potential, path: ConformerSet, radii: np.ndarray, *, level: str | None = None
) -> ForceJumps:
    """Return how forces jump where the radius changes along a path.

    A radius chosen for each structure alone changes between neighbouring geometries. Forces are
    not the gradient of one energy there: dynamics should keep one radius per molecule.

    Parameters
    ----------
    potential : Potential
    path : ConformerSet
        Frames in order; steps between different molecules or trajectories are none.
    radii : array, shape (n,)
        In Å, such as `RadiusChoice.radius` of a choice per structure.
    level : str, optional
    """
    radii = np.asarray(radii, dtype=float)
    after = predict_at_radii(potential, path, radii, level=level)
    together = (np.diff(path.molecule) == 0) & (np.diff(path.trajectory) == 0)
    frame = np.flatnonzero(together & (np.diff(radii) != 0)) + 1
    part = path.select(frame)
    before = predict_at_radii(potential, part, radii[frame - 1], level=level)
    atoms = ragged_index(path.offsets, frame)[0]
    apart = np.linalg.norm(after.forces[atoms].astype(float) - before.forces, axis=1)
    sums = np.add.reduceat(apart, part.offsets[:-1]) if len(frame) else np.zeros(0)
    peaks = np.maximum.reduceat(apart, part.offsets[:-1]) if len(frame) else np.zeros(0)
    return ForceJumps(
        frame=frame,
        jump=sums / part.counts,
        largest=peaks,
        energy=after.energy[frame] - before.energy,
        n_steps=int(together.sum()),
        mean_force=float(np.linalg.norm(after.forces, axis=1).mean()) if len(path) else 0.0,
    )
