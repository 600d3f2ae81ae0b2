"""Results of a grid whose errors are known."""

import numpy as np
import pytest
import xarray as xr

MOLECULES, CONFORMERS = np.array([(m, c) for m in (10, 20, 40, 80) for c in (1, 2, 4, 8)]).T


def law(molecules, conformers):
    """An error that falls with both: optimum inside for any large budget."""
    return 0.05 + 1.2 * np.asarray(molecules, float) ** -0.7 + 0.3 * np.asarray(conformers) ** -0.8


def grid_results(*errors, quarter=None, molecules=MOLECULES, conformers=CONFORMERS, noise=0.02):
    """Return results.nc of test sets with these errors by cell, (K,), in 3 replicates."""
    random = np.random.default_rng(5)
    shape = (len(molecules), 3)
    scatter = np.exp(noise * random.standard_normal(shape))
    found = np.stack([np.asarray(e)[:, None] * scatter for e in errors], axis=-1)
    early = 1.5 * found if quarter is None else quarter[:, None, None] * scatter[..., None]
    names = ["unseen_molecules", "own_conformers", "larger_molecules"][: len(errors)]
    cells = ("design", "replicate", "test_set")
    return xr.Dataset(
        {
            "force_mae": (cells, found),
            "force_mae_quarter": (cells, np.broadcast_to(early, found.shape)),
            "undertrained": (("design", "test_set"), np.zeros((len(molecules), len(names)), bool)),
        },
        coords={
            "experiment": ("design", ["grid"] * len(molecules)),
            "n_molecules": ("design", molecules),
            "n_conformers": ("design", conformers),
            "test_set": names,
        },
    )


@pytest.fixture(scope="session")
def pilot():
    """A pilot whose errors on one test set follow `law`."""
    return grid_results(law(MOLECULES, CONFORMERS))
