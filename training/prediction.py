"""Energies and forces of conformers from a potential."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch

from ..diversity.conformers import ConformerSet, Labels
from ..diversity.tables import ragged_index
from .batches import Batch, FrameStore
from .divergence import DivergedError
from .potentials import Potential, energy_and_forces
from .splitting import Parts


def batches_by_size(counts: np.ndarray, batch_size: int, most_atoms: int) -> Iterator[np.ndarray]:
    """Yield the rows of batches, sorted by size so that little of a batch is padding.

    Parameters
    ----------
    counts : array of int, shape (n,)
        Atoms of each structure.
    batch_size : int
        Most structures of a batch; batches of large structures are smaller.
    most_atoms : int
        Of a batch, padding included; a structure alone may have more.
    """
    order = np.argsort(counts, kind="stable")
    begin = 0
    while begin < len(order):
        end = begin + 1
        while (
            end < len(order)
            and end - begin < batch_size
            and (end - begin + 1) * counts[order[end]] <= most_atoms
        ):
            end += 1
        yield order[begin:end]
        begin = end


def predict(
    potential: Potential,
    data: ConformerSet,
    *,
    level: str | None = None,
    cutoff: float | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
) -> Labels:
    """Predict energies and forces.

    Parameters
    ----------
    potential : Potential
    data : ConformerSet
        Its labels are not looked at.
    level : str, optional
        Level of theory; the potential's first by default.
    cutoff : float, optional
        In Å; the trained one by default.
    batch_size : int
        Most conformers of a batch; batches of large structures are smaller. Those that do not
        fit in memory are halved, with a warning.
    device : torch.device or str, optional
        Where to compute; by default where the potential is. The potential is moved there.

    Returns
    -------
    Labels
        In the order of the set, with the potential's reference energies. Whether energies
        compare between molecules, `potential.energies_are_absolute` tells.

    Raises
    ------
    DataError
        If a conformer lies outside of a universal potential's domain, or has a position or cell
        vector that is NaN or infinite in the potential's precision.
    DivergedError
        If an energy or force is NaN or infinite, though weights are not.
    BreadthError
        If a conformer does not fit in memory by itself.
    """
    potential.check(data)
    if device is not None:
        potential = potential.to(device)
    weights = next(potential.parameters())
    store = FrameStore(data, device=weights.device, dtype=weights.dtype)
    place = potential.level_index(level)
    energy = np.zeros(len(data))
    forces = np.zeros((data.n_atoms, 3), dtype=np.dtype(str(weights.dtype).removeprefix("torch.")))

    def outputs(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return energy_and_forces(potential, batch, cutoff, level)

    parts = Parts(store, outputs, batch_size, warnings.warn)
    for rows in batches_by_size(store.counts, batch_size, potential.atoms_per_batch):
        for some, batch, (e, f) in parts(rows):
            energy[some] = e.cpu().numpy()
            forces[ragged_index(data.offsets, some)[0]] = f[batch.mask].cpu().numpy()
    sound = np.isfinite(energy)
    np.logical_and.at(sound, data.atom_conformer, np.isfinite(forces).all(axis=1))
    if not sound.all():
        first = int(np.argmin(sound))
        raise DivergedError(
            f"The potential predicts NaN or infinity for {(~sound).sum():,} of {len(data):,} "
            f"conformers, the first of them {data.id[first].decode()}: its training diverged. Fit "
            "it again with a lower `learning_rate`, or without absurd labels."
        )
    seen = potential.seen[place].nonzero().flatten().tolist()
    table = potential.references[place]
    return Labels(
        energy=energy,
        forces=forces,
        reference_energies={int(z): float(table[z]) for z in seen},
    )
