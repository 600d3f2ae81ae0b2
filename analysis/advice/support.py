"""When advice is not supported, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .cost import Cost
from .surfaces import Cells, Surface, fit_surfaces

#: How many times the largest measured cell, or number of molecules or conformers, is still near.
REACH = 4
#: Cells, and different numbers along each axis, that a surface in two dimensions needs.
FEWEST_CELLS, FEWEST_VALUES = 9, 3
#: Share of the pairs of cells that may change their order between a quarter and all updates.
MOST_REVERSED = 0.05
#: Share of the squared deviations from a constant that a surface must foresee in left-out cells:
#: by chance alone, one of several forms is a little better than a constant.
LEAST_EXPLAINED = 0.5
#: How many times farther off than a parabola a law may be in left-out cells.
MOST_BENT = 1.5
#: Relative loss of what a quarter of the updates would have advised.
MOST_LOST = 0.05


def reasons_against(
    cells: Cells,
    surfaces: Mapping[str, Surface],
    shares: Mapping[str, float],
    *,
    budget: float,
    cost: Cost,
    line: tuple[np.ndarray, np.ndarray],
    chosen: int,
    best: np.ndarray,
    ends: set[int],
    mixture: np.ndarray,
) -> list[str]:
    """Return why advice should not be relied on, each a sentence; none where it may be.

    Parameters
    ----------
    cells, surfaces, shares, budget, cost
        As in `advise`.
    line : tuple of ndarray
        M and C of the candidates, by rising M.
    chosen : int
        Row of the advised candidate.
    best : ndarray, shape (draws,)
        Row of the best candidate of each draw.
    ends : set of int
        Rows of candidates that are too far from the cells, or beyond which nobody looked.
    mixture : ndarray
        Fitted error of each candidate.
    """
    return [
        *_too_few(cells, surfaces, shares),
        *_too_far(cells, budget, cost),
        *_no_better(surfaces, shares),
        *_bent(surfaces, shares),
        *_corner(line, chosen, best, ends),
        *_undertrained(cells, surfaces, shares, line, mixture),
    ]


def _too_few(
    cells: Cells, surfaces: Mapping[str, Surface], shares: Mapping[str, float]
) -> list[str]:
    reasons = []
    rows = cells_of(surfaces, shares)
    m, c = (len(np.unique(axis[rows])) for axis in (cells.molecules, cells.conformers))
    if len(rows) < FEWEST_CELLS or min(m, c) < FEWEST_VALUES:
        reasons.append(
            f"Too few cells: {len(rows)}, with {m} numbers of molecules and {c} of conformers; a "
            f"surface needs {FEWEST_CELLS}, with {FEWEST_VALUES} of each (preset pilot)."
        )
    if cells.errors.shape[1] < 2:
        reasons.append("One replicate only: nothing tells how much of it is chance.")
    return reasons


def cells_of(surfaces: Mapping[str, Surface], shares: Mapping[str, float]) -> np.ndarray:
    """Return the rows of the cells that every surface of a mixture rests on."""
    common = set.intersection(*(set(surfaces[name].cells.tolist()) for name in shares))
    return np.array(sorted(common), dtype=np.int64)


def largest_cost(cells: Cells, cost: Cost) -> float:
    """Return what the dearest of the cells cost."""
    return max(cost.of(m, c) for m, c in zip(cells.molecules, cells.conformers, strict=True))


def _too_far(cells: Cells, budget: float, cost: Cost) -> list[str]:
    largest = largest_cost(cells, cost)
    if budget <= REACH * largest:
        return []
    return [
        f"The budget is {budget / largest:.3g} times the largest cell that was measured "
        f"({largest:g} {cost.unit}); beyond {REACH} times, nothing is known of the surface."
    ]


def _no_better(surfaces: Mapping[str, Surface], shares: Mapping[str, float]) -> list[str]:
    told = {name: surfaces[name].explained for name in shares}
    flat = [
        f"{name.replace('_', ' ')} ({max(share, 0):.0%})"
        for name, share in told.items()
        if not share >= LEAST_EXPLAINED
    ]
    if not flat:
        return []
    return [
        f"No surface is much better than a constant in cells left out of its fit: of their squared "
        f"deviations from one, it foresees too little on {' and '.join(flat)}; "
        f"{LEAST_EXPLAINED:.0%} are needed."
    ]


def _bent(surfaces: Mapping[str, Surface], shares: Mapping[str, float]) -> list[str]:
    reasons = []
    for name in shares:
        scores, form = surfaces[name].scores, surfaces[name].form
        parabola = scores.get("log_quadratic", np.inf)
        if scores[form] > MOST_BENT * parabola:
            reasons.append(
                f"On {name.replace('_', ' ')} the errors bend as no law does: a parabola is off by "
                f"{parabola:.1%} in left-out cells, the best law ({form}) by {scores[form]:.1%}. "
                "What lies beyond the cells is not known."
            )
    return reasons


def _corner(
    line: tuple[np.ndarray, np.ndarray], chosen: int, best: np.ndarray, ends: set[int]
) -> list[str]:
    """Say so if the optimum is where the candidates end."""
    molecules, conformers = line
    there = best[np.isin(best, list(ends))]
    share = len(there) / len(best)
    if chosen not in ends and share <= 0.5:
        return []
    which = chosen if chosen in ends else int(np.bincount(there).argmax())
    cell = f"{molecules[which]} × {conformers[which]:.4g}"
    return [
        f"The optimum is at an end of what can be told from these cells, {cell} ({share:.0%} of "
        "the draws end there): the best may lie beyond."
    ]


def _undertrained(
    cells: Cells,
    surfaces: Mapping[str, Surface],
    shares: Mapping[str, float],
    line: tuple[np.ndarray, np.ndarray],
    mixture: np.ndarray,
) -> list[str]:
    """Say so if more updates seem to move the cells' order, or the optimum.

    The flags of a study mark every change of rank; among the neighbours in a grid that is mostly
    chance. Here a pair of cells counts whose difference is beyond twice its error both times, with
    two signs.
    """
    reasons = []
    rows = cells_of(surfaces, shares)
    columns = [cells.test_sets.index(name) for name in shares]
    weight = np.array(list(shares.values()))
    full, quarter = (e[rows][:, :, columns] @ weight for e in (cells.errors, cells.quarter))
    if not np.isfinite(quarter).all():
        return ["There are no fits with a quarter of the updates: undertrained cells go unseen."]
    reversed_pairs = _reversed(full, quarter)
    n_pairs = len(rows) * (len(rows) - 1) // 2
    if n_pairs and len(reversed_pairs) / n_pairs > MOST_REVERSED:
        names = [f"{cells.molecules[r]} × {cells.conformers[r]}" for r in rows]
        i, j = reversed_pairs[0]
        reasons.append(
            f"Cells are undertrained: {len(reversed_pairs)} of {n_pairs} pairs, such as {names[i]} "
            f"and {names[j]}, change their order between a quarter and all of the updates."
        )
    before = fit_quarter(cells, surfaces, shares, *line)
    lost = mixture[before.argmin()] / mixture.min() - 1
    if lost > MOST_LOST:
        m, c = (axis[before.argmin()] for axis in line)
        reasons.append(
            f"Cells are undertrained: after a quarter of the updates {m} × {c:.4g} looked best, "
            f"which loses {lost:.0%} after all of them."
        )
    return reasons


def fit_quarter(
    cells: Cells,
    surfaces: Mapping[str, Surface],
    shares: Mapping[str, float],
    molecules: np.ndarray,
    conformers: np.ndarray,
) -> np.ndarray:
    """Return the mixture's errors after a quarter of the updates, by the same forms, (K,)."""
    early = replace(cells, errors=cells.quarter)
    total = np.zeros(len(molecules))
    for name, share in shares.items():
        fitted = fit_surfaces(early, test_sets=[name], n_draws=1, form=surfaces[name].form)
        total += share * fitted[name].predict(molecules, conformers)
    return total


def _reversed(full: np.ndarray, quarter: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of cells whose paired differences are beyond twice their error, with two signs.

    Parameters
    ----------
    full, quarter : ndarray, shape (K, R)
    """
    n_replicates = full.shape[1]
    if n_replicates < 2:
        return []

    def signs(errors: np.ndarray) -> np.ndarray:
        difference = errors[:, None] - errors[None]
        mean = difference.mean(axis=2)
        error = difference.std(axis=2, ddof=1) / np.sqrt(n_replicates)
        return np.asarray(np.sign(mean) * (np.abs(mean) > 2 * error))

    found = np.argwhere(np.triu(signs(full) * signs(quarter) < 0, 1))
    return [(int(i), int(j)) for i, j in found]
