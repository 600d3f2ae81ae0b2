"""How to add labels to a set that is there: new molecules, or more conformers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from ...diversity.errors import ConfigurationError
from .answers import without_nan
from .choosing import mixture_of, relative_loss, shares_of, whole_interval
from .cost import Cost
from .support import REACH, reasons_against
from .surfaces import Cells, fit_surfaces, read_cells

_CANDIDATES = 400


@dataclass(frozen=True)
class Growth:
    """How many of the labels to add go to new molecules."""

    n_new_molecules: int
    n_new_molecules_interval: tuple[int, int]
    """95 %, over what other replicates might have given."""
    new_conformers: int
    """Labels of new molecules."""
    more_conformers: int
    """Labels of molecules that are there."""
    weights: dict[str, float]
    force_mae: float
    """Expected with them, of the mixture that is minimised, eV/Å."""
    force_mae_before: float
    supported: bool
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str | None:
        """All reasons in one text; None where the advice is supported."""
        return " ".join(self.reasons) or None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: what is not known is None."""
        told: dict[str, Any] = without_nan(asdict(self) | {"reason": self.reason})
        return told


def advise_growth(
    results: xr.Dataset,
    *,
    n_molecules: int,
    n_conformers: int,
    add: int,
    weights: str | Mapping[str, float] | None = None,
    most_new: int | None = None,
    n_draws: int = 400,
    random_state: int = 0,
) -> Growth:
    """Return how many labels to add should go to new molecules.

    With M molecules in the end, each has (present + added) ÷ M conformers on average, and the
    surface tells the error there, as if they were even: new molecules get so many each, the rest
    goes to molecules that have fewest.

    Parameters
    ----------
    results : xarray.Dataset
        See `advise`.
    n_molecules, n_conformers : int
        Of the set that is there: molecules, and conformers in all.
    add : int
        Labels to add.
    weights : str or mapping of str to float, optional
        See `advise`.
    most_new : int, optional
        New molecules that there are; no limit by default.
    n_draws, random_state : int
        See `fit_surfaces`.

    Raises
    ------
    ConfigurationError
        If a number or a weight cannot be.
    """
    if min(n_molecules, add) < 1 or n_conformers < n_molecules:
        raise ConfigurationError(
            f"{add} labels to add to {n_conformers} of {n_molecules} molecules: each must be at "
            "least 1, and a molecule has a conformer."
        )
    cells = read_cells(results)
    shares = shares_of(weights, cells)
    surfaces = fit_surfaces(
        cells, test_sets=list(shares), n_draws=n_draws, random_state=random_state
    )
    most = add if most_new is None else min(add, most_new)
    new = np.unique(np.append(0, np.geomspace(1, most, _CANDIDATES).astype(int) if most else 0))
    molecules = n_molecules + new
    conformers = (n_conformers + add) / molecules
    drawn = mixture_of(surfaces, shares, molecules, conformers)
    best = drawn.argmin(axis=1)
    chosen = int(relative_loss(drawn).argmin())
    before = mixture_of(
        surfaces, shares, np.array([n_molecules]), np.array([n_conformers / n_molecules])
    )
    reasons = reasons_against(
        cells,
        surfaces,
        shares,
        budget=n_conformers + add,
        cost=Cost(),
        line=(molecules, conformers),
        chosen=chosen,
        best=best,
        ends=_too_far(cells, molecules, conformers),
        mixture=drawn[0],
    )
    n_new = int(new[chosen])
    labels = min(add, max(n_new, round(n_new * conformers[chosen])))
    return Growth(
        n_new_molecules=n_new,
        n_new_molecules_interval=whole_interval(new[best]),
        new_conformers=labels,
        more_conformers=add - labels,
        weights=shares,
        force_mae=float(drawn[0, chosen]),
        force_mae_before=float(before[0, 0]),
        supported=not reasons,
        reasons=tuple(reasons),
    )


def _too_far(cells: Cells, molecules: np.ndarray, conformers: np.ndarray) -> set[int]:
    """Return the rows with numbers far from those that were measured.

    All or none of the labels for new molecules is no end: there is nothing beyond.
    """
    near = np.ones(len(molecules), dtype=bool)
    for there, wanted in ((cells.molecules, molecules), (cells.conformers, conformers)):
        near &= (wanted >= there.min()) & (wanted <= REACH * there.max())
    return set(np.flatnonzero(~near).tolist())
