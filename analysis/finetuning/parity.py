"""Predicted against reference force components, element by element."""

import numpy as np
import xarray as xr

from .layout import UNIVERSAL
from .runs import TestRuns


def element_parity(
    predictions: xr.Dataset, *, series: str, test_run: str
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return reference and predicted force components of each element's atoms, eV/Å.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.finetuning.layout`.
    series : str
        ``universal``, or an arm: its last model. All replicates together.
    test_run : str
        As in the results.

    Returns
    -------
    dict of int to (ndarray, ndarray)
        By atomic number, ascending; without frames, empty.
    """
    tests = TestRuns(predictions)
    iteration = 0 if series == UNIVERSAL else tests.iterations[-1]
    of_atom = np.repeat(np.arange(predictions.sizes["structure"]), predictions["n_atoms"].values)
    numbers = predictions["atomic_number"].values
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for one in tests.tested(series, iteration, test_run):
        atoms = np.flatnonzero(np.isin(of_atom, one.structures))
        reference = predictions["forces_reference"].values[atoms]
        forces = predictions["forces"][one.model].values[atoms]
        for z in np.unique(numbers[atoms]).tolist():
            of = numbers[atoms] == z
            found.setdefault(z, []).append((reference[of].ravel(), forces[of].ravel()))
    return {
        z: (np.concatenate([r for r, _ in parts]), np.concatenate([f for _, f in parts]))
        for z, parts in sorted(found.items())
    }
