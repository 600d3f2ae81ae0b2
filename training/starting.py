"""Where a fit begins: fresh weights, or those of another potential."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError
from ..diversity.randomness import seed_sequence
from ..diversity.tables import Labels
from .order import canonical
from .potentials import PRETRAINED, Potential, build_potential, name_of
from .potentials.foundation import PretrainedPotential
from .prediction import predict
from .references import References, reference_energies

#: What a potential keeps for each level, beside a head.
LEVEL_BUFFERS = ("scales", "references", "seen", "anchored")
#: Pull of an adopted level's references towards isolated atoms, in compositions. Weak, since the
#: head is not to unlearn what is left: of one molecule C2H6O, 0.2 % of its offset.
PULL = 0.1


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
        If neither is given, `start` is of another kind than asked for, or a universal potential
        is to be fitted from scratch.
    """
    if start is None:
        if potential is None:
            raise ConfigurationError("Name a potential to fit, or give one to start from.")
        if potential.get("name") in PRETRAINED:
            # Scale and references of a fresh level would throw away what its heads know.
            raise ConfigurationError(
                f"{potential['name']!r} is pretrained, and goes on from its weights: fine-tune it, "
                f"`breadth finetune {potential['name']} DATA`."
            )
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


def original_level(potential: Potential) -> str:
    """Return the level of a universal potential's pretraining, or the first of another's."""
    if isinstance(potential, PretrainedPotential) and potential.own_level in potential.levels:
        return potential.own_level
    return potential.levels[0]


def with_level(potential: Potential, level: str, *, like: str | None = None) -> Potential:
    """Return a copy with one more level, which comes first and predicts what `like` does.

    Parameters
    ----------
    potential : Potential
        Untouched.
    level : str
        New level of theory.
    like : str, optional
        Level whose head, scale and reference energies it takes over; :func:`original_level` by
        default. No element counts as seen at the new level, so that a fit that begins here moves
        the references first.

    Raises
    ------
    ConfigurationError
        If the potential has the new level already, or lacks the other.
    """
    if level in potential.levels:
        raise ConfigurationError(
            f"The potential has the level {level!r} already, with a head of its own: it cannot "
            "begin like another level."
        )
    source = original_level(potential) if like is None else like
    potential.level_index(source)
    hyper = hyper_parameters(None, potential, (level,))
    # No weight stays as it is drawn: the seed changes nothing.
    made = initial_potential(hyper, seed=0, start=potential)
    old, new = made.level_index(source), made.level_index(level)
    made.heads[new].load_state_dict(copy.deepcopy(made.heads[old].state_dict()))
    for name in LEVEL_BUFFERS:
        getattr(made, name)[new] = getattr(made, name)[old]
    made.seen[new] = made.anchored[new] = False
    like_it = next(potential.parameters())
    return made.to(device=like_it.device, dtype=like_it.dtype).train(potential.training)


def adopt_level(
    potential: Potential,
    data: ConformerSet,
    *,
    level: str,
    index: np.ndarray | None = None,
    like: str | None = None,
) -> Potential:
    """Return a copy that speaks a new level of theory before it has learnt anything of it.

    It is where fine-tuning begins: the head and forces of another level, and reference energies
    moved to the new one, so that errors of energies before and after can be compared.

    Parameters
    ----------
    potential : Potential
        Untouched.
    data : ConformerSet
        With labels of the level.
    level : str
        Where the potential knows it already, references move as for any fit that goes on, and
        `like` is refused.
    index : array of int, optional
        Conformers that references are moved by; all by default.
    like : str, optional
        See :func:`with_level`.
    """
    known = level in potential.levels and like is None
    made = copy.deepcopy(potential) if known else with_level(potential, level, like=like)
    rows = canonical(data, np.arange(len(data)) if index is None else index)
    found = continued_references(made, data, level, rows)
    scale = float(made.scales[made.level_index(level)])
    made.set_level(level, references=found.energies, scale=scale, anchored=found.anchored)
    return made


def adopted_references(
    potential: Potential, data: ConformerSet, level: str, rows: np.ndarray
) -> References:
    """Return reference energies of a level whose head was learnt at another level.

    The references that came with the head move by δ(Z), which minimises
    Σ_c w_c (Δ_c − n_c·δ)² + pull Σ_Z (δ_Z − δ_Z^atom)² over the distinct compositions c: Δ_c is
    the mean of label − prediction. The second sum is over elements with an isolated atom at the
    new level. A single composition without such atoms moves by as much for each of its atoms.

    Parameters
    ----------
    potential : Potential
        By :func:`with_level`.
    data : ConformerSet
    level : str
    rows : array of int64
    """
    part = data.select(rows)
    labels, table = part.labels(level), potential.references[potential.level_index(level)].cpu()
    off = np.where(labels.has_energy, labels.energy, 0.0)
    off = off - predict(potential, part, level=level).energy
    wrong = Labels(
        energy=np.where(labels.has_energy, off, 0.0),
        forces=np.zeros_like(labels.forces),
        has_energy=labels.has_energy,
        has_forces=labels.has_forces,
        reference_energies={
            z: energy - float(table[z]) for z, energy in labels.reference_energies.items()
        },
    )
    moved = reference_energies(
        part.with_level(level, wrong), level, shrinkage=PULL, allow_relative=True
    )
    energies = {z: float(table[z]) + change for z, change in moved.energies.items()}
    return References(energies, moved.anchored)


def continued_references(
    potential: Potential,
    data: ConformerSet,
    level: str,
    rows: np.ndarray,
    *,
    beside: Sequence[tuple[ConformerSet, np.ndarray]] = (),
) -> References:
    """Return reference energies with which a potential goes on at a level that it knows.

    Heads were learnt with their references, which therefore stay where energies compare between
    molecules. Elsewhere the potential's energies of a new composition are off by any constant,
    and unlearning it would cost more than fine-tuning wins: references move by the least that
    takes the mean error of each composition off, and energies stay relative. For a level of
    which no element was seen yet, see :func:`adopted_references`.

    Parameters
    ----------
    potential : Potential
    data : ConformerSet
    level : str
    rows : array of int64
        Conformers to go on with.
    beside : sequence of (ConformerSet, array of int64)
        Conformers of other sets with labels of the level, such as those to be replayed, whose
        errors count as much.
    """
    labels = data.labels(level)
    place = potential.level_index(level)
    if not bool(potential.seen[place].any()):
        return adopted_references(potential, data, level, rows)
    table, anchored = potential.references[place], potential.anchored[place]
    energies = {z: float(table[z]) for z in potential.seen[place].nonzero().flatten().tolist()}
    known = {z for z in energies if bool(anchored[z])}
    for z in map(int, data.select(rows).elements):
        if z not in energies:
            energies[z] = labels.reference_energies.get(z, 0.0)
            known |= {z} & set(labels.reference_energies)
    parts = [s.select(r[s.labels(level).has_energy[r]]) for s, r in ((data, rows), *beside)]
    elements = np.unique(np.concatenate([part.elements for part in parts]))
    free = np.array([z for z in elements if int(z) not in known], dtype=int)
    if len(free):
        fresh = np.array([energies.get(z, 0.0) for z in range(119)]) - table.cpu().numpy()
        counts = np.concatenate([_counts(part) for part in parts])
        off = np.concatenate([
            part.labels(level).energy - predict(potential, part, level=level).energy
            for part in parts
        ])  # fmt: skip
        compositions, which = np.unique(counts, axis=0, return_inverse=True)
        off = off - counts @ fresh
        means = np.bincount(which.ravel(), weights=off) / np.bincount(which.ravel())
        shift = np.linalg.lstsq(compositions[:, free].astype(float), means, rcond=1e-10)[0]
        for z, change in zip(free.tolist(), shift.tolist(), strict=True):
            energies[z] += change
    return References(energies, tuple(sorted(known)))


def _counts(data: ConformerSet) -> np.ndarray:
    """Return the number of atoms of each element, shape (n, 119)."""
    counts = np.zeros((len(data), 119), dtype=np.int64)
    np.add.at(counts, (data.atom_conformer, data.numbers.astype(np.int64)), 1)
    return counts
