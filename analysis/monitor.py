"""A run of dynamics watched: how far its atoms are from a set, and what happens to its bonds.

Everything is told over time in one Dataset; figures are in `figures.finetuning.trajectory`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from ase import units
from ase.data import atomic_masses, chemical_symbols

from ..diversity import ConfigurationError, ConformerSet, DataError
from .close_pairs import WIDTH, ClosePairs, close_pairs, element_pair
from .trajectories import correlated_mean, distance_histogram, energy_drift, hr_error

#: In K: a run this hot has exploded, whatever its bonds say.
HOTTEST = 1e5


def monitor(
    run: ConformerSet,
    *,
    scores: Mapping[str, np.ndarray] | None = None,
    limits: Mapping[str, Mapping[int, float]] | None = None,
    reference: ConformerSet | None = None,
    level: str | None = None,
    interval: float | None = None,
    reach: float = 6.0,
) -> xr.Dataset:
    """Return what a run shows over time.

    Parameters
    ----------
    run : ConformerSet
        t frames of one system, in order of time.
    scores : mapping of str to array, shape (A,), optional
        How far outside a set each atom of each frame lies, higher = farther; such as ``q`` and
        ``t2`` of :class:`breadth.analysis.extrapolation.ExtrapolationModel`.
    limits : mapping of str to mapping of int to float, optional
        Held-out limit of each score by atomic number; atoms of other elements lie outside.
    reference : ConformerSet, optional
        The set; where it has frames of the run's composition, their distributions of distances
        stand beside the run's.
    level : str, optional
        Of the potential energies; the first of the run by default.
    interval : float, optional
        Between frames of the file, in fs; for a run that does not tell its times.
    reach : float, optional
        Longest distance of the distributions, in Å.

    Returns
    -------
    xarray.Dataset
        Over ``time`` (fs, or numbers of frames where no time is known): ``temperature`` (K),
        ``potential_energy``, ``total_energy`` (eV), ``volume`` (Å³), where they can be told;
        ``n_bonds`` (pair, time); of each score ``NAME_mean``, ``NAME_max`` and ``NAME_outside``,
        the share of atoms above the limit, (element, time) and ``NAME_limit`` (element); of the
        first score ``coverage``, the share of all atoms within its limit, and ``frame_score``,
        see `worst_element`. Over the run: ``radial`` (pair, r) and ``bond_length`` (pair,
        length), each with ``…_reference`` where there is one; ``h`` (r) of a molecule.
        ``event_*`` (event): bonds that broke or formed. Attributes: ``n_frames``, ``time_unit``,
        and where they apply ``no_events`` (why bonds were not followed), ``exploded`` (time of
        the first frame above 10⁵ K, or of a temperature that is not finite), ``drift`` (eV/ps, of
        the total energy), ``fluctuation`` (eV), ``mean_temperature`` and
        ``mean_temperature_error`` (K), ``mean_coverage``, ``hr_error``.

    Raises
    ------
    DataError
        If the run has no frame, frames of several runs or compositions, times that do not rise,
        or scores that do not fit.
    """
    time, unit = frame_times(run, interval)
    pairs = close_pairs(run, reach=reach, time=time)
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    attributes: dict[str, float | int | str] = {"n_frames": len(run), "time_unit": unit}
    found |= _energies(run, level, time, unit, attributes)
    for name, values in (scores or {}).items():
        found |= _scored(run, name, np.asarray(values), (limits or {}).get(name, {}))
    if scores:
        first = next(iter(scores))
        inside = _inside(run.numbers, np.asarray(scores[first]), (limits or {}).get(first, {}))
        found["coverage"] = ("time",), np.add.reduceat(inside, run.offsets[:-1]) / run.counts
        attributes["mean_coverage"] = float(inside.mean())
        own = worst_element(
            run.numbers, run.offsets, np.asarray(scores[first]), (limits or {}).get(first, {})
        )
        found["frame_score"] = ("time",), own
    alike = None if reference is None else _of_composition(reference, run)
    theirs = None if alike is None else close_pairs(alike, reach=reach)
    found |= _distances(run, pairs, alike, theirs, attributes)
    found |= _events(pairs, run.numbers[run.atoms_slice(0)])
    if pairs.no_events is not None:
        attributes["no_events"] = pairs.no_events
    hot = (
        ~(found["temperature"][1] <= HOTTEST)
        if "temperature" in found
        else np.zeros(len(run), bool)
    )
    if hot.any():
        attributes["exploded"] = float(time[hot.argmax()])
    return xr.Dataset(
        found,
        coords={
            "time": ("time", time, {"units": unit}),
            "element": [chemical_symbols[z] for z in run.elements.tolist()],
            "pair": pairs.names,
            "r": ("r", pairs.edges[:-1] + WIDTH / 2, {"units": "Å"}),
            "length": ("length", (pairs.bond_edges[1:] + pairs.bond_edges[:-1]) / 2),
        },
        attrs=attributes,
    )


def frame_times(run: ConformerSet, interval: float | None = None) -> tuple[np.ndarray, str]:
    """Return the time of each frame and its unit: ``fs``, or ``frame`` where no time is known.

    Frames are counted as in their file, where that is known, so that one that could not be read
    leaves a gap.

    Raises
    ------
    DataError
        If there is no frame, times do not rise, or frames are of several runs.
    ConfigurationError
        If the interval is not a positive number.
    """
    if not len(run):
        raise DataError("The run has no frame.")
    runs = np.unique(run.trajectory)
    if len(runs) > 1:
        raise DataError(
            f"The frames are of {len(runs)} runs ({', '.join(map(str, runs[:5]))}"
            f"{', …' if len(runs) > 5 else ''}): choose one."
        )
    counted = run.record.astype(float)
    if run.record[0] < 0 or (np.diff(run.record) <= 0).any():
        counted = np.arange(len(run), dtype=float)
    if interval is not None:
        if not 0 < interval < np.inf:
            raise ConfigurationError(f"An interval of {interval} fs: it must be above 0.")
        return counted * float(interval), "fs"
    if not np.isfinite(run.time).all():
        return counted, "frame"
    back = np.flatnonzero(np.diff(run.time) <= 0)
    if len(back):
        k = int(back[0]) + 1
        raise DataError(
            f"Frame {k} is at {run.time[k]:g} fs, not later than the frame before it: the frames "
            "of one run are needed, in order of time."
        )
    return run.time.copy(), "fs"


def kinetic_energies(run: ConformerSet) -> np.ndarray | None:
    """Return each frame's kinetic energy, shape (t,), eV; None where it cannot be told.

    From ``kinetic_energy`` of the frames, or ``momenta`` of the atoms, in ASE's units both.
    """
    if (extra := run.frame_extras.get("kinetic_energy")) is not None and extra.present.all():
        return np.asarray(extra.values, dtype=np.float64)
    if (extra := run.atom_extras.get("momenta")) is not None and extra.present.all():
        squares = (np.asarray(extra.values, dtype=np.float64) ** 2).sum(axis=1)
        return np.add.reduceat(0.5 * squares / atomic_masses[run.numbers], run.offsets[:-1])
    return None


def _energies(
    run: ConformerSet,
    level: str | None,
    time: np.ndarray,
    unit: str,
    attributes: dict[str, float | int | str],
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    found: dict[str, np.ndarray] = {}
    kinetic = kinetic_energies(run)
    told = run.frame_extras.get("kinetic_temperature")
    if told is not None and told.present.all():
        found["temperature"] = np.asarray(told.values, dtype=np.float64)
    elif kinetic is not None:
        found["temperature"] = 2.0 * kinetic / (3.0 * run.counts * units.kB)
    if level is not None or run.levels:
        labels = run.labels(level or next(iter(run.levels)))
        if labels.has_energy.all():
            found["potential_energy"] = labels.energy
    if kinetic is not None and "potential_energy" in found:
        found["total_energy"] = found["potential_energy"] + kinetic
        if unit == "fs" and len(run) >= 3:
            drift = energy_drift(time, found["total_energy"])
            attributes |= {"drift": drift.slope, "fluctuation": drift.fluctuation}
    if "temperature" in found and len(run) > 1 and np.isfinite(found["temperature"]).all():
        mean = correlated_mean(found["temperature"])
        attributes["mean_temperature"] = mean.mean
        attributes["mean_temperature_error"] = mean.standard_error
    if run.pbc.all():
        found["volume"] = np.abs(np.linalg.det(run.cell))
    return {name: (("time",), values) for name, values in found.items()}


def _inside(numbers: np.ndarray, scores: np.ndarray, limits: Mapping[int, float]) -> np.ndarray:
    """Return which atoms lie within the limit of their element; one without a limit does not."""
    by_number = np.full(119, -np.inf)
    by_number[list(limits)] = list(limits.values())
    return scores <= by_number[numbers]


def _scored(
    run: ConformerSet, name: str, scores: np.ndarray, limits: Mapping[int, float]
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    if scores.shape != (run.n_atoms,):
        raise DataError(f"{name}: {scores.shape} scores for {run.n_atoms} atoms of the run.")
    outside = ~_inside(run.numbers, scores, limits)
    elements = run.elements.tolist()
    means, most, shares = (np.full((len(elements), len(run)), np.nan) for _ in range(3))
    for row, z in enumerate(elements):
        atoms = np.flatnonzero(run.numbers == z)
        frames, starts, n = np.unique(
            run.atom_conformer[atoms], return_index=True, return_counts=True
        )
        means[row, frames] = np.add.reduceat(scores[atoms], starts) / n
        most[row, frames] = np.maximum.reduceat(scores[atoms], starts)
        shares[row, frames] = np.add.reduceat(outside[atoms].astype(float), starts) / n
    return {
        f"{name}_mean": (("element", "time"), means),
        f"{name}_max": (("element", "time"), most),
        f"{name}_outside": (("element", "time"), shares),
        f"{name}_limit": (("element",), np.array([limits.get(z, np.nan) for z in elements])),
    }


def worst_element(
    numbers: np.ndarray, offsets: np.ndarray, scores: np.ndarray, limits: Mapping[int, float]
) -> np.ndarray:
    """Return how far outside each frame is: its worst element's mean score over the limit.

    Single atoms are beyond their limit in every frame, one in twenty of them at a level of 0.95;
    the mean over a frame's atoms of one element is not.

    Parameters
    ----------
    numbers : array of int, shape (A,)
    offsets : array of int, shape (n + 1,)
        Where each frame's atoms begin.
    scores : array, shape (A,)
        Higher = farther outside.
    limits : mapping of int to float
        By atomic number.

    Returns
    -------
    array of float64, shape (n,)
        Infinite where an element has no limit, or a score is NaN.
    """
    by_number = np.zeros(119)
    by_number[list(limits)] = list(limits.values())
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    kinds, row = np.unique(numbers, return_inverse=True)
    place = row * (len(offsets) - 1) + frame
    size = len(kinds) * (len(offsets) - 1)
    n = np.bincount(place, minlength=size)
    total = np.bincount(place, weights=scores, minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (total / n).reshape(len(kinds), -1) / by_number[kinds][:, None]
    # A score that is NaN is of an atom that no model could describe.
    means = np.where(np.isnan(means), np.inf, means)
    return np.asarray(np.where(n.reshape(means.shape) > 0, means, -np.inf).max(axis=0))


def _of_composition(reference: ConformerSet, run: ConformerSet) -> ConformerSet | None:
    """Return the frames of a set that have the run's composition and periodicity."""
    wanted = np.sort(run.numbers[run.atoms_slice(0)])
    same = [
        k
        for k in range(len(reference))
        if (reference.pbc[k] == run.pbc[0]).all()
        and np.array_equal(np.sort(reference.numbers[reference.atoms_slice(k)]), wanted)
    ]
    return reference.select(same) if same else None


def _distances(
    run: ConformerSet,
    pairs: ClosePairs,
    alike: ConformerSet | None,
    theirs: ClosePairs | None,
    attributes: dict[str, float | int | str],
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    attributes["radial"] = "g(r)" if pairs.periodic else "density, 1/Å"
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "n_bonds": (("pair", "time"), pairs.n_bonds)
    }
    for ending, of in (("", pairs), ("_reference", theirs)):
        if of is not None:
            found[f"radial{ending}"] = ("pair", "r"), of.radial
            found[f"bond_length{ending}"] = ("pair", "length"), of.bond_lengths
    if pairs.periodic or run.counts[0] < 2:
        return found
    for ending, frames in (("", run), ("_reference", alike)):
        if frames is not None:
            positions = frames.positions.reshape(len(frames), -1, 3)
            found[f"h{ending}"] = ("r",), distance_histogram(positions, pairs.edges)
    if alike is not None:
        attributes["hr_error"] = hr_error(found["h"][1], found["h_reference"][1], pairs.edges)
    return found


def _events(
    pairs: ClosePairs, numbers: np.ndarray
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    ends = [numbers[[one.event.change.first, one.event.change.second]] for one in pairs.events]
    columns: dict[str, tuple[list, type]] = {
        "event_time": ([one.event.time for one in pairs.events], np.float64),
        "event_kind": ([one.event.change.kind for one in pairs.events], np.str_),
        "event_first": ([one.event.change.first for one in pairs.events], np.int64),
        "event_second": ([one.event.change.second for one in pairs.events], np.int64),
        "event_distance": ([one.event.change.distance for one in pairs.events], np.float64),
        "event_lasting": ([one.event.lasting for one in pairs.events], np.bool_),
        "event_frames": ([one.n_frames for one in pairs.events], np.int64),
        "event_pair": ([element_pair(*pair.tolist()) for pair in ends], np.str_),
        "event_coordination": ([one.coordination for one in pairs.events], np.bool_),
    }
    return {
        name: (("event",), np.array(values, dtype=kind)) for name, (values, kind) in columns.items()
    }
