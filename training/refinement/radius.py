"""Radius refinement: the cutoff at which a structure's graph looks most like the training set's.

r* = argmin_r D(λ_train, λ(L(r))), λ the spectrum of the normalised Laplacian of the radius graph at
r (T. Kreiman and A. Krishnapriyan, arXiv:2503.08674). Three forms of D:

- ``"padded"``, as released with the paper: ascending eigenvalues, zero-padded at the end to a
  common length, D = ‖λ − λ̄_train‖². Padding aligns by index: D grows with the difference in size.
- ``"fraction"``, the paper's first: D = |f − f̄_train|, f the fraction of eigenvalues in [0.9, 1.1].
- ``"wasserstein"``, breadth's: the Wasserstein-1 distance between the distributions of eigenvalues,
  which needs no padding.

A radius at which the graph is the one at the trained cutoff is never chosen over it, so that
`RadiusChoice.changed` says where the choice changes anything. A model whose envelope ends at its
trained cutoff ignores radii above it and truncates without smoothness below it; potentials here
take the cutoff as an argument, and neighbours and envelope move together. Only one trained with
random cutoffs has seen other radii, though: for any other potential they are extrapolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...diversity.bonds import pairs_within
from ...diversity.conformers import ConformerSet
from ...diversity.errors import ConfigurationError
from ...diversity.spectra import spectra_at
from ..potentials import Potential
from .at_radii import ForceJumps, force_jumps, predict_at_radii
from .spectrum_reference import FORMS, Form, SpectrumReference, chunks

__all__ = [
    "ForceJumps",
    "RadiusChoice",
    "SpectrumReference",
    "candidate_radii",
    "choose_radii",
    "force_jumps",
    "predict_at_radii",
]

#: Candidates relative to the trained cutoff: 3 … 9 Å at 5 Å, as released.
REACH = (0.6, 1.8)
N_RADII = 10
#: Distances nearer than this are equal, and the radius nearer to the trained cutoff is taken.
TIE = 1e-9
#: Radii between which no pair distance lies but for rounding, Å.
_NARROW = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class RadiusChoice:
    """The radius of each structure.

    Parameters
    ----------
    radius : array, shape (n,)
        r*, Å.
    distance, distance_at_trained : array, shape (n,)
        Of the structure's own spectrum at r*, and at the trained cutoff, from the training set's.
    changed : array of bool, shape (n,)
        Where r* is not the trained cutoff. Its graph is another one then, for the structure or
        for another of its molecule.
    """

    radius: np.ndarray
    distance: np.ndarray
    distance_at_trained: np.ndarray
    changed: np.ndarray


def candidate_radii(potential: Potential, n_radii: int = N_RADII) -> np.ndarray:
    """Return radii between which to choose, Å.

    Those of the range that the potential was trained at; where it knows its own cutoff alone, 0.6
    to 1.8 times that, as released (3 … 9 Å at 5 Å), all of which are extrapolation.
    """
    low, high = potential.cutoff_range
    if low == high:
        low, high = (x * potential.cutoff for x in REACH)
    return np.linspace(low, high, n_radii)


def choose_radii(
    conformers: ConformerSet,
    reference: SpectrumReference,
    *,
    form: Form = "padded",
    radii: np.ndarray | Literal["exact"] | None = None,
    between: tuple[float, float] | None = None,
    per: Literal["structure", "molecule"] = "molecule",
) -> RadiusChoice:
    """Return the radius for each structure at which its graph is nearest to the training set's.

    Parameters
    ----------
    conformers : ConformerSet
        Labels are not looked at.
    reference : SpectrumReference
    form : {'padded', 'fraction', 'wasserstein'}
    radii : array, shape (R,), or 'exact', optional
        Candidates in Å, beside the trained cutoff, which always is one; or one for every graph
        that there is between two radii, half-way between the pair distances that bound it. Ten
        from 0.6 to 1.8 times the trained cutoff by default; see :func:`candidate_radii`.
    between : (float, float), optional
        Radii in Å that 'exact' stays between, the trained cutoff apart; 0.6 and 1.8 times that by
        default.
    per : {'structure', 'molecule'}
        Choose for each structure alone, or one radius for all structures of a molecule, which
        minimises their mean distance. Along a trajectory the first makes forces jump; see
        :func:`force_jumps`.

    Returns
    -------
    RadiusChoice
        Of equally near radii the nearest to the trained cutoff, of two such the smaller.

    Raises
    ------
    ConfigurationError
        If an option is unknown, or a radius is not above 0 Å.
    """
    if form not in FORMS or per not in ("structure", "molecule"):
        raise ConfigurationError(
            f"Radius refinement knows the forms {', '.join(FORMS)} and radii per structure or "
            f"molecule, not {form!r} per {per!r}."
        )
    n = len(conformers)
    group = np.arange(n) if per == "structure" else conformers.molecule
    if isinstance(radii, str):
        if radii != "exact":
            raise ConfigurationError(f"radii are numbers or 'exact', not {radii!r}.")
        low, high = between or tuple(x * reference.cutoff for x in REACH)
        if not 0 < low <= high:
            raise ConfigurationError(f"Radii from {low:g} to {high:g} Å are no range above 0 Å.")
        return _chosen_exactly(conformers, reference, form, group, low, high)
    low, high = (x * reference.cutoff for x in REACH)
    wanted = np.linspace(low, high, N_RADII) if radii is None else np.asarray(radii, dtype=float)
    offered = np.unique(np.concatenate([[reference.cutoff], wanted.ravel()]))
    offered = offered[np.argsort(np.abs(offered - reference.cutoff), kind="stable")]
    distances = np.zeros((n, len(offered)))
    for rows in chunks(conformers, len(offered)):
        part = conformers.select(rows)
        spectra = spectra_at(part, offered, max_neighbours=reference.max_neighbours)
        distances[rows] = reference.distances(spectra, part.counts, form)
    sums = np.zeros((int(group.max(initial=-1)) + 1, len(offered)))
    np.add.at(sums, group, distances)
    means = sums / np.maximum(np.bincount(group, minlength=len(sums)), 1)[:, None]
    best = (means <= means.min(1, keepdims=True) + TIE).argmax(1)[group]
    return RadiusChoice(
        radius=offered[best],
        distance=distances[np.arange(n), best],
        distance_at_trained=distances[:, 0],
        changed=best > 0,
    )


def _chosen_exactly(
    conformers: ConformerSet,
    reference: SpectrumReference,
    form: Form,
    group: np.ndarray,
    low: float,
    high: float,
) -> RadiusChoice:
    """Choose among all graphs: distances are steps, which change at pair distances alone."""
    n, trained = len(conformers), reference.cutoff
    asked = low, high
    low, high = min(low, trained), max(high, trained)
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(n):
        own = conformers.atoms_slice(i)
        positions = conformers.positions[own]
        _, apart = pairs_within(positions, high, conformers.cell[i], conformers.pbc[i])
        ends = np.unique(apart[apart > low])
        ends = ends[np.diff(ends, prepend=-np.inf) > _NARROW]
        bounds = np.concatenate([[low], ends, [high]])
        part = conformers.select(np.array([i]))
        spectra = spectra_at(
            part, (bounds[:-1] + bounds[1:]) / 2, max_neighbours=reference.max_neighbours
        )
        steps.append((ends, reference.distances(spectra, part.counts, form)[0]))
    radius = np.full(n, trained)
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        radius[members] = _lowest([steps[i] for i in members], trained, low, high, asked)
    distance, at_trained = (
        np.array([d[np.searchsorted(e, r)] for (e, d), r in zip(steps, where, strict=True)])
        for where in (radius, np.full(n, trained))
    )
    return RadiusChoice(
        radius=radius,
        distance=distance,
        distance_at_trained=at_trained,
        changed=radius != trained,
    )


def _lowest(
    steps: list[tuple[np.ndarray, np.ndarray]],
    trained: float,
    low: float,
    high: float,
    asked: tuple[float, float],
) -> float:
    """Return where the sum of step functions (ends, heights) is lowest: in a range, or trained."""
    edges = [edge for edge in asked if low < edge < high]
    ends = np.concatenate([edges, *(e for e, _ in steps)])
    rises = np.concatenate([np.zeros(len(edges)), *(np.diff(d) for _, d in steps)])
    order = np.argsort(ends, kind="stable")
    bounds = np.concatenate([[low], ends[order], [high]])
    first = sum(d[0] for _, d in steps)
    heights = np.concatenate([[first], first + np.cumsum(rises[order])]) / len(steps)
    offered = (bounds[:-1] + bounds[1:]) / 2
    home = int(np.searchsorted(bounds[1:-1], trained))
    offered[home] = trained
    usable = (np.diff(bounds) > _NARROW) & (offered >= asked[0]) & (offered <= asked[1])
    usable[home] = True
    offered, heights = offered[usable], heights[usable]
    nearest = np.argsort(np.abs(offered - trained), kind="stable")
    return float(offered[nearest][(heights[nearest] <= heights.min() + TIE).argmax()])
