"""Where a fit begins: fresh weights, or those of another potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError
from ..diversity.randomness import seed_sequence
from .potentials import Potential, build_potential, name_of
from .prediction import predict
from .references import References

#: What a potential keeps for each level, beside a head.
LEVEL_BUFFERS = ("scales", "references", "seen", "anchored")


def hyper_parameters(
    potential: Mapping[str, Any] | None, start: Potential | None, levels: Sequence[str]
) -> dict[str, Any]:
    """Return name and hyper-parameters of the potential to fit.

    Parameters
    ----------
    potential : mapping or None
        As asked for; None takes those of `start`.
    start : Potential or None
    levels : sequence of str
        The first is the one used where none is named. Those of `start` are kept.

    Raises
    ------
    ConfigurationError
        If neither is given, or `start` is of another kind than asked for.
    """
    if start is None:
        if potential is None:
            raise ConfigurationError("Name a potential to fit, or give one to start from.")
        return {**potential, "levels": tuple(dict.fromkeys(levels))}
    own = {"name": name_of(start), **start.hyper}
    for key, value in (potential or {}).items():
        if key != "levels" and own.get(key) != value:
            raise ConfigurationError(
                f"The potential to start from has {key} {own.get(key)!r}, not {value!r}: weights "
                "go on only in a potential of the same kind and size."
            )
    return {**own, "levels": tuple(dict.fromkeys((*levels, *start.levels)))}


def initial_potential(
    hyper: Mapping[str, Any], *, seed: int, start: Potential | None = None
) -> Potential:
    """Return a potential with the weights from which a fit begins.

    Parameters
    ----------
    hyper : mapping
        By :func:`hyper_parameters`.
    seed : int
        Root of the stream for fresh weights; heads that `start` lacks are fresh.
    start : Potential, optional
        Copied, never changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed_sequence(seed, "weights").generate_state(1, np.uint64)[0]))
        model = build_potential(**hyper)
    if start is None:
        return model
    shared = {
        name: tensor
        for name, tensor in start.state_dict().items()
        if not name.startswith("heads.") and name not in LEVEL_BUFFERS
    }
    model.load_state_dict(shared, strict=False)
    model.set_cutoff_range(*start.cutoff_range)
    for level in start.levels:
        old, new = start.level_index(level), model.level_index(level)
        model.heads[new].load_state_dict(start.heads[old].state_dict())
        for name in LEVEL_BUFFERS:
            getattr(model, name)[new] = getattr(start, name)[old]
    return model


def continued_references(
    potential: Potential, data: ConformerSet, level: str, rows: np.ndarray
) -> References:
    """Return reference energies with which a potential goes on at a level that it knows.

    Heads were learnt with their references, which therefore stay where energies compare between
    molecules. Elsewhere the potential's energies of a new composition are off by any constant,
    and unlearning it would cost more than fine-tuning wins: references move by the least that
    takes the mean error of each composition off, and energies stay relative.

    Parameters
    ----------
    potential : Potential
    data : ConformerSet
    level : str
    rows : array of int64
        Conformers to go on with.
    """
    labels = data.labels(level)
    place = potential.level_index(level)
    table, anchored = potential.references[place], potential.anchored[place]
    energies = {z: float(table[z]) for z in potential.seen[place].nonzero().flatten().tolist()}
    known = {z for z in energies if bool(anchored[z])}
    part = data.select(rows[labels.has_energy[rows]])
    for z in map(int, data.select(rows).elements):
        if z not in energies:
            energies[z] = labels.reference_energies.get(z, 0.0)
            known |= {z} & set(labels.reference_energies)
    free = np.array([z for z in part.elements if int(z) not in known], dtype=int)
    if len(free):
        counts = np.array([
            np.bincount(part.numbers[part.atoms_slice(i)], minlength=119) for i in range(len(part))
        ])  # fmt: skip
        fresh = np.array([energies.get(z, 0.0) for z in range(119)]) - table.cpu().numpy()
        found = predict(potential, part, level=level).energy + counts @ fresh
        compositions, which = np.unique(counts, axis=0, return_inverse=True)
        off = part.labels(level).energy - found
        means = np.bincount(which.ravel(), weights=off) / np.bincount(which.ravel())
        shift = np.linalg.lstsq(compositions[:, free].astype(float), means, rcond=1e-10)[0]
        for z, change in zip(free.tolist(), shift.tolist(), strict=True):
            energies[z] += change
    return References(energies, tuple(sorted(known)))
