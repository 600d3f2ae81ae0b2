"""What advice says: an answer with its intervals, and whether it is supported."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...diversity import html


@dataclass(frozen=True)
class ExpectedError:
    """What the fitted surface expects on one test set at the advised cell, eV/Å."""

    test_set: str
    force_mae: float
    interval: tuple[float, float]
    """95 %, over what other replicates might have given."""
    form: str
    left_out_error: float
    """Root mean square of log(predicted ÷ found) in cells that were left out of the fit."""


@dataclass(frozen=True)
class Alternative:
    """Another way to spend the budget, and what it is expected to lose."""

    n_molecules: int
    n_conformers: int
    force_mae: float
    """Of the mixture that is minimised, eV/Å."""
    loss: float
    """Its excess over the advised cell's, eV/Å."""
    interval: tuple[float, float]
    """95 % of the loss."""


@dataclass(frozen=True)
class Advice:
    """Molecules × conformers for a budget, and how far to trust them."""

    n_molecules: int
    n_conformers: int
    n_molecules_interval: tuple[int, int]
    """95 %: where the optimum lies by what other replicates might have given."""
    n_conformers_interval: tuple[int, int]
    budget: float
    unit: str
    cost: float
    """Of the advised cell, in the unit of the budget."""
    weights: dict[str, float]
    force_mae: float
    """Expected, of the mixture that is minimised, eV/Å."""
    interval: tuple[float, float]
    expected_loss: float
    """What the advised cell may lose, eV/Å: the mean that made it the choice."""
    errors: tuple[ExpectedError, ...]
    alternatives: tuple[Alternative, ...]
    supported: bool
    reasons: tuple[str, ...]
    """Why it is not supported."""
    updates_gain: float
    """Of the largest cell: its error after a quarter of the updates ÷ after all. Where it is far
    above 1, updates hold the error up, and a larger budget needs more of them."""

    @property
    def reason(self) -> str | None:
        """All reasons in one text; None where the advice is supported."""
        return " ".join(self.reasons) or None

    def _repr_html_(self) -> str:
        rows = [(self.n_molecules, self.n_conformers, self.force_mae, 0.0, "advised")]
        rows += [
            (a.n_molecules, a.n_conformers, a.force_mae, a.loss, "") for a in self.alternatives
        ]
        told = html.table(
            ["molecules", "conformers", "force MAE (meV/Å)", "loss (meV/Å)", ""],
            [
                [m, c, f"{1e3 * e:.1f}", f"{1e3 * lost:.1f}", why]
                for m, c, e, lost, why in sorted(rows)
            ],
            caption=f"{self.budget:g} {self.unit}",
        )
        return told + html.facts({"supported": "yes" if self.supported else self.reason})

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: what is not known is None."""
        told = asdict(self)
        told["reason"] = self.reason
        known: dict[str, Any] = without_nan(told)
        return known


def without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
