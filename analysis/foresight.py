"""Does a score tell which atoms, and which frames, a potential gets wrong?

The main test is per atom and within an element: elements differ in their errors and in their
scores, and a score that only tells hydrogen from cobalt foresees nothing. |ΔE| of a frame holds the
potential's constant offset, which is taken off; what is left is asked of the frame's mean, greatest
and greatest twentieth of scores.

Atoms of one frame, and frames of one run, are not independent: intervals resample contiguous blocks
of frames (see :mod:`.blocks`), and are those of a block bootstrap rescaled to Student's t (see
:mod:`.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from ase.data import chemical_symbols

from ..diversity.errors import DataError
from .blocks import blocks_of_frames
from .bootstrap import CrossedBootstrap, fisher
from .relation.ranks import rank_correlation
from .relation.risk import bounds_by_unit, detect_failures, risk_by_coverage

#: Most blocks of frames; with more, neighbours in time are taken as independent.
N_BLOCKS = 20
#: Fewest frames of a block, and fewest atoms or frames for a correlation.
_FRAMES, FEWEST = 2, 20
#: How the scores of a frame's atoms become one.
FRAME_SCORES = ("mean", "max", "top_5_percent")


def foresee_atoms(
    score: Mapping[str, np.ndarray],
    error: np.ndarray,
    elements: np.ndarray,
    frame: np.ndarray,
    *,
    run: np.ndarray | None = None,
    worst: Sequence[float] = (0.05, 0.1),
    kept: np.ndarray | None = None,
    n_blocks: int = N_BLOCKS,
    n_resamples: int = 500,
    random_state: int = 0,
) -> xr.Dataset:
    """Measure how well scores of atoms foresee their errors, within each element.

    Parameters
    ----------
    score : mapping of str to array, shape (n,)
        By detector; higher is farther outside. Atoms that a detector knows nothing of (NaN) are
        left out for all detectors.
    error : array, shape (n,)
        Of the atom's force, such as |ΔF|, eV/Å.
    elements, frame : array of int, shape (n,)
        Atomic number and frame of each atom; frames of one run follow each other.
    run : array, shape (n,), optional
        Trajectory of each atom, whose frames are numbered by themselves.
    worst : sequence of float
        Shares of an element's atoms, of greatest error, that are to be found; NaN with fewer than
        five such atoms.
    kept : array, shape (K,), optional
        Shares of atoms kept in the curves of risk; twenty even ones by default.
    n_blocks, n_resamples, random_state : int
        Of the block bootstrap.

    Returns
    -------
    xarray.Dataset
        ``spearman`` (element, detector), ``auroc`` (element, detector, worst), ``risk`` (element,
        detector, kept), mean error of the atoms of lowest score, and ``won`` (element, detector),
        the part of the area between a random order, 0, and that by the error itself, 1; each but
        ``risk`` with an ``…_interval`` (…, bound), 95 %. ``risk_oracle`` (element, kept),
        ``risk_random``, ``n_atoms``, ``n_frames``, ``n_blocks`` and ``reason`` (element): why there
        are no numbers, or empty.

    Raises
    ------
    DataError
        If the arrays are not as many, or an error is NaN or infinite.
    """
    names = list(score)
    table = np.stack([np.asarray(score[name], dtype=np.float64) for name in names], axis=-1)
    error = np.asarray(error, dtype=np.float64)
    run = np.zeros(len(error), dtype=np.int64) if run is None else np.asarray(run)
    if not len(table) == len(error) == len(elements) == len(frame) == len(run):
        raise DataError(
            f"{len(table)} scores, {len(error)} errors, {len(elements)} elements, {len(frame)} "
            f"frames and {len(run)} runs: there must be one of each for every atom."
        )
    if not np.isfinite(error).all():
        raise DataError(
            f"The error of atom {int(np.argmin(np.isfinite(error)))} is NaN or infinite: leave "
            "frames out that have no label, or whose prediction exploded, and say so."
        )
    known = np.isfinite(table).all(axis=1)
    kinds = np.unique(elements)
    kept = np.arange(1, 21) / 20 if kept is None else np.asarray(kept)
    shape = len(kinds), len(names)
    found: dict[str, np.ndarray] = {
        "spearman": np.full(shape, np.nan),
        "spearman_interval": np.full((*shape, 2), np.nan),
        "auroc": np.full((*shape, len(worst)), np.nan),
        "auroc_interval": np.full((*shape, len(worst), 2), np.nan),
        "won": np.full(shape, np.nan),
        "won_interval": np.full((*shape, 2), np.nan),
        "risk": np.full((*shape, len(kept)), np.nan),
        "risk_oracle": np.full((len(kinds), len(kept)), np.nan),
        "risk_random": np.full(len(kinds), np.nan),
        **{name: np.zeros(len(kinds), dtype=np.int64) for name in ("n_atoms", "n_frames")},
        "n_blocks": np.zeros(len(kinds), dtype=np.int64),
        "reason": np.full(len(kinds), "", dtype=object),
    }
    options = {"n_resamples": n_resamples, "random_state": random_state}
    for k, z in enumerate(kinds):
        rows = np.flatnonzero((elements == z) & known)
        found["n_atoms"][k] = len(rows)
        if len(rows) < FEWEST:
            found["reason"][k] = f"{len(rows)} atoms; fewer than {FEWEST} support no relation"
            continue
        unit, found["n_frames"][k] = _units(frame[rows], run[rows], n_blocks)
        found["n_blocks"][k] = unit.max() + 1
        of, wrong = table[rows], error[rows]
        found["spearman"][k], found["spearman_interval"][k] = _correlate(of, wrong, unit, **options)
        for w, share in enumerate(worst):
            failed = wrong > np.quantile(wrong, 1.0 - share)
            detected = detect_failures(of[None], failed[None], unit=unit, **options)
            found["auroc"][k, :, w] = detected.auroc
            found["auroc_interval"][k, :, w] = detected.interval
        risk = risk_by_coverage(of[None], wrong[None], kept=kept, unit=unit, **options)
        found["risk"][k], found["risk_oracle"][k] = risk.risk, risk.oracle
        found["risk_random"][k] = risk.random_area
        found["won"][k], found["won_interval"][k] = risk.won, risk.won_interval
    found["reason"] = found["reason"].astype(str)
    dims: dict[str, tuple[str, ...]] = {
        "spearman": ("element", "detector"),
        "auroc": ("element", "detector", "worst"),
        "won": ("element", "detector"),
        "risk": ("element", "detector", "kept"),
        "risk_oracle": ("element", "kept"),
    }
    dims |= {f"{name}_interval": (*dims[name], "bound") for name in ("spearman", "auroc", "won")}
    return xr.Dataset(
        {name: (dims.get(name, ("element",)), values) for name, values in found.items()},
        coords={
            "element": [chemical_symbols[z] for z in kinds],
            "detector": names,
            "worst": list(worst),
            "kept": kept,
            "bound": ["lower", "upper"],
        },
    )


def foresee_frames(
    score: Mapping[str, np.ndarray],
    energy_error: np.ndarray,
    frame: np.ndarray,
    *,
    run: np.ndarray | None = None,
    n_blocks: int = N_BLOCKS,
    n_resamples: int = 500,
    random_state: int = 0,
) -> xr.Dataset:
    """Measure how well scores of a frame's atoms foresee the error of its energy.

    Parameters
    ----------
    score : mapping of str to array, shape (n,)
        As of `foresee_atoms`. Elements of large scores weigh most: divide by each element's limit
        where that is not meant.
    energy_error : array, shape (F,)
        ΔE of each frame, eV, signed; of frames of one composition, or per atom. Its mean is taken
        off. Frames whose ΔE or scores are NaN or infinite are left out.
    frame : array of int, shape (n,)
        Frame of each atom, 0 … F − 1, ascending.
    run : array, shape (F,), optional
        Trajectory of each frame.
    n_blocks, n_resamples, random_state : int
        Of the block bootstrap.

    Returns
    -------
    xarray.Dataset
        ``spearman`` (detector, summary) with ``spearman_interval`` (…, bound) of |ΔE − mean ΔE|
        with the mean, the greatest and the mean of the greatest twentieth of the frame's scores;
        attributes ``n_frames``, ``n_blocks`` and ``reason``.

    Raises
    ------
    DataError
        If frames and errors are not as many.
    """
    energy_error = np.asarray(energy_error, dtype=np.float64)
    starts = np.flatnonzero(np.diff(frame, prepend=-1))
    n = len(energy_error)
    if not np.array_equal(np.asarray(frame)[starts], np.arange(n)):
        raise DataError(f"{n} errors of energy, but atoms of other frames than 0 … {n - 1}.")
    names = list(score)
    columns = np.stack(
        [frame_scores(np.asarray(score[name], dtype=np.float64), starts) for name in names], axis=1
    ).reshape(n, -1)
    shape = len(names), len(FRAME_SCORES)
    rho, interval = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    known = np.isfinite(columns).all(axis=1) & np.isfinite(energy_error)
    away = np.abs(energy_error - energy_error[known].mean()) if known.any() else energy_error
    attributes: dict[str, Any] = {"n_frames": int(known.sum()), "n_blocks": 0, "reason": ""}
    if known.sum() < FEWEST:
        attributes["reason"] = f"{known.sum()} frames; fewer than {FEWEST} support no relation"
    else:
        runs = np.zeros(n, dtype=np.int64) if run is None else np.asarray(run)
        unit, _ = _units(np.flatnonzero(known), runs[known], n_blocks)
        attributes["n_blocks"] = int(unit.max()) + 1
        of, bounds = _correlate(
            columns[known], away[known], unit, n_resamples=n_resamples, random_state=random_state
        )
        rho, interval = of.reshape(shape), bounds.reshape(*shape, 2)
    return xr.Dataset(
        {
            "spearman": (("detector", "summary"), rho),
            "spearman_interval": (("detector", "summary", "bound"), interval),
        },
        coords={"detector": names, "summary": list(FRAME_SCORES), "bound": ["lower", "upper"]},
        attrs=attributes,
    )


def frame_scores(score: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mean, the greatest, and the mean of the greatest twentieth of each frame's scores.

    Parameters
    ----------
    score : array, shape (n,)
    starts : array of int, shape (F,)
        Where each frame's atoms begin.

    Returns
    -------
    array, shape (F, 3)

    Examples
    --------
    >>> frame_scores(np.array([1.0, 3.0, 5.0]), np.array([0, 2]))
    array([[2., 3., 3.],
           [5., 5., 5.]])
    """
    parts = np.split(score, starts[1:])
    return np.array(
        [[p.mean(), p.max(), np.sort(p)[-int(np.ceil(len(p) / 20)) :].mean()] for p in parts]
    )


def _units(frame: np.ndarray, run: np.ndarray, n_blocks: int) -> tuple[np.ndarray, int]:
    """Return the block of each row, from 0, and the number of frames."""
    pairs = np.unique(np.stack([np.unique(run, return_inverse=True)[1], frame]), axis=1)
    n_frames = pairs.shape[1]
    return blocks_of_frames(frame, max(1, min(n_blocks, n_frames // _FRAMES)), run=run), n_frames


def _correlate(
    scores: np.ndarray, error: np.ndarray, unit: np.ndarray, **options: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return Spearman's ρ of columns (n, M) with errors (n,), (M,), and bounds (M, 2)."""
    n = len(error)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return rank_correlation(scores, error[:, None], weights)[:, None, :, 0]

    rho = statistic(np.ones((1, n)))[0, 0]
    link = fisher(1.0 - 6.0 / (n * (n**2 - 1)))  # half a swap of neighbours below one
    least = (1.0 + np.nan_to_num(rho) ** 2 / 2.0) / max(n - 3, 1)
    return rho, bounds_by_unit(
        CrossedBootstrap(**options), statistic, n, unit, link=link, least_variance=least
    )
