"""Do scores of atoms foresee the errors of models tuned in dynamics? By arm, run and element."""

from typing import Any

import numpy as np
import xarray as xr
from ase.data import chemical_symbols
from scipy import special

from ..bootstrap import IDENTITY, Link, fisher, log_odds
from ..foresight import FRAME_SCORES, foresee_atoms, foresee_frames
from .intervals import CONFIDENCE
from .runs import Tested, TestRuns
from .structures import tested_elements

WORST = (0.05, 0.1)
#: Scales on which deviations are about as wide above as below.
_LINKS = {"spearman": fisher(0.999), "auroc": log_odds(0.001), "won": IDENTITY}
_DIMS: dict[str, tuple[str, ...]] = {
    "spearman": ("element", "detector"),
    "auroc": ("element", "detector", "worst"),
    "won": ("element", "detector"),
    "risk": ("element", "detector", "kept"),
    "risk_oracle": ("element", "kept"),
    "risk_random": ("element",),
    "n_atoms": ("element",),
    "frame_spearman": ("detector", "summary"),
}


def foresee_arms(
    predictions: xr.Dataset, *, n_resamples: int = 200, random_state: int = 0
) -> xr.Dataset:
    """Measure how well each detector foresees the errors of every arm's last model.

    Each model is asked by itself, on the atoms of a test run, within each element
    (:func:`breadth.analysis.foresight.foresee_atoms`); the numbers are means over replicates.
    Scores of a frame's atoms are divided by the limit of their element before they are summed up.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.finetuning.layout`, with ``score`` and ``limit``.
    n_resamples, random_state : int
        Of the block bootstrap.

    Returns
    -------
    xarray.Dataset
        Over (arm, test_run, …): ``spearman`` (element, detector), ``auroc`` (element, detector,
        worst), ``won`` (element, detector), ``frame_spearman`` (detector, summary), each with
        ``NAME_interval`` (…, bound); ``risk`` (element, detector, kept), ``risk_oracle`` and
        ``risk_random``, eV/Å; ``n_atoms`` (element), of one replicate. Intervals are the wider of
        Student's over replicates and the block bootstrap over frames, 95 %. NaN: too few atoms or
        frames.
    """
    tests = TestRuns(predictions)
    last = tests.iterations[-1]
    names = [name for name in tests.names if name not in tests.arms]
    found: dict[tuple[int, int], xr.Dataset] = {}
    for a, arm in enumerate(tests.arms):
        for t, test_run in enumerate(names):
            options = {"n_resamples": n_resamples, "random_state": random_state}
            models = tests.tested(arm, last, test_run)
            parts = [_of_model(predictions, one, **options) for one in models]
            if scored := [part for part in parts if part is not None]:
                found[a, t] = _mean(scored, shared=tests.shared(test_run))
    detectors = predictions["detector"].values.astype(str).tolist()
    coords: dict[str, Any] = {
        "element": [chemical_symbols[z] for z in tested_elements(predictions)],
        "detector": detectors,
        "worst": list(WORST),
        "kept": np.arange(1, 21) / 20,
        "summary": list(FRAME_SCORES),
        "bound": ["lower", "upper"],
    }
    results = xr.Dataset(
        coords={"arm": tests.arms, "test_run": names} | coords,
        attrs={
            "iteration": int(last),
            "interval": "95 %: the wider of Student’s t over replicates and a block bootstrap over "
            "frames",
        },
    )
    for name, dims in _DIMS.items():
        endings = ("", "_interval") if name in (*_LINKS, "frame_spearman") else ("",)
        for ending in endings:
            of = (*dims, "bound") if ending else dims
            shape = len(tests.arms), len(names), *(len(coords[d]) for d in of)
            table = np.full(shape, np.nan)
            for place, part in found.items():
                aligned = part[name + ending].reindex({d: coords[d] for d in of})
                table[place] = aligned.transpose(*of).values
            results[name + ending] = (("arm", "test_run", *of), table)
    for name in ("risk", "risk_oracle", "risk_random"):
        results[name].attrs["units"] = "eV/angstrom"
    return results


def _of_model(predictions: xr.Dataset, one: Tested, **options: int) -> xr.Dataset | None:
    """Return what the scores of one model foresee on its test structures; None without scores."""
    counts = predictions["n_atoms"].values
    of_atom = np.repeat(np.arange(len(counts)), counts)
    atoms = np.flatnonzero(np.isin(of_atom, one.structures))
    score = predictions["score"][one.model].values[:, atoms]
    there = np.isfinite(score).any(axis=1)
    if not there.any():
        return None
    names = predictions["detector"].values.astype(str)[there].tolist()
    score = score[there]
    numbers = predictions["atomic_number"].values[atoms]
    wrong = predictions["forces"][one.model].values[atoms].astype(np.float64)
    error = np.linalg.norm(wrong - predictions["forces_reference"].values[atoms], axis=1)
    of = of_atom[atoms]
    run = _runs(predictions)
    found = foresee_atoms(
        dict(zip(names, score, strict=True)),
        error,
        numbers,
        of,
        run=run[of],
        worst=WORST,
        kept=np.arange(1, 21) / 20,
        **options,
    )
    elements = predictions["element"].values
    limit = predictions["limit"][one.model].values[there]
    place = np.searchsorted(elements, numbers).clip(max=len(elements) - 1)
    scaled = score / np.where(elements[place] == numbers, limit[:, place], np.nan)
    rows = one.structures
    residual = predictions["energy"][one.model].values[rows]
    residual = (residual - predictions["energy_reference"].values[rows]) / counts[rows]
    frames = foresee_frames(
        dict(zip(names, scaled, strict=True)),
        residual,
        np.searchsorted(rows, of),
        run=run[rows],
        **options,
    )
    found["frame_spearman"] = frames["spearman"]
    found["frame_spearman_interval"] = frames["spearman_interval"]
    return found


def _runs(predictions: xr.Dataset) -> np.ndarray:
    """Return the run of each structure, by number."""
    names = [predictions[f"test_{n}"].values.astype(str) for n in ("run", "iteration", "replicate")]
    joined = np.char.add(np.char.add(names[0], "/"), np.char.add(names[1], "/"))
    return np.unique(np.char.add(joined, names[2]), return_inverse=True)[1]


def _mean(parts: list[xr.Dataset], *, shared: bool) -> xr.Dataset:
    """Average replicates; shared: all were tested on the same frames."""
    joined = xr.concat(parts, dim="replicate", join="outer", data_vars="all", coords="minimal")
    names = _LINKS | {"frame_spearman": _LINKS["spearman"]}
    mean = joined.drop_vars("reason").mean("replicate")
    for name, link in names.items():
        table = joined[name].transpose("replicate", ...).values
        ends = joined[f"{name}_interval"].transpose("replicate", ..., "bound").values
        bounds = _bounds(table, ends, link, shared=shared)
        mean[f"{name}_interval"] = ((*mean[name].dims, "bound"), bounds)
    return mean


def _bounds(table: np.ndarray, ends: np.ndarray, link: Link, *, shared: bool) -> np.ndarray:
    """Return the wider interval of two for the mean of (R, …), with the bounds (R, …, 2) of each.

    A run of a replicate's own is new frames: their chance is averaged over replicates too.
    """
    n = np.isfinite(table).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(np.isfinite(table), table, 0.0).sum(axis=0)
        mean = total / np.where(n, n, np.nan)
        known = np.where(np.isfinite(table), table - mean, 0.0)
        spread = np.sqrt((known**2).sum(axis=0) / np.where(n > 1, n - 1, np.nan))
        student = special.stdtrit(np.maximum(n - 1, 1), (1.0 + CONFIDENCE) / 2.0) * spread
        student = student / np.sqrt(np.maximum(n, 1)) * link.slope(mean)
        half = np.diff(link.forward(ends), axis=-1)[..., 0] / 2.0
        half = np.where(np.isfinite(half), half, np.nan)
        of_frames = np.nansum(half, axis=0) / np.maximum(np.isfinite(half).sum(axis=0), 1)
        of_frames = of_frames / (1.0 if shared else np.sqrt(np.maximum(n, 1)))
        wide = np.fmax(student, of_frames)[..., None] * np.array([-1.0, 1.0])
        return link.inverse(link.forward(mean)[..., None] + wide)
