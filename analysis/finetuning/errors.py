"""Errors of models tuned in dynamics, with intervals: ``predictions.nc`` → ``results.nc``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..bootstrap import CrossedBootstrap
from .differences import paired_differences
from .intervals import Ratio, interval
from .layout import ORIGINAL_DOMAIN, UNIVERSAL, check_finetuning
from .runs import OWN, Tested, TestRuns
from .structures import StructureTables, structure_tables

DIMS = ("arm", "iteration", "replicate", "test_run")
_BOUNDS = ("arm", "iteration", "test_run", "bound")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ABOUT = {
    "energy_residual": ("eV", "root mean square of (E − E_ref)/N over frames"),
    "energy_offset": ("eV", "mean of (E − E_ref)/N over frames"),
    "energy_spread": ("eV", "standard deviation of (E − E_ref)/N over frames"),
    "force_mae": ("eV/angstrom", "mean absolute error of Cartesian force components"),
    "force_mae_element": ("eV/angstrom", "force MAE of an element's atoms"),
    "relative_force_mae_element": ("1", "force MAE of an element ÷ mean |component| of it"),
    "q_residual": ("1", "mean Q over atoms"),
    "coverage": ("1", "share of atoms whose Q lies within their element's held-out limit"),
    "stability_time": ("ps", "of the test run; of one stable to its end a lower bound"),
    "force_mae_original_domain": ("eV/angstrom", "against the untouched universal model"),
    "force_mae_difference": ("eV/angstrom", "force MAE of an arm less that of the other"),
    "energy_residual_quantile": ("eV", "quantiles of (E − E_ref)/N over frames"),
}


@dataclass(frozen=True)
class _Quantity:
    """How a number is made of a model's frames."""

    make: Callable[[Tested, np.ndarray], Ratio]
    positive: bool = True
    bounded: bool = False
    """It is a share."""


def finetuning_errors(
    predictions: xr.Dataset,
    *,
    runs: xr.Dataset | None = None,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> xr.Dataset:
    """Compute every error of a study of fine-tuning from its predictions.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.finetuning.layout`.
    runs : xarray.Dataset, optional
        ``stability_time`` (run), ps, with ``arm``, ``iteration`` and ``replicate`` of the model
        whose run it is.
    n_resamples, random_state : int
        Of the crossed bootstrap; see :mod:`breadth.analysis.finetuning.intervals`.

    Returns
    -------
    xarray.Dataset
        Over (arm, iteration, replicate, test_run); iteration 0 is the universal model, the same in
        every arm. ``test_run`` is ``own`` (the model's own dynamics), ``other_arms`` (runs of the
        last models of all other arms), ``independent``, ``universal`` and each arm (the run of its
        last model); all of one replicate. ``energy_residual``, ``energy_offset``,
        ``energy_spread``, ``force_mae``, ``q_residual``, ``coverage``, ``stability_time``;
        ``force_mae_element`` and ``relative_force_mae_element`` (…, element);
        ``force_mae_original_domain`` (arm, iteration, replicate); each of these with
        ``NAME_interval`` (…, bound) for the mean over replicates. ``n_structures``, those tested
        on, and ``energy_residual_quantile`` (…, quantile) have none. ``force_mae_difference``
        (arm, other, iteration, test_run) and its interval are paired by replicate, on the frames
        that both were tested on: negative where the arm is better than the other. NaN: no such
        model or run.

    Raises
    ------
    DataError
        The predictions are not in the agreed layout.
    """
    check_finetuning(predictions)
    tests = TestRuns(predictions)
    tables = structure_tables(predictions)
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    names = tests.names
    results = xr.Dataset(
        coords={
            "arm": tests.arms,
            "iteration": tests.iterations,
            "replicate": tests.replicates,
            "test_run": names,
            "element": tables.elements,
            "quantile": list(QUANTILES),
            "bound": ["lower", "upper"],
        },
        attrs={
            **predictions.attrs,
            "interval": "95 %: Student’s t over replicates; on sets that all replicates share, "
            "crossed bootstrap over replicates × blocks of contiguous frames",
            "n_resamples": n_resamples,
            "random_state": random_state,
        },
    )
    quantities = _quantities(tables)
    for name, quantity in quantities.items():
        values, bounds = _table(quantity, tests, names, bootstrap)
        results[name], results[f"{name}_interval"] = (DIMS, values), (_BOUNDS, bounds)
    scales = {"": tables.element_components, "relative_": tables.element_force}
    for before, scale in scales.items():
        found = [
            _table(_of_element(tables, e, scale), tests, names, bootstrap)
            for e in range(len(tables.elements))
        ]
        of_elements = [np.stack([table[k] for table in found], axis=4 - k) for k in (0, 1)]
        name = f"{before}force_mae_element"
        results[name] = ((*DIMS, "element"), of_elements[0])
        results[f"{name}_interval"] = ((*_BOUNDS[:3], "element", "bound"), of_elements[1])
    results["energy_residual_quantile"] = _quantiles(results, tables, tests)
    results["n_structures"] = (DIMS, _counts(results, tests))
    if (predictions["test_run"].values.astype(str) == ORIGINAL_DOMAIN).any():
        values, bounds = _table(quantities["force_mae"], tests, [ORIGINAL_DOMAIN], bootstrap)
        name = "force_mae_original_domain"
        results[name] = (DIMS[:3], values[..., 0])
        results[f"{name}_interval"] = (("arm", "iteration", "bound"), bounds[:, :, 0])
    results.coords["other"] = ("other", tests.arms)
    values, bounds = paired_differences(tests, quantities["force_mae"].make, bootstrap)
    pairs = ("arm", "other", "iteration", "test_run")
    results["force_mae_difference"] = (pairs, values)
    results["force_mae_difference_interval"] = ((*pairs, "bound"), bounds)
    if runs is not None:
        _stability(results, runs)
    if "n_frames" in predictions:
        results["n_frames"] = _of_models(predictions["n_frames"].values, results, tests)
    for name, (units, text) in _ABOUT.items():
        for ending in ("", "_interval"):
            if name + ending in results:
                results[name + ending].attrs = {"units": units, "long_name": text}
    return results


def _quantities(tables: StructureTables) -> dict[str, _Quantity]:
    def mean(table: np.ndarray, *, positive: bool = True, bounded: bool = False) -> _Quantity:
        def make(one: Tested, block: np.ndarray) -> Ratio:
            values = table[one.model, one.structures]
            return Ratio(values, np.ones(len(values)), block)

        return _Quantity(make, positive=positive, bounded=bounded)

    def squared(*, centred: bool) -> _Quantity:
        def make(one: Tested, block: np.ndarray) -> Ratio:
            values = tables.residual[one.model, one.structures]
            lost = 0.0
            if centred:
                values, lost = values - values.mean(), 1.0  # a degree of freedom, to the mean
            share = max(len(values) - lost, 0.0) / len(values)
            return Ratio(values**2, np.full(len(values), share), block, root=True)

        return _Quantity(make)

    found = {
        "energy_residual": squared(centred=False),
        "energy_offset": mean(tables.residual, positive=False),
        "energy_spread": squared(centred=True),
        "force_mae": mean(tables.force_mae),
    }
    if "q" in tables.score:
        found["q_residual"] = mean(tables.score["q"])
    if tables.coverage is not None:
        found["coverage"] = mean(tables.coverage, positive=False, bounded=True)
    return found


def _of_element(tables: StructureTables, element: int, scale: np.ndarray) -> _Quantity:
    def make(one: Tested, block: np.ndarray) -> Ratio:
        error = tables.element_error[one.model, one.structures, element]
        return Ratio(error, scale[one.structures, element], block)

    return _Quantity(make)


def _table(
    quantity: _Quantity, tests: TestRuns, test_runs: list[str], bootstrap: CrossedBootstrap
) -> tuple[np.ndarray, np.ndarray]:
    """Return a quantity, (arm, iteration, replicate, test_run), and its interval, (…, bound)."""
    shape = len(tests.arms), len(tests.iterations), len(tests.replicates), len(test_runs)
    values = np.full(shape, np.nan)
    bounds = np.full((*shape[:2], shape[3], 2), np.nan)
    for (a, arm), (i, iteration), (t, test_run) in _cells(tests, test_runs):
        found = [
            (one.replicate, quantity.make(one, tests.blocks(one.structures, test_run)))
            for one in tests.tested(arm, iteration, test_run)
        ]
        for replicate, ratio in found:
            values[a, i, replicate, t] = ratio.value()
        ends = interval(
            [ratio for _, ratio in found],
            shared=tests.shared(test_run),
            positive=quantity.positive,
            bootstrap=bootstrap,
        )
        bounds[a, i, t] = np.clip(ends, 0.0, 1.0) if quantity.bounded else ends
    return values, bounds


def _quantiles(results: xr.Dataset, tables: StructureTables, tests: TestRuns) -> xr.Variable:
    dims = (*DIMS, "quantile")
    values = np.full([results.sizes[d] for d in dims], np.nan)
    for (a, arm), (i, iteration), (t, test_run) in _cells(tests, tests.names):
        for one in tests.tested(arm, iteration, test_run):
            residual = tables.residual[one.model, one.structures]
            values[a, i, one.replicate, t] = np.quantile(residual, QUANTILES)
    return xr.Variable(dims, values)


def _counts(results: xr.Dataset, tests: TestRuns) -> np.ndarray:
    count = np.zeros([results.sizes[d] for d in DIMS], dtype=np.int64)
    for (a, arm), (i, iteration), (t, test_run) in _cells(tests, tests.names):
        for one in tests.tested(arm, iteration, test_run):
            count[a, i, one.replicate, t] = len(one.structures)
    return count


def _stability(results: xr.Dataset, runs: xr.Dataset) -> None:
    """Add how long the run of a cell was stable: that of the model, or that it is tested on."""
    names = [runs[name].values for name in ("arm", "iteration", "replicate")]
    keys = [(str(a), int(i), int(r)) for a, i, r in zip(*names, strict=True)]
    stable = dict(zip(keys, runs["stability_time"].values.astype(float).tolist(), strict=True))
    last = {arm: max(i for a, i, _ in keys if a == arm) for arm, *_ in keys}
    values = np.full([results.sizes[d] for d in DIMS], np.nan)
    for place in np.ndindex(values.shape):
        arm, iteration, replicate, test_run = (
            results[d].values[at].item() for d, at in zip(DIMS, place, strict=True)
        )
        if test_run == OWN:
            key = (arm if iteration else UNIVERSAL, iteration, replicate)
        else:
            key = (test_run, last.get(test_run, 0), replicate)
        values[place] = stable.get(key, stable.get((test_run, -1, -1), np.nan))
    results["stability_time"] = (DIMS, values)
    bounds = np.full((*values.shape[:2], values.shape[3], 2), np.nan)
    for a, i, t in np.ndindex(bounds.shape[:3]):
        known = values[a, i, np.isfinite(values[a, i, :, t]), t]
        ratios = [Ratio(np.array([v]), np.ones(1), np.zeros(1, dtype=int)) for v in known]
        if len(ratios) > 1:
            bounds[a, i, t] = interval(
                ratios, shared=False, positive=True, bootstrap=CrossedBootstrap()
            )
    results["stability_time_interval"] = (_BOUNDS, bounds)


def _of_models(values: np.ndarray, results: xr.Dataset, tests: TestRuns) -> xr.Variable:
    dims = ("arm", "iteration", "replicate")
    found = np.zeros([results.sizes[d] for d in dims])
    for (a, arm), (i, iteration), (r, replicate) in _cells(tests, tests.replicates):
        model = tests.model(arm, iteration, replicate)
        found[a, i, r] = np.nan if model is None else values[model]
    return xr.Variable(dims, found)


def _cells(tests: TestRuns, last: list) -> list[tuple]:
    return [
        (a, i, t)
        for a in enumerate(tests.arms)
        for i in enumerate(tests.iterations)
        for t in enumerate(last)
    ]
