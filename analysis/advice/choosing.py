"""How to spend a budget: the molecules × conformers with the least expected loss."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...diversity.errors import ConfigurationError, DataError
from .answers import Advice, Alternative, ExpectedError
from .cost import Cost
from .support import REACH, largest_cost, reasons_against
from .surfaces import Cells, Surface, fit_surfaces, read_cells

#: Both sides of what a data set is for, where no weights are given.
BOTH = ("unseen_molecules", "own_conformers")
_CANDIDATES = 200
_ALTERNATIVES = 7


def advise(
    results: xr.Dataset,
    *,
    budget: float,
    weights: str | Mapping[str, float] | None = None,
    cost: Cost | None = None,
    most_molecules: int | None = None,
    n_draws: int = 400,
    random_state: int = 0,
) -> Advice:
    r"""Return how many molecules, and conformers of each, a budget is best spent on.

    A response surface is fitted for each test set (`fit_surfaces`). Of all M × C that the budget
    pays for, that one is advised whose mean of :math:`\log(e_d(M, C) / \min e_d)` over the draws d
    of the surfaces is least: the cell with the least expected relative loss, for surfaces and
    forms that are only known so well.

    Parameters
    ----------
    results : xarray.Dataset
        ``results.nc`` of a trade-off study, best of a grid (preset pilot).
    budget : float
        In the unit of `cost`: labels by default.
    weights : str or mapping of str to float, optional
        A test set, or weights of several, whose weighted mean force MAE is minimised. Half
        ``unseen_molecules``, half ``own_conformers`` by default.
    cost : Cost, optional
        One for each label by default.
    most_molecules : int, optional
        Molecules that there are; no limit by default.
    n_draws, random_state : int
        See `fit_surfaces`.

    Raises
    ------
    ConfigurationError
        If a test set is unknown, a weight is no share, or the budget pays for no cell as large as
        the smallest that was measured.
    DataError
        If the results cannot be used.

    Notes
    -----
    Errors are those of models that are trained as the pilot's were: same potential, same number of
    updates.
    """
    cost = cost or Cost()
    cells = read_cells(results)
    shares = shares_of(weights, cells)
    surfaces = fit_surfaces(cells, n_draws=n_draws, random_state=random_state)
    molecules, conformers = candidates(cells, budget, cost, most_molecules)
    drawn = mixture_of(surfaces, shares, molecules, conformers)
    best = drawn.argmin(axis=1)
    relative = relative_loss(drawn)
    chosen = int(relative.argmin())
    m, c = int(molecules[chosen]), int(conformers[chosen])
    loss = drawn - drawn[:, [chosen]]
    reasons = reasons_against(
        cells,
        surfaces,
        shares,
        budget=budget,
        cost=cost,
        line=(molecules, conformers),
        chosen=chosen,
        best=best,
        ends={0} if most_molecules == molecules[-1] else {0, len(molecules) - 1},
        mixture=drawn[0],
    )
    return Advice(
        n_molecules=m,
        n_conformers=c,
        n_molecules_interval=whole_interval(molecules[best]),
        n_conformers_interval=whole_interval(conformers[best]),
        budget=float(budget),
        unit=cost.unit,
        cost=cost.of(m, c),
        weights=shares,
        force_mae=float(drawn[0, chosen]),
        interval=interval_of(drawn[:, chosen]),
        expected_loss=float(drawn[0, chosen] * -np.expm1(-relative[chosen])),
        errors=tuple(
            _expected(surface, molecules[[chosen]], conformers[[chosen]])
            for surface in surfaces.values()
        ),
        alternatives=tuple(
            Alternative(
                int(molecules[k]),
                int(conformers[k]),
                float(drawn[0, k]),
                float(loss[0, k]),
                interval_of(loss[:, k]),
            )
            for k in _spread(molecules, chosen)
        ),
        supported=not reasons,
        reasons=tuple(reasons),
        updates_gain=_updates_gain(cells, shares),
    )


def candidates(
    cells: Cells, budget: float, cost: Cost, most_molecules: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the M × C that a budget pays for, whole numbers, by rising M.

    For each C as many molecules as can be paid for; from the smallest numbers that were measured
    to `REACH` times the largest, or as far as the budget needs.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    if not (np.isfinite(budget) and budget > 0):
        raise ConfigurationError(f"A budget of {budget}: it must be more than 0.")
    reach = max(float(REACH), budget / largest_cost(cells, cost))
    low, high = int(cells.conformers.min()), int(cells.conformers.max() * reach)
    c = np.unique(np.geomspace(low, max(low, high), _CANDIDATES).round().astype(int))
    m = np.floor(budget / (cost.per_molecule + c * cost.per_label) + 1e-9).astype(int)
    if most_molecules is not None and (m > most_molecules).any():
        c_all = int(np.floor(cost.conformers(np.array([most_molecules]), budget)[0] + 1e-9))
        c = np.append(c[m <= most_molecules], c_all)
        m = np.append(m[m <= most_molecules], most_molecules)
    kept = (m >= cells.molecules.min()) & (m <= cells.molecules.max() * reach) & (c >= low)
    pairs = np.unique(np.stack([m[kept], c[kept]], axis=1), axis=0)
    if not len(pairs):
        raise ConfigurationError(
            f"A budget of {budget:g} {cost.unit} does not pay for {cells.molecules.min()} "
            f"molecules × {low}, the smallest numbers that were measured"
            + (f", with {most_molecules} molecules at most" if most_molecules else "")
            + ". Raise it, or measure smaller cells."
        )
    # Of those with as many molecules the one with most conformers: the others leave labels over.
    pairs = pairs[np.append(pairs[1:, 0] > pairs[:-1, 0], True)]
    return pairs[:, 0], pairs[:, 1]


def shares_of(weights: str | Mapping[str, float] | None, cells: Cells) -> dict[str, float]:
    """Return the weights of test sets, adding up to 1."""
    if weights is None:
        there = [name for name in BOTH if name in cells.test_sets]
        weights = dict.fromkeys(there or cells.test_sets[:1], 1.0)
    elif isinstance(weights, str):
        weights = {weights: 1.0}
    for name, weight in weights.items():
        if name not in cells.test_sets:
            close = difflib.get_close_matches(name, cells.test_sets, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ConfigurationError(
                f"There is no test set {name!r}{hint} There are {', '.join(cells.test_sets)}."
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise ConfigurationError(f"The weight of {name} is {weight}: it must be 0 or more.")
    total = sum(weights.values())
    if total <= 0:
        raise ConfigurationError("All weights are 0: give one test set at least a share.")
    return {name: weight / total for name, weight in weights.items() if weight}


def mixture_of(
    surfaces: Mapping[str, Surface],
    shares: Mapping[str, float],
    molecules: np.ndarray,
    conformers: np.ndarray,
) -> np.ndarray:
    """Return the weighted mean error of every draw at every cell, (draws, cells).

    Raises
    ------
    DataError
        If a test set has no surface.
    """
    unfitted = [name for name in shares if name not in surfaces]
    if unfitted:
        raise DataError(f"Fewer than two designs have an error on {unfitted[0]} in all replicates.")
    parts = [share * surfaces[name].draws(molecules, conformers) for name, share in shares.items()]
    return np.asarray(np.sum(parts, axis=0))


def _updates_gain(cells: Cells, shares: Mapping[str, float]) -> float:
    """Return the error after a quarter of the updates ÷ after all of the largest cell."""
    columns = [cells.test_sets.index(name) for name in shares]
    largest = int(cells.labels.argmax())
    early, late = (
        float((e[largest][:, columns] @ np.array(list(shares.values()))).mean())
        for e in (cells.quarter, cells.errors)
    )
    return early / late


def relative_loss(drawn: np.ndarray) -> np.ndarray:
    """Return the mean over draws of log(error ÷ the draw's least error) by cell, (K,)."""
    return np.asarray(np.log(drawn / drawn.min(axis=1, keepdims=True)).mean(axis=0))


def _expected(surface: Surface, m: np.ndarray, c: np.ndarray) -> ExpectedError:
    drawn = surface.draws(m, c)[:, 0]
    return ExpectedError(
        surface.test_set,
        float(drawn[0]),
        interval_of(drawn),
        surface.form,
        surface.scores[surface.form],
    )


def _spread(molecules: np.ndarray, chosen: int) -> list[int]:
    """Return rows of few candidates, evenly over the logarithm of M, without the chosen one."""
    wanted = np.geomspace(molecules[0], molecules[-1], _ALTERNATIVES)
    rows = [int(np.abs(np.log(molecules / m)).argmin()) for m in wanted]
    return [row for row in dict.fromkeys(rows) if row != chosen]


def interval_of(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975]).tolist()
    return low, high


def whole_interval(values: np.ndarray) -> tuple[int, int]:
    low, high = np.quantile(values, [0.025, 0.975], method="nearest").astype(int).tolist()
    return low, high
