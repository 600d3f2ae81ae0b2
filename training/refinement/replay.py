"""What a potential knew before it was fine-tuned: replaying it, and measuring what was lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...diversity.conformers import ConformerSet
from ...diversity.errors import ConfigurationError
from ...diversity.tables import Labels
from ..potentials import Potential
from ..prediction import predict
from ..starting import original_level


def pseudo_labels(
    potential: Potential, data: ConformerSet, *, level: str | None = None
) -> ConformerSet:
    """Return a set with the labels that a potential gives it itself, in place of any others.

    So can the original distribution be replayed where its labels are not at hand.

    Parameters
    ----------
    potential : Potential
        The one that will be fine-tuned.
    data : ConformerSet
        Structures of the original distribution.
    level : str, optional
        Level of the potential, and then of the labels; the original one by default.
    """
    name = original_level(potential) if level is None else level
    found = predict(potential, data, level=name)
    return data.with_level(name, Labels(energy=found.energy, forces=found.forces))


@dataclass(frozen=True, eq=False, kw_only=True)
class Forgetting:
    """Force MAE on structures of the original domain, in eV/Å; a molecule counts as much as any.

    Parameters
    ----------
    before : float
        Of the untouched potential; 0 by definition where its predictions are the reference.
    after : float
        Of the fine-tuned one through the head of the original level.
    after_new_head : float or None
        Through the head of the level that was learnt, where that is another. It holds the
        difference of the two levels of theory too.
    mean_force : float
        Mean absolute force component of the reference, to compare with.
    reference : {'labels', 'untouched'}
        What errors are against: stored labels of the original level, or predictions of the
        untouched potential, in which case the numbers are changes, not errors.
    n_conformers : int
    """

    before: float
    after: float
    after_new_head: float | None
    mean_force: float
    reference: str
    n_conformers: int


def forgetting(
    untouched: Potential,
    tuned: Potential,
    data: ConformerSet,
    *,
    level: str | None = None,
    new_level: str | None = None,
    labelled: bool | None = None,
) -> Forgetting:
    """Measure what fine-tuning cost on structures of the original domain, none of them replayed.

    Parameters
    ----------
    untouched, tuned : Potential
        Before and after.
    data : ConformerSet
    level : str, optional
        Of the original domain; by default the untouched potential's original level.
    new_level : str, optional
        Level that was learnt; the first of the tuned potential by default.
    labelled : bool, optional
        Measure against labels that the set has at the original level; False takes predictions of
        the untouched potential. By default labels where every conformer has forces.

    Raises
    ------
    ConfigurationError
        If labels are asked for that are not there.
    """
    old = original_level(untouched) if level is None else level
    new = tuned.levels[0] if new_level is None else new_level
    there = old in data.levels and bool(data.labels(old).has_forces.all())
    if labelled and not there:
        raise ConfigurationError(
            f"Not every structure of the original domain has forces at level {old!r}: measure "
            "against the untouched potential."
        )
    stored = there if labelled is None else labelled
    first = predict(untouched, data, level=old).forces
    reference = data.labels(old).forces if stored else first

    def error(forces: np.ndarray) -> float:
        off = np.abs(np.asarray(forces, dtype=float) - reference).mean(1)
        per_conformer = np.bincount(data.atom_conformer, off) / data.counts
        per_molecule = np.bincount(data.molecule, per_conformer) / np.bincount(data.molecule)
        return float(np.nanmean(per_molecule))

    return Forgetting(
        before=error(first),
        after=error(predict(tuned, data, level=old).forces),
        after_new_head=None if new == old else error(predict(tuned, data, level=new).forces),
        mean_force=error(np.zeros_like(reference)),
        reference="labels" if stored else "untouched",
        n_conformers=len(data),
    )
