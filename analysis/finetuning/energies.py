"""Reference energies of test runs, and the residuals of models by energy."""

import numpy as np
import xarray as xr

from ..bootstrap import CrossedBootstrap
from .intervals import Ratio, interval
from .layout import INDEPENDENT, UNIVERSAL
from .runs import OWN, TestRuns

#: Frames of one replicate that the mean of a bin needs.
FEWEST_FRAMES = 2


def energy_bins(predictions: xr.Dataset, *, n_bins: int = 5, n_columns: int = 16) -> xr.Dataset:
    """Sort test frames by their reference energy; average the residuals of each bin.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.finetuning.layout`.
    n_bins : int
        For residuals: each holds as many of the frames of all models on one kind of test run.
    n_columns : int
        Of the histogram, of equal width.

    Returns
    -------
    xarray.Dataset
        Over ``series`` (universal and the last model of every arm) and ``test_run`` (``own`` and
        ``independent``): ``density`` (…, part), of reference energies, atoms per eV, over the
        frames of all replicates; ``edge`` (edge) of its columns. ``residual`` (…, bin), mean of
        (E − E_ref)/N over frames, then over replicates with two or more of them, eV;
        ``residual_interval`` (…, bin, bound), 95 %, see :mod:`.intervals`; ``centre`` (test_run,
        bin), mean energy of its frames. Energies are per atom, relative to the mean of all these
        frames, eV.
    """
    tests = TestRuns(predictions)
    series = [UNIVERSAL, *tests.arms]
    kinds = [kind for kind in (OWN, INDEPENDENT) if kind in tests.names]
    n_atoms = predictions["n_atoms"].values
    reference = predictions["energy_reference"].values / n_atoms
    residual = (predictions["energy"].values - predictions["energy_reference"].values) / n_atoms
    cells = {}
    for s, name in enumerate(series):
        iteration = 0 if name == UNIVERSAL else tests.iterations[-1]
        for k, kind in enumerate(kinds):
            cells[s, k] = tests.tested(name, iteration, kind)
    rows = np.unique(np.concatenate([one.structures for found in cells.values() for one in found]))
    reference = reference - reference[rows].mean()
    edges = np.histogram_bin_edges(reference[rows], n_columns)
    shape = len(series), len(kinds), n_bins
    density, values = np.full((*shape[:2], n_columns), np.nan), np.full(shape, np.nan)
    bounds = np.full((*shape, 2), np.nan)
    place = np.zeros((len(kinds), len(reference)), dtype=np.int64)
    centres = np.full(shape[1:], np.nan)
    for k in range(len(kinds)):
        found = [one.structures for (_, of), tested in cells.items() if of == k for one in tested]
        frames = np.unique(np.concatenate(found))
        inner = np.quantile(reference[frames], np.arange(1, n_bins) / n_bins)
        place[k] = np.searchsorted(inner, reference, side="right")
        for b in np.unique(place[k, frames]):
            centres[k, b] = reference[frames[place[k, frames] == b]].mean()
    bootstrap = CrossedBootstrap()
    for (s, k), models in cells.items():
        if not models:
            continue
        frames = np.unique(np.concatenate([one.structures for one in models]))
        density[s, k] = np.histogram(reference[frames], edges, density=True)[0]
        for b in range(n_bins):
            ratios = []
            for one in models:
                inside = one.structures[place[k, one.structures] == b]
                if len(inside) >= FEWEST_FRAMES:
                    block = tests.blocks(inside, kinds[k])
                    of_bin = residual[one.model, inside]
                    ratios.append(Ratio(of_bin, np.ones(len(inside)), block))
            if ratios:
                values[s, k, b] = np.mean([r.value() for r in ratios])
                bounds[s, k, b] = interval(
                    ratios, shared=tests.shared(kinds[k]), positive=False, bootstrap=bootstrap
                )
    return xr.Dataset(
        {
            "density": (("series", "test_run", "part"), density),
            "residual": (("series", "test_run", "bin"), values, {"units": "eV"}),
            "residual_interval": (("series", "test_run", "bin", "bound"), bounds, {"units": "eV"}),
            "edge": ("edge", edges, {"units": "eV"}),
            "centre": (("test_run", "bin"), centres, {"units": "eV"}),
        },
        coords={"series": series, "test_run": kinds, "bound": ["lower", "upper"]},
    )
