"""Where the frames of each training set lie among principal components, and how sets grow."""

import numpy as np
import xarray as xr
from scipy.spatial import ConvexHull, QhullError

from ..bootstrap import CrossedBootstrap
from ..errors import structure_starts
from .intervals import Ratio, interval
from .layout import INDEPENDENT


def frame_components(dataset: xr.Dataset, name: str = "component") -> np.ndarray:
    """Return the mean over the atoms of each frame, (n, K), of their principal components."""
    n_atoms = dataset["n_atoms"].values
    of_atoms = dataset[name].values.astype(np.float64)
    return np.add.reduceat(of_atoms, structure_starts(n_atoms)) / n_atoms[:, None]


def set_growth(training: xr.Dataset, predictions: xr.Dataset | None = None) -> xr.Dataset:
    """Measure what the sets of each arm span in the plane of the first two components.

    A frame stands at the mean of its atoms. The measure is the area of the convex hull of a
    replicate's cumulative set; it grows with the number of frames, so that only sets of equal
    numbers compare.

    Parameters
    ----------
    training : xarray.Dataset
        ``component`` (atom, component), ``n_atoms``, ``arm``, ``replicate`` and ``iteration``
        (frame), the first whose set holds the frame; optional ``explained_variance`` (component).
    predictions : xarray.Dataset, optional
        Of the same study, with ``component`` (atom, component): the independent frames are shown
        and areas are relative to their hull.

    Returns
    -------
    xarray.Dataset
        ``x``, ``y`` (frame) with ``arm``, ``iteration`` and ``replicate``; ``area`` (set,
        set_iteration, set_replicate) and ``area_interval`` (set, set_iteration, bound), 95 % over
        replicates; ``independent_x``, ``independent_y``; attribute ``relative``: 1 if areas are
        relative. NaN: fewer than three frames.
    """
    plane = frame_components(training)[:, :2]
    arm, iteration, replicate = (
        training[name].values for name in ("arm", "iteration", "replicate")
    )
    arms = list(dict.fromkeys(arm.astype(str).tolist()))
    iterations, replicates = np.unique(iteration), np.unique(replicate)
    whole, beside = 1.0, np.empty((0, 2))
    if predictions is not None and "component" in predictions:
        rows = predictions["test_run"].values.astype(str) == INDEPENDENT
        beside = frame_components(predictions)[rows, :2]
    relative = np.isfinite(_area(beside))
    if relative:
        whole = _area(beside)
    area = np.full((len(arms), len(iterations), len(replicates)), np.nan)
    bounds = np.full((*area.shape[:2], 2), np.nan)
    for a, i in np.ndindex(*area.shape[:2]):
        for r in range(len(replicates)):
            chosen = (arm == arms[a]) & (iteration <= iterations[i])
            area[a, i, r] = _area(plane[chosen & (replicate == replicates[r])]) / whole
        known = area[a, i][np.isfinite(area[a, i])]
        ratios = [Ratio(np.array([v]), np.ones(1), np.zeros(1, dtype=int)) for v in known]
        bounds[a, i] = interval(ratios, shared=False, positive=True, bootstrap=CrossedBootstrap())
    found = xr.Dataset(
        {
            "x": ("frame", plane[:, 0]),
            "y": ("frame", plane[:, 1]),
            "independent_x": ("independent", beside[:, 0]),
            "independent_y": ("independent", beside[:, 1]),
            "area": (("set", "set_iteration", "set_replicate"), area),
            "area_interval": (("set", "set_iteration", "bound"), bounds),
        },
        coords={
            "set": arms,
            "set_iteration": iterations,
            "set_replicate": replicates,
            "bound": ["lower", "upper"],
            **{n: ("frame", training[n].values) for n in ("arm", "iteration", "replicate")},
        },
        attrs={"relative": int(relative)},
    )
    if "explained_variance" in training:
        found["explained_variance"] = ("component", training["explained_variance"].values)
    return found


def _area(points: np.ndarray) -> float:
    """Return the area of the convex hull, NaN for fewer than three points or points on a line."""
    if len(points) < 3:
        return float("nan")
    try:
        return float(ConvexHull(points).volume)  # scipy calls the measure of any hull so
    except QhullError:
        return float("nan")
