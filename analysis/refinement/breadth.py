"""Does a broader training set leave less for refinement to win back?"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..bootstrap import CrossedBootstrap, mean_over_replicates
from .groups import IN_DISTRIBUTION


@dataclass(frozen=True)
class LeftToWin:
    """What one design at a fixed budget leaves to win back, over systems out of distribution.

    Attributes
    ----------
    n_molecules, n_conformers : int
        Of the design.
    n_systems : int
    force_mae : float
        Without refinement, eV/Å.
    gain : float
        Error won by the method against none, eV/Å.
    gain_interval : tuple of float
        95 %, over training sets × systems.
    less : float
        By how much more the design of fewest molecules gains, eV/Å; paired by replicate and system.
    less_interval : tuple of float
        95 %; NaN for that design itself.
    """

    n_molecules: int
    n_conformers: int
    n_systems: int
    force_mae: float
    gain: float
    gain_interval: tuple[float, float]
    less: float
    less_interval: tuple[float, float]


def left_to_win(
    results: xr.Dataset,
    *,
    method: str = "test_time",
    n_resamples: int = 1000,
    random_state: int = 0,
) -> list[LeftToWin]:
    """Compare the gain of a method between the designs of a fixed budget.

    Parameters
    ----------
    results : xarray.Dataset
        Of models of a trade-off study: with a dimension ``design``.
    method : str
    n_resamples, random_state
        Of the bootstrap.

    Returns
    -------
    list of LeftToWin
        By number of molecules; empty without a fixed budget, the method, or a system out of
        distribution.
    """
    if "design" not in results.dims or method not in results["method"].values:
        return []
    fixed = np.flatnonzero(results["design_experiment"].values.astype(str) == "fixed_budget")
    fixed = fixed[np.argsort(results["n_molecules"].values[fixed], kind="stable")]
    away = results["shift"].values.astype(str) != IN_DISTRIBUTION
    if not len(fixed) or not away.any():
        return []
    order = ("design", "replicate", "system")
    gain = results["gain"].sel({"method": method}).transpose(*order).values[:, :, away]
    error = results["force_mae"].sel({"method": "none"}).transpose(*order).values[:, :, away]
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    found = []
    for row in fixed.tolist():
        less = gain[fixed[0]] - gain[row]
        first = row == fixed[0]
        found.append(
            LeftToWin(
                n_molecules=int(results["n_molecules"].values[row]),
                n_conformers=int(results["n_conformers"].values[row]),
                n_systems=int(np.isfinite(gain[row]).any(axis=0).sum()),
                force_mae=float(mean_over_replicates(error[row])),
                gain=float(mean_over_replicates(gain[row])),
                gain_interval=bootstrap.interval(gain[row], positive=False),
                less=float(mean_over_replicates(less)),
                less_interval=(np.nan, np.nan)
                if first
                else bootstrap.interval(less, positive=False),
            )
        )
    return found
