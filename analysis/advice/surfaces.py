"""Response surfaces of a study: a form for each test set, chosen by leaving cells out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ...diversity.randomness import generator
from .forms import BY_NAME, FORMS, Fit, fit_form

#: Experiments whose training sets are drawn at random, so that M and C are all that differs.
EXPERIMENTS = ("fixed_budget", "fixed_molecules", "grid")
#: Degrees of freedom that the pooled noise of all cells counts for in the noise of one.
_POOLED = 4.0
#: A form whose score is at most so many times the lowest is as good: the simplest such is chosen.
_AS_GOOD = 1.05


@dataclass(frozen=True)
class Cells:
    """Errors of the designs of a study that differ by M and C alone.

    Parameters
    ----------
    molecules, conformers : ndarray, shape (K,)
        Training molecules M, and conformers of each, C.
    errors, quarter : ndarray, shape (K, R, T)
        Force MAE by replicate and test set, eV/Å, after all and after a quarter of the updates.
    test_sets : list of str
    """

    molecules: np.ndarray
    conformers: np.ndarray
    errors: np.ndarray
    quarter: np.ndarray
    test_sets: list[str]

    @property
    def labels(self) -> np.ndarray:
        """Labels of each cell, M·C, shape (K,)."""
        return self.molecules * self.conformers


def read_cells(results: xr.Dataset) -> Cells:
    """Return the cells of a study's results; one that two experiments share counts once.

    Raises
    ------
    DataError
        If the results are not those of a trade-off study, or no cell was drawn at random.
    """
    missing = [name for name in ("force_mae", "force_mae_quarter") if name not in results]
    missing += [n for n in ("experiment", "n_molecules", "n_conformers") if n not in results.coords]
    if missing:
        raise DataError(
            f"These results have no {missing[0]!r}: advice reads those of `breadth study tradeoff`."
        )
    rows: dict[tuple[int, int], int] = {}
    counts = [results[name].values.astype(int) for name in ("n_molecules", "n_conformers")]
    for row, experiment in enumerate(results["experiment"].values.astype(str)):
        if experiment in EXPERIMENTS:
            rows.setdefault((int(counts[0][row]), int(counts[1][row])), row)
    if not rows:
        raise DataError(
            "These results have no design that was drawn at random: run the preset pilot, or give "
            "the study a grid, a fixed_budget or fixed_molecules."
        )
    found = [rows[cell] for cell in sorted(rows)]
    dims = ("design", "replicate", "test_set")
    return Cells(
        molecules=counts[0][found],
        conformers=counts[1][found],
        errors=results["force_mae"].transpose(*dims).values[found],
        quarter=results["force_mae_quarter"].transpose(*dims).values[found],
        test_sets=[str(name) for name in results["test_set"].values],
    )


@dataclass(frozen=True)
class Surface:
    """The error on one test set over molecules × conformers, as a study supports it.

    Parameters
    ----------
    test_set : str
    form : str
        Name of the simplest form with about the lowest score, of those that may be used beyond
        the cells.
    scores : dict of str to float
        Of each form: root of the weighted mean square of log(predicted ÷ found), over cells that
        were left out of the fit.
    cells : ndarray of int, shape (K,)
        Rows of the cells that it rests on: those with an error in every replicate.
    fits : tuple of (ndarray of int, Fit)
        Rows of the draws that chose a form, and their fits; row 0 is the study itself, the others
        are what other replicates might have given.
    n_draws : int
    """

    test_set: str
    form: str
    scores: dict[str, float]
    cells: np.ndarray
    fits: tuple[tuple[np.ndarray, Fit], ...]
    n_draws: int

    @property
    def explained(self) -> float:
        """Share of the squared deviations of left-out cells from a constant that it foresees."""
        return 1.0 - (self.scores[self.form] / self.scores["constant"]) ** 2

    def draws(self, molecules: np.ndarray, conformers: np.ndarray) -> np.ndarray:
        """Return the errors at K cells by every draw, shape (draws, K), eV/Å; row 0 is the fit."""
        out = np.empty((self.n_draws, len(molecules)))
        for rows, fit in self.fits:
            out[rows] = fit.predict(molecules, conformers)
        return out

    def predict(self, molecules: np.ndarray, conformers: np.ndarray) -> np.ndarray:
        """Return the fitted errors at K cells, shape (K,), eV/Å."""
        return self._first().predict(np.asarray(molecules), np.asarray(conformers))[0]

    def parameters(self) -> dict[str, dict[str, float | list[float]]]:
        """Return coefficients (``c0`` …, in the order of the formula) and exponents (``p0`` …).

        Each with its value and, over the draws that chose the same form, its 95 % interval.
        """
        same = [fit for _, fit in self.fits if fit.form.name == self.form]
        told: dict[str, dict[str, float | list[float]]] = {}
        for kind, name in (("coefficients", "c"), ("powers", "p")):
            drawn = np.concatenate([getattr(fit, kind) for fit in same])
            first = getattr(self._first(), kind)[0]
            for i, value in enumerate(first):
                ends = np.quantile(drawn[:, i], [0.025, 0.975])
                told[f"{name}{i}"] = {"value": float(value), "interval": ends.tolist()}
        return told

    def _first(self) -> Fit:
        return next(fit for rows, fit in self.fits if rows[0] == 0)


def fit_surfaces(
    cells: Cells,
    *,
    test_sets: Sequence[str] | None = None,
    n_draws: int = 400,
    random_state: int = 0,
    form: str | None = None,
) -> dict[str, Surface]:
    r"""Fit and choose a response surface for each test set.

    What other replicates might have given is drawn from the scatter of those that there are: with
    :math:`d_r` the deviation of replicate r from the mean logarithm in every cell and test set,
    a draw adds :math:`\sqrt{(R-1)/\chi^2_{R-1}}\,\sum_r g_r d_r/\sqrt{R(R-1)}` with normal
    :math:`g_r`. It keeps how cells and test sets vary together, and an interval for anything
    linear in the logarithms is Student's; resampling three replicates would be far too narrow.
    Every draw chooses its form anew.

    Parameters
    ----------
    cells : Cells
    test_sets : sequence of str, optional
        All that have cells, by default.
    n_draws : int
        The study itself among them.
    random_state : int
    form : str, optional
        Name of a form that is taken without a choice.
    """
    n_replicates = cells.errors.shape[1]
    # The same draws in every test set and cell, so that mixtures keep what goes together.
    random = generator(random_state, "advice", "replicates")
    scale = np.zeros((n_draws, n_replicates))
    if n_replicates > 1:
        spread = np.sqrt((n_replicates - 1) / random.chisquare(n_replicates - 1, n_draws))
        normal = random.standard_normal((n_draws, n_replicates))
        scale = normal * spread[:, None] / np.sqrt(n_replicates * (n_replicates - 1))
        scale[0] = 0.0
    surfaces = {}
    for column, test_set in enumerate(cells.test_sets):
        if test_sets is not None and test_set not in test_sets:
            continue
        known = np.isfinite(cells.errors[:, :, column]).all(axis=1)
        known &= (np.nan_to_num(cells.errors[:, :, column]) > 0).all(axis=1)
        if known.sum() < 2:
            continue
        rows = np.flatnonzero(known)
        errors = cells.errors[rows, :, column]
        deviation = np.log(errors) - np.log(errors).mean(axis=1, keepdims=True)
        drawn = errors.mean(axis=1) * np.exp(scale @ deviation.T)
        surfaces[test_set] = _choose(
            test_set,
            rows,
            cells.molecules[rows],
            cells.conformers[rows],
            drawn,
            _weights(deviation),
            [f.name for f in FORMS] if form is None else [form],
        )
    return surfaces


def _choose(
    test_set: str,
    rows: np.ndarray,
    molecules: np.ndarray,
    conformers: np.ndarray,
    drawn: np.ndarray,
    weights: np.ndarray,
    names: list[str],
) -> Surface:
    told, scores = {}, []
    for name in names:
        usable = BY_NAME[name].extrapolates or len(names) == 1
        score = _left_out_score(
            name, molecules, conformers, drawn if usable else drawn[:1], weights
        )
        told[name] = float(np.sqrt(score[0]))
        scores.append(score if usable else np.full(len(drawn), np.inf))
    simplest_first = np.argsort([BY_NAME[name].n_parameters for name in names], kind="stable")
    ordered = np.stack(scores)[simplest_first]
    chosen = simplest_first[(ordered <= _AS_GOOD**2 * ordered.min(axis=0)).argmax(axis=0)]
    fits = []
    for k in np.unique(chosen):
        mine = np.flatnonzero(chosen == k)
        # Row 0 first: relative deviations are those from the study's own errors.
        fit = fit_form(BY_NAME[names[k]], molecules, conformers, drawn[np.append(0, mine)], weights)
        fits.append((mine, Fit(fit.form, fit.powers[1:], fit.coefficients[1:])))
    return Surface(
        test_set=test_set,
        form=names[chosen[0]],
        scores=told,
        cells=rows,
        fits=tuple(fits),
        n_draws=len(drawn),
    )


def folds(molecules: np.ndarray, conformers: np.ndarray) -> list[np.ndarray]:
    """Return which cells are left out together, masks of shape (K,).

    All cells of one M, then all of one C: advice is about numbers of molecules and of conformers
    that were not tried, and a neighbour in the same row would give a cell away. Each cell by
    itself where a line holds more than half of them, as in a cross of two experiments.
    """
    lines = [axis == value for axis in (molecules, conformers) for value in np.unique(axis)]
    if any(2 * out.sum() > len(molecules) for out in lines):
        return list(np.eye(len(molecules), dtype=bool))
    return lines


def _left_out_score(
    name: str,
    molecules: np.ndarray,
    conformers: np.ndarray,
    drawn: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the weighted mean square of log(predicted ÷ found) in left-out cells, by draw."""
    form = BY_NAME[name]
    total, weight = np.zeros(len(drawn)), 0.0
    for out in folds(molecules, conformers):
        kept = ~out
        if kept.sum() <= form.n_parameters:
            # As many parameters as cells: any prediction of the left-out ones is chance.
            return np.full(len(drawn), np.inf if name != "constant" else np.finfo(float).max)
        fit = fit_form(form, molecules[kept], conformers[kept], drawn[:, kept], weights[kept])
        predicted = fit.predict(molecules[out], conformers[out])
        off = np.log(np.maximum(predicted, 1e-300) / drawn[:, out])
        total += (off**2 * weights[out]).sum(axis=1)
        weight += weights[out].sum()
    if weight == 0:
        return np.full(len(drawn), np.inf if name != "constant" else np.finfo(float).max)
    return total / weight


def _weights(deviation: np.ndarray) -> np.ndarray:
    """Return inverse variances of each cell, drawn towards the mean of all; their mean is 1."""
    freedom = deviation.shape[1] - 1
    if freedom < 1:
        return np.ones(len(deviation))
    variance = (deviation**2).sum(axis=1) / freedom
    pooled = variance.mean()
    if pooled == 0:
        return np.ones(len(deviation))
    weight = (freedom + _POOLED) / (freedom * variance + _POOLED * pooled)
    return np.asarray(weight / weight.mean())
