"""Choose the cutoff of a stored potential for the structures of a set: `breadth refine radius`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..diversity import ConfigurationError, ConformerSet, DataError
from ..diversity.tables import ragged_index
from ..training import load_potential, predict
from ..training.refinement import (
    SpectrumReference,
    candidate_radii,
    choose_radii,
    force_jumps,
    predict_at_radii,
)
from .adapting import shared_with, unseen_elements
from .configuration import Section
from .evaluating import measure_errors


class RadiusConfiguration(Section):
    """How a radius is chosen."""

    form: Literal["padded", "fraction", "wasserstein"] = "padded"
    """How spectra are compared: zero-padded and by index, as released with the paper; by the
    fraction of eigenvalues in [0.9, 1.1]; or by the Wasserstein-1 distance."""
    per: Literal["structure", "molecule"] = "molecule"
    """One radius for each structure, or one for all structures of a molecule."""
    exact: bool = False
    """Choose among all graphs between the two radii, not among a grid of radii."""
    n_radii: int = Field(10, ge=2)
    """Radii of the grid."""
    between: tuple[float, float] | None = None
    """Lowest and highest radius, Å; by default the range that the potential was trained at, or
    0.6 to 1.8 times its cutoff if it knows no other."""
    max_neighbours: int | None = Field(50, ge=1)
    """Most neighbours of an atom in the graphs that are compared, nearest first."""


def refine_radius(
    folder: Path,
    data: ConformerSet,
    train: ConformerSet,
    *,
    level: str | None = None,
    path: bool = False,
    configuration: RadiusConfiguration | None = None,
) -> dict[str, Any]:
    """Choose radii, predict at them and at the trained cutoff, and measure where labels are there.

    Parameters
    ----------
    folder : Path
        Of the potential, which stays untouched.
    data : ConformerSet
        Reference labels are only measured with.
    train : ConformerSet
        What the potential was trained on, whose spectra are the aim.
    level : str, optional
        Of the data's reference labels; by default the one that the potential learned.
    path : bool
        The structures of each molecule are a path in their order: tell how forces jump.
    configuration : RadiusConfiguration, optional

    Returns
    -------
    dict
        ``cutoff`` and the range ``trained_between``; ``changed``, the share of structures with
        another radius, and ``extrapolated``, of those with a radius that the potential was never
        trained at; ``distance`` of the spectra before and after; ``force_change``, the mean over
        atoms of ‖ΔF_i‖ (eV/Å) between the two; ``jumps`` along the path; errors ``before`` and
        ``after`` and the ``gain`` in force MAE (eV/Å), None without labels; ``shared`` with the
        training set; ``unseen_elements``; and ``molecules``: the same for each.

    Raises
    ------
    DataError
        If a set is empty.
    ConfigurationError
        If the two radii are no range.
    """
    asked = configuration or RadiusConfiguration()
    if not len(data):
        raise DataError("The set holds no structure to choose a radius for.")
    potential, meta = load_potential(folder)
    learned = meta.get("level") or potential.levels[0]
    truth_level = level or (learned if learned in data.levels else None)
    truth = None if truth_level is None else data.labels(truth_level)
    reference = SpectrumReference.of(train, potential.cutoff, max_neighbours=asked.max_neighbours)
    radii = candidate_radii(potential, asked.n_radii)
    if asked.between is not None:
        if not 0 < asked.between[0] < asked.between[1] < np.inf:
            raise ConfigurationError(
                f"Radii between {asked.between[0]:g} and {asked.between[1]:g} Å: the lower one "
                "comes first and is above 0."
            )
        radii = np.linspace(*asked.between, asked.n_radii)
    choice = choose_radii(
        data,
        reference,
        form=asked.form,
        radii="exact" if asked.exact else radii,
        between=(float(radii[0]), float(radii[-1])),
        per=asked.per,
    )
    before = predict(potential, data, level=learned)
    after = predict_at_radii(potential, data, choice.radius, level=learned)
    moved = np.linalg.norm(after.forces.astype(float) - before.forces, axis=1)
    low, high = potential.cutoff_range
    outside = (choice.radius < low - 1e-9) | (choice.radius > high + 1e-9)

    def told(rows: np.ndarray) -> dict[str, Any]:
        atoms = ragged_index(data.offsets, rows)[0]
        part = data.select(rows)
        errors: list[dict[str, Any] | None] = [None, None]
        if truth is not None and (truth.has_forces | truth.has_energy)[rows].any():
            errors = [
                measure_errors(part, truth.select(rows, atoms), guess.select(rows, atoms))
                for guess in (before, after)
            ]
        maes = [None if e is None else e.get("force_mae") for e in errors]
        return {
            "n_conformers": len(rows),
            "radius": [float(x) for x in np.quantile(choice.radius[rows], (0.0, 0.5, 1.0))],
            "changed": float(choice.changed[rows].mean()),
            "extrapolated": float(outside[rows].mean()),
            "distance": [
                float(x[rows].mean()) for x in (choice.distance_at_trained, choice.distance)
            ],
            "force_change": float(moved[atoms].mean()),
            "before": errors[0],
            "after": errors[1],
            "gain": None if maes[0] is None or maes[1] is None else maes[0] - maes[1],
        }

    jumps = None
    if path:
        found = force_jumps(potential, data, choice.radius, level=learned)
        jumps = {
            "n_steps": found.n_steps,
            "n_jumps": len(found.frame),
            "mean": float(found.jump.mean()) if len(found.frame) else 0.0,
            "largest": float(found.largest.max(initial=0.0)),
            "energy": float(np.abs(found.energy).max(initial=0.0)),
            "mean_force": found.mean_force,
        }
    names = np.where(data.molecules.smiles == "", data.molecules.key, data.molecules.smiles)
    return {
        "potential": str(folder),
        "level": truth_level,
        "form": asked.form,
        "per": asked.per,
        "cutoff": potential.cutoff,
        "trained_between": [low, high],
        "candidates": "exact" if asked.exact else [float(r) for r in radii],
        **told(np.arange(len(data))),
        "jumps": jumps,
        "shared": shared_with(train, data),
        "unseen_elements": unseen_elements(potential, data, learned),
        "molecules": [
            {"molecule": str(names[m]), **told(np.flatnonzero(data.molecule == m))}
            for m in range(data.n_molecules)
        ],
    }
