"""What is given: a labelled set that a choice adds to instead of starting from zero."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError

#: What may be added to a set: molecules that it lacks, conformers of those it has, or either.
Grow = Literal["molecules", "conformers", "both"]


def shared_identity(conformers: ConformerSet, given: ConformerSet) -> str:
    """Return by what the molecules of two sets are one: 'key', or 'constitution'.

    Keys of two rules of identity have nothing in common, constitutions have.
    """
    rules = {s.metadata.get("identity_rule") for s in (conformers, given)}
    return "key" if len(rules) == 1 else "constitution"


def known_molecules(conformers: ConformerSet, given: ConformerSet) -> np.ndarray:
    """Return which molecules of a set are given, array of bool, shape (M,)."""
    of = shared_identity(conformers, given)
    return np.isin(getattr(conformers.molecules, of), getattr(given.molecules, of))


def may_grow(conformers: ConformerSet, given: ConformerSet, grow: str) -> np.ndarray:
    """Return which conformers may be added to what is given.

    Parameters
    ----------
    conformers, given : ConformerSet
    grow : {'molecules', 'conformers', 'both'}

    Returns
    -------
    array of bool, shape (n,)
        Never a conformer that is given.

    Raises
    ------
    ConfigurationError
        If there is no such way to grow.
    """
    if grow not in get_args(Grow):
        raise ConfigurationError(
            f"grow = {grow!r}: a set grows by {', '.join(get_args(Grow)[:-1])} or both."
        )
    allowed: np.ndarray = ~np.isin(conformers.id, given.id)
    if grow != "both":
        known = known_molecules(conformers, given)[conformers.molecule]
        allowed &= known if grow == "conformers" else ~known
    return allowed


def given_minima(conformers: ConformerSet, given: ConformerSet) -> dict[int, set[int]]:
    """Return the minima that given conformers were displaced from, by molecule of the set.

    Parameters
    ----------
    conformers, given : ConformerSet

    Returns
    -------
    dict of int to set of int
        By row of the molecule; −1 where a given conformer does not say.
    """
    of = shared_identity(conformers, given)
    found: dict[str, set[int]] = {}
    names = getattr(given.molecules, of)[given.molecule].tolist()
    for name, minimum in zip(names, given.minimum.tolist(), strict=True):
        found.setdefault(name, set()).add(minimum)
    rows = enumerate(getattr(conformers.molecules, of).tolist())
    return {row: found[name] for row, name in rows if name in found}
