"""What a study asks of a training set: its sizes, and by which selectors it is chosen."""

from __future__ import annotations

from typing import NamedTuple

#: The selector that every other one is compared with.
RANDOM = "random"


class DesignSpec(NamedTuple):
    """A design of a study, as asked.

    Parameters
    ----------
    experiment : str
        What it is compared within.
    n_molecules, n_conformers : int
        Molecules, and conformers of each: rounded where a budget is not divisible.
    molecule_selector, conformer_selector : str
        Names of the selectors along each axis.

    Examples
    --------
    >>> one = DesignSpec("fixed_budget", 60, 10)
    >>> one.cell == DesignSpec("fixed_molecules", 60, 10).cell
    True
    >>> str(DesignSpec("molecule_selectors", 60, 5, "maxmin"))
    '60 × 5, molecules by maxmin'
    """

    experiment: str
    n_molecules: int
    n_conformers: int
    molecule_selector: str = RANDOM
    conformer_selector: str = RANDOM

    @property
    def cell(self) -> tuple[int, int, str, str]:
        """What makes the training set: designs of two experiments that agree share it."""
        return self[1:]

    def __str__(self) -> str:
        chosen = [
            f"{what} by {name}"
            for what, name in (
                ("molecules", self.molecule_selector),
                ("conformers", self.conformer_selector),
            )
            if name != RANDOM
        ]
        return ", ".join([f"{self.n_molecules} × {self.n_conformers}", *chosen])


#: Coordinates of results by design and, with ``model_`` before it, by model.
CELL_FIELDS = DesignSpec._fields[1:]
