"""What a run of dynamics shows: when it breaks, what it samples, what it conserves.

Arrays in, numbers out: positions (t, N, 3) in Å of one molecule with its atoms in one order, times
(t,) in fs, energies (t,) in eV.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from ..diversity.bonds import (
    SHRINK_LIMIT,
    STRETCH_LIMIT,
    BondChange,
    pair_changes,
    pair_distances,
)
from ..diversity.errors import DataError

#: The sum over autocorrelations ends at this many correlation times (Sokal's window).
_WINDOW = 5.0


class Stability(NamedTuple):
    """How long a run was stable.

    Attributes
    ----------
    time : float
        Of the first unstable frame, in fs; of the last frame where there is none.
    reason : str or None
        What happened first; None for a run that was stable to its end, which might have broken
        later: its time is a lower bound.
    """

    time: float
    reason: str | None


def stability_time(
    time: np.ndarray,
    positions: np.ndarray,
    bonds: np.ndarray,
    reference: np.ndarray,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
    *,
    temperature: np.ndarray | None = None,
    limit: float = STRETCH_LIMIT,
) -> Stability:
    """Return the time at which a bond is stretched too far, or the temperature is not finite.

    The criterion of arXiv:2503.08674, judged at the frames that were kept. A bond that shrinks
    below half its length is unstable too: a molecule that collapses stretches none.

    Parameters
    ----------
    time : array, shape (t,)
        In fs, ascending.
    positions : array, shape (t, N, 3)
        In Å; frames that are not finite are unstable.
    bonds : array of int, shape (B, 2) or (B, 3)
    reference : array, shape (N, 3)
        Geometry whose bond lengths are the reference.
    cell, pbc : array, optional
        Shapes (3, 3) and (3,), the same for all frames.
    temperature : array, shape (t,), optional
        In K.
    limit : float, optional
        Å above the reference.

    Raises
    ------
    DataError
        If there is no frame.
    """
    frames = _frames(positions)
    if not len(frames) or len(time) != len(frames):
        raise DataError(f"{len(time)} times and {len(frames)} frames: give one time for each.")
    lost = ~np.isfinite(frames).all(axis=(1, 2))
    if temperature is not None:
        lost |= ~np.isfinite(temperature)
    there = np.where(np.isfinite(frames), frames, 0.0)
    rest = pair_distances(np.asarray(reference)[None], bonds, cell, pbc)
    longer = pair_distances(there, bonds, cell, pbc) - rest
    torn = (longer > limit) | (longer < (SHRINK_LIMIT - 1) * rest)
    unstable = np.flatnonzero(lost | torn.any(axis=1))
    if not len(unstable):
        return Stability(float(time[-1]), None)
    first = unstable[0]
    if lost[first]:
        return Stability(float(time[first]), "not finite")
    worst = int((torn[first] * np.abs(longer[first])).argmax())
    i, j = np.asarray(bonds)[worst, :2].tolist()
    change = longer[first, worst]
    how = "stretched" if change > 0 else "shrunk"
    return Stability(float(time[first]), f"bond {i}–{j} {how} by {abs(change):.2f} Å")


def distance_histogram(positions: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return h(r), the density of all interatomic distances, averaged over frames.

    h(r) = 1 / (N (N − 1)) Σ_i Σ_{j≠i} δ(r − r_ij) (Fu et al., arXiv:2210.07237).

    Parameters
    ----------
    positions : array, shape (t, N, 3)
        In Å. Frames that are not finite are left out.
    edges : array, shape (m + 1,)
        Of the bins, in Å, ascending.

    Returns
    -------
    array of float64, shape (m,)
        In 1/Å. The integral over the bins is the share of distances that lie within them.

    Raises
    ------
    DataError
        If no frame is left, or a molecule has fewer than two atoms.

    Examples
    --------
    >>> pair = np.array([[[0, 0, 0], [1.2, 0, 0]], [[0, 0, 0], [1.7, 0, 0]]])
    >>> distance_histogram(pair, np.array([0.0, 1.5, 2.0]))
    array([0.33333333, 1.        ])
    """
    frames = _frames(positions)
    frames = frames[np.isfinite(frames).all(axis=(1, 2))]
    if not len(frames) or frames.shape[1] < 2:
        raise DataError("Distances need a frame of two or more atoms with finite positions.")
    counts = np.zeros(len(edges) - 1)
    for frame in frames:
        counts += np.histogram(pdist(frame), edges)[0]
    n = frames.shape[1]
    return counts / (len(frames) * (n * (n - 1) // 2) * np.diff(edges))


def hr_error(h: np.ndarray, reference: np.ndarray, edges: np.ndarray) -> float:
    """Return ∫ |h(r) − h_ref(r)| dr, between 0 (equal) and 2 (no distance in common).

    Distances beyond the bins count as one further bin, so that a molecule that flies apart does
    not come out well.

    Parameters
    ----------
    h, reference : array, shape (m,)
        Of `distance_histogram`, on the same bins.
    edges : array, shape (m + 1,)
    """
    change = (np.asarray(h) - np.asarray(reference)) * np.diff(edges)
    return float(np.abs(change).sum() + abs(change.sum()))


class Drift(NamedTuple):
    """How well a run conserves its energy.

    Attributes
    ----------
    slope : float
        In eV/ps, of the least-squares line.
    fluctuation : float
        Root mean square deviation from the line, eV.
    """

    slope: float
    fluctuation: float


def energy_drift(time: np.ndarray, energy: np.ndarray) -> Drift:
    """Return the drift of the total energy of an NVE run.

    Parameters
    ----------
    time : array, shape (t,)
        In fs; t ≥ 3.
    energy : array, shape (t,)
        Potential plus kinetic, in eV.

    Raises
    ------
    DataError
        With fewer than three frames: a line goes through two.
    """
    if len(time) < 3:
        raise DataError(f"A drift needs three frames or more, not {len(time)}.")
    line = np.polynomial.Polynomial.fit(time, energy, 1)
    residual = energy - line(np.asarray(time))
    return Drift(float(line.convert().coef[1]) * 1e3, float(np.sqrt(np.mean(residual**2))))


class BondEvent(NamedTuple):
    """A bond that broke or formed in a run.

    Attributes
    ----------
    time : float
        Of the first frame that shows it, in fs.
    change : BondChange
        Kind, atoms, and their distance in that frame.
    lasting : bool
        Whether the last frame shows it still.
    """

    time: float
    change: BondChange
    lasting: bool


def bond_events(
    numbers: np.ndarray,
    time: np.ndarray,
    positions: np.ndarray,
    bonds: np.ndarray,
    reference: np.ndarray | None = None,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
) -> list[BondEvent]:
    """Return each pair of atoms whose bond broke or formed, at its first time.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    time : array, shape (t,)
        In fs.
    positions : array, shape (t, N, 3)
        In Å, finite.
    bonds, reference, cell, pbc
        As of :func:`breadth.diversity.bonds.bond_changes`, whose criteria these are.

    Returns
    -------
    list of BondEvent
        In order of time.
    """
    pairs = pair_changes(numbers, positions, bonds, reference, cell, pbc)
    changed = pairs.excess > 0
    events = [
        BondEvent(float(time[first]), pairs.change(first, int(pair)), bool(changed[-1, pair]))
        for pair in np.flatnonzero(changed.any(axis=0))
        for first in (int(changed[:, pair].argmax()),)
    ]
    return sorted(events, key=lambda event: event.time)


class CorrelatedMean(NamedTuple):
    """The mean of a correlated series.

    Attributes
    ----------
    mean : float
    standard_error : float
        Of the mean, with the correlation between frames; NaN where the series is too short to
        tell: shorter than ten correlation times.
    correlation : float
        Integrated autocorrelation time, in frames: 1 for independent ones.
    """

    mean: float
    standard_error: float
    correlation: float


def correlated_mean(values: np.ndarray) -> CorrelatedMean:
    """Return the mean of a stationary series, such as temperatures, and its error.

    The variance of the mean is σ² τ / t with τ = 1 + 2 Σ ρ_k, summed up to a window of five τ
    (A. Sokal, *Monte Carlo methods in statistical mechanics*, 1997).

    Parameters
    ----------
    values : array, shape (t,)
        Finite.

    Raises
    ------
    DataError
        If there are fewer than two values, or one is not finite.
    """
    series = np.asarray(values, dtype=float)
    t = len(series)
    if t < 2 or not np.isfinite(series).all():
        raise DataError("A mean with an error needs two or more values, all finite.")
    mean = float(series.mean())
    shifted = series - mean
    variance = float(np.mean(shifted**2))
    if variance <= (1e-12 * abs(mean)) ** 2:
        return CorrelatedMean(mean, 0.0, 1.0)
    spectrum = np.fft.rfft(shifted, 2 * t)
    autocorrelation = np.fft.irfft(np.abs(spectrum) ** 2)[:t] / (t * variance)
    taus = 2.0 * np.cumsum(autocorrelation) - 1.0
    enough = np.flatnonzero(np.arange(t) >= _WINDOW * taus)
    tau = max(1.0, float(taus[enough[0] if len(enough) else -1]))
    if t < 2 * _WINDOW * tau:
        return CorrelatedMean(mean, float("nan"), tau)
    return CorrelatedMean(mean, float(np.sqrt(variance * tau / (t - tau))), tau)


def _frames(positions: np.ndarray) -> np.ndarray:
    frames = np.asarray(positions, dtype=float)
    if frames.ndim != 3 or frames.shape[2] != 3:
        raise DataError(f"Positions of shape {frames.shape}: frames by atoms by 3 are needed.")
    return frames
