"""What training sets cost: labels, by the size of what is labelled, and new molecules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...diversity.errors import ConfigurationError


@dataclass(frozen=True)
class Cost:
    """The cost of M molecules × C conformers: ``M·(per_molecule + C·per_label)``.

    Parameters
    ----------
    per_label : float
        Of one label, mean over the molecules that may be chosen.
    per_molecule : float
        Of one more molecule: its conformer search, standardisation, purchase, …
    unit : str
        Of both, and of the budget.

    Examples
    --------
    >>> Cost().of(60, 10)
    600.0
    >>> Cost(per_label=2.0, per_molecule=5.0, unit="s").of(10, 4)
    130.0
    """

    per_label: float = 1.0
    per_molecule: float = 0.0
    unit: str = "labels"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.per_label) and self.per_label > 0):
            raise ConfigurationError(f"A label costs {self.per_label}: it must cost more than 0.")
        if not (np.isfinite(self.per_molecule) and self.per_molecule >= 0):
            raise ConfigurationError(f"A molecule costs {self.per_molecule}: not less than 0.")

    @classmethod
    def by_size(
        cls,
        sizes: Sequence[float] | np.ndarray,
        *,
        factor: float,
        power: float,
        start: float = 0.0,
        per_molecule: float = 0.0,
        unit: str = "s",
    ) -> Cost:
        """Return the cost where a label costs ``start + factor · size**power``.

        Parameters
        ----------
        sizes : sequence of float
            Of the molecules that may be chosen: atoms, electrons or basis functions. Designs draw
            molecules at random, so the mean cost of a label is what counts.
        """
        each = start + factor * np.asarray(sizes, dtype=float) ** power
        return cls(float(each.mean()), per_molecule, unit)

    def of(self, molecules: float, conformers: float) -> float:
        """Return what M molecules × C conformers cost."""
        return float(molecules * (self.per_molecule + conformers * self.per_label))

    def conformers(self, molecules: np.ndarray, budget: float) -> np.ndarray:
        """Return how many conformers of each of M molecules a budget pays for, not rounded."""
        return (budget / np.asarray(molecules, float) - self.per_molecule) / self.per_label
