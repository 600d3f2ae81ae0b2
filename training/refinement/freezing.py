"""Which parameters are representation, head or early layers: sets to freeze or to adapt."""

from __future__ import annotations

from itertools import groupby

from ...diversity.errors import ConfigurationError
from ..potentials import Potential


def representation(potential: Potential) -> list[str]:
    """Return the names of θ_R: all parameters but the heads', from the input on."""
    return [name for name in potential.depth() if not name.startswith("heads.")]


def head(potential: Potential, level: str) -> list[str]:
    """Return the names of a level's head."""
    begin = f"heads.{potential.level_index(level)}."
    return [name for name in potential.depth() if name.startswith(begin)]


def blocks(potential: Potential) -> list[list[str]]:
    """Return the representation in blocks, from the input on: the embedding, then each round.

    Examples
    --------
    >>> from breadth.training import build_potential
    >>> potential = build_potential("painn", n_layers=2)
    >>> [block[0] for block in blocks(potential)]
    ['embedding.weight', 'messages.0.constant', 'messages.1.constant']
    """
    return [list(names) for _, names in groupby(representation(potential), key=_place)]


def _place(name: str) -> str:
    first, second, *_ = name.split(".")
    return second if second.isdigit() else first


def early(potential: Potential, share: float) -> list[str]:
    """Return the names of the first blocks of the representation.

    Parameters
    ----------
    potential : Potential
    share : float
        Of the blocks, above 0 to 1, rounded, and one at least: 1 is the whole representation.

    Raises
    ------
    ConfigurationError
        If the share is no share.
    """
    if not 0 < share <= 1:
        raise ConfigurationError(f"A share of layers lies above 0 and up to 1, not at {share}.")
    found = blocks(potential)
    return [name for block in found[: max(1, round(share * len(found)))] for name in block]


def late(potential: Potential, n: int) -> list[str]:
    """Return the names of the last rounds of messages and all that follows, but not the heads.

    Parameters
    ----------
    potential : Potential
    n : int
        Rounds, 1 or more.

    Raises
    ------
    ConfigurationError
        If there are fewer rounds.
    """
    found = blocks(potential)
    rounds = [i for i, block in enumerate(found) if _place(block[0]).isdigit()]
    if not 1 <= n <= len(rounds):
        raise ConfigurationError(
            f"The last {n} rounds of messages were asked for, and the potential has {len(rounds)}."
        )
    return [name for block in found[rounds[-n] :] for name in block]
