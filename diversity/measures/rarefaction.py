"""Equally large parts of sets, so that larger sets do not look more diverse for their size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..errors import ShortageError
from ..randomness import generator, ordering
from .chain_rule import TERMS, Term
from .partition import Partition, partition


def rarefied(
    conformers: ConformerSet, *, n_molecules: int, n_conformers: int, seed: int = 0
) -> ConformerSet:
    """Return random conformers of random molecules, drawn without replacement.

    The draw depends on ids and seed, not on the order of records.

    Parameters
    ----------
    conformers : ConformerSet
    n_molecules, n_conformers : int
        Molecules, and conformers of each.
    seed : int, optional

    Raises
    ------
    ShortageError
        If there are too few molecules with so many conformers.
    """
    counts = np.bincount(conformers.molecule, minlength=conformers.n_molecules)
    enough = np.flatnonzero(counts >= n_conformers)
    if n_molecules < 1 or n_conformers < 1 or len(enough) < n_molecules:
        raise ShortageError(
            f"{n_molecules} molecules with {n_conformers} conformers each are asked for, and "
            f"{len(enough)} of {conformers.n_molecules} molecules have so many."
        )
    keys = conformers.molecules.key[enough]
    chosen = enough[ordering(f"{seed} rarefy", keys.tolist())[:n_molecules]]
    rows = np.flatnonzero(np.isin(conformers.molecule, chosen))
    rows = rows[ordering(f"{seed} rarefy", conformers.id[rows].tolist())]
    rows = rows[np.argsort(conformers.molecule[rows], kind="stable")]
    rank = np.arange(len(rows)) - np.searchsorted(
        conformers.molecule[rows], conformers.molecule[rows]
    )
    return conformers.select(np.sort(rows[rank < n_conformers]))


def rarefied_partition(
    conformers: ConformerSet,
    *,
    n_molecules: int,
    n_conformers: int,
    repeats: int = 10,
    seed: int = 0,
    **options: Any,
) -> Partition:
    """Return the partition that random subsets of equal size have, so that sets can be compared.

    A bootstrap with replacement is inconsistent for entropies, since a repeated point has no
    distance to itself; subsets are drawn without.

    Parameters
    ----------
    conformers : ConformerSet
    n_molecules, n_conformers : int
        Size of the subsets: molecules, and conformers of each.
    repeats : int, optional
        Subsets. Values are their means; intervals are as wide as those of one subset on average,
        which is too wide rather than too narrow.
    seed : int, optional
    **options
        Of `partition`.

    Raises
    ------
    ShortageError
        If there are too few molecules with so many conformers.
    """
    counts = np.bincount(conformers.molecule)
    if n_molecules == conformers.n_molecules and (counts == n_conformers).all():
        repeats = 1
    drawn = [
        partition(
            rarefied(
                conformers,
                n_molecules=n_molecules,
                n_conformers=n_conformers,
                seed=int(generator(seed, "rarefy", k).integers(2**31)),
            ),
            seed=seed,
            **options,
        )
        for k in range(repeats)
    ]
    means: dict[str, Any] = {}
    for name in TERMS:
        terms = [getattr(one, name) for one in drawn]
        value = float(np.mean([term.value for term in terms]))
        reach = [np.subtract(t.interval, t.value) for t in terms if t.interval is not None]
        low, high = value + np.mean(reach or [(0.0, 0.0)], axis=0)
        means[name] = Term(
            value,
            (float(low), float(high)) if reach else None,
            float(np.mean([term.ceiling for term in terms])),
            any(term.at_ceiling for term in terms),
        )
    error = max(one.identity_error for one in drawn)
    return replace(drawn[0], **means, identity_error=error)
