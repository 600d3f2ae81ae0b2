"""Shift between two sets of conformers: features and predictions by name, measures on arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.detectors import CommitteeVariance
from ..analysis.shift.between import MOST_STRUCTURES, available, shift
from ..analysis.shift.report import ShiftReport
from ..analysis.shift.structure_rows import StructureRows, taken_with_elements
from ..diversity import ConfigurationError, ConformerSet, Featurizer, Labels
from ..diversity.descriptors import atomic_features, bound
from ..diversity.graphs import fraction_near_one
from ..diversity.spectra import spectra_at
from .registry import featurizer as named_featurizer

Progress = Callable[[str, float, float], None]


def describe_structures(
    conformers: ConformerSet,
    *,
    featurizer: Featurizer | None = None,
    cutoff: float = 5.0,
    forces: np.ndarray | None = None,
    predicted: Sequence[np.ndarray] = (),
) -> StructureRows:
    """Return what shift is measured on.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer, optional
        Of atoms; bound to all sets that are compared, where its columns depend on them.
    cutoff : float, optional
        Of the radius graph whose connectivity is taken, Å.
    forces : array, shape (A, 3), optional
        True forces, eV/Å.
    predicted : sequence of array, shape (A, 3), optional
        Forces of each member of a committee, eV/Å; of one potential or several.
    """
    rows = StructureRows(
        numbers=conformers.numbers,
        offsets=conformers.offsets,
        molecule=conformers.constitution,
        features=None if featurizer is None else atomic_features(conformers, featurizer),
    )
    scalars = {"connectivity": connectivity(conformers, cutoff)}
    if forces is not None:
        scalars["force_norm"] = rows.mean_of_atoms(np.linalg.norm(forces, axis=1))
    if len(predicted):
        members = np.stack([np.asarray(one, dtype=np.float64) for one in predicted])
        norms = np.linalg.norm(members.mean(axis=0), axis=1)
        scalars["predicted_force_norm"] = rows.mean_of_atoms(norms)
    if len(predicted) > 1:
        table = members.transpose(1, 0, 2).reshape(len(rows.numbers), -1)
        spread = -CommitteeVariance(n_components=3).fit(table).score_samples(table)
        scalars["committee_variance"] = rows.mean_of_atoms(spread)
    return replace(rows, scalars=scalars)


def connectivity(conformers: ConformerSet, cutoff: float) -> np.ndarray:
    """Return each structure's fraction of Laplacian eigenvalues in [0.9, 1.1], shape (n,).

    0 for a single atom, and for isolated ones: an atom of degree 0 has the eigenvalue 0.
    """
    spectra = spectra_at(conformers, np.array([cutoff]))[:, 0]
    return fraction_near_one(spectra, conformers.counts)


def shift_sets(
    a: ConformerSet,
    b: ConformerSet,
    *,
    features: str = "compact",
    models: Sequence[Path] = (),
    cutoff: float = 5.0,
    level: str | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> ShiftReport:
    """Measure the shift from one set to another; what `breadth shift` prints with ``--json``.

    Parameters
    ----------
    a, b : ConformerSet
        The reference, such as a training set, and the set that is asked about.
    features : str, optional
        compact, soap or model:NAME_OR_FOLDER.
    models : sequence of Path, optional
        Folders or names of potentials whose forces are predicted; several are a committee, and
        so is the folder of one.
    cutoff : float, optional
        Of the radius graph, Å.
    level : str, optional
        Of the true forces; the first that both sets have with forces by default.
    random_state : int, optional
    progress : callable, optional

    Returns
    -------
    ShiftReport
        As `breadth.analysis.shift.shift`, and ``sets`` (conformers and molecules, and how many
        structures were compared), ``shared`` (conformers and molecules in both), ``features``,
        ``cutoff``, ``left_out`` (measures without their arrays, with the reason) and ``verdict``.
    """
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise ConfigurationError(f"A cutoff must be a positive length, not {cutoff} Å.")
    parts = [
        one.select(taken_with_elements(one.numbers, one.offsets, MOST_STRUCTURES)) for one in (a, b)
    ]
    featurizer = bound(named_featurizer(features), *parts)
    labels, lacking = _forces(parts, level)
    show = progress or (lambda phase, done, total: None)
    show("describing", 0, 2)

    def described(k: int) -> StructureRows:
        show("describing", k, 2)
        return describe_structures(
            parts[k],
            featurizer=featurizer,
            cutoff=cutoff,
            forces=None if labels is None else labels[k].forces,
            predicted=_predictions(models, parts[k]),
        )

    ours, theirs = described(0), described(1)
    show("describing", 2, 2)
    n, done = len(available(ours, theirs)), itertools.count()
    found = shift(
        ours,
        theirs,
        random_state=random_state,
        progress=lambda name: show("measures", next(done), n),
    )
    show("measures", n, n)
    left_out = {
        name: reason
        for name, reason in {
            "force_norm": lacking,
            "predicted_force_norm": "no potential was named",
            "committee_variance": "fewer than two potentials were named",
            "classifier": "a set has one structure only",
        }.items()
        if name not in found["measures"]
    }
    shared = {
        "conformers": len(np.intersect1d(a.id, b.id)),
        "molecules": len(np.intersect1d(a.molecules.constitution, b.molecules.constitution)),
    }
    return ShiftReport(
        {
            "sets": [
                {"n_conformers": len(one), "n_molecules": one.n_molecules, "n_compared": len(part)}
                for one, part in zip((a, b), parts, strict=True)
            ],
            "shared": shared,
            "features": getattr(featurizer, "name", features),
            "cutoff": cutoff,
            **found,
            "left_out": left_out,
            "verdict": verdict(found["measures"]),
        }
    )


def verdict(measures: dict[str, Any]) -> str:
    """Say in one sentence whether the second set is shifted, and where most."""
    bounded = [one["interval"] for one in measures.values() if one["interval"] is not None]
    if not bounded:
        beyond = [name for name, one in measures.items() if one["outside"] > 0.5]
        return (
            f"Too little to tell a shift from chance: by {len(beyond)} of {len(measures)} measures "
            "most of the second set lies beyond 95 % of the first set's held-out structures."
        )
    shifted = {
        name: one for name, one in measures.items() if one["interval"] and one["interval"][0] > 0
    }
    if not shifted:
        return f"No shift is seen: all {len(measures)} intervals reach down to 0."
    furthest = max(shifted, key=lambda name: (shifted[name]["outside"], name in _PLAIN))
    share = 100 * shifted[furthest]["outside"]
    return (
        f"The second set is shifted from the first by {len(shifted)} of {len(measures)} measures, "
        f"most by {furthest.replace('_', ' ')}: {share:.0f} % of its structures lie beyond 95 % of "
        "the first set's held-out ones."
    )


#: Of measures that tell sets apart equally well, those that say more.
_PLAIN = ("composition", "elements", "size")


def _forces(
    parts: Sequence[ConformerSet], level: str | None
) -> tuple[list[Labels] | None, str | None]:
    """Return both sets' labels of a level with all forces, or the reason why there are none."""
    if level is not None:
        labels = [one.labels(level) for one in parts]
        for k, one in enumerate(labels):
            if not one.has_forces.all():
                n = int((~one.has_forces).sum())
                return None, f"set {k + 1} lacks forces of {n} structures at level {level}"
        return labels, None
    for name in parts[0].levels:
        if all(name in one.levels and one.levels[name].has_forces.all() for one in parts):
            return [one.levels[name] for one in parts], None
    return None, "no level of theory has the forces of all structures of both sets"


def _predictions(models: Sequence[Path], conformers: ConformerSet) -> list[np.ndarray]:
    if not models:
        return []
    from ..training import predict  # torch, which takes seconds to load
    from .committees import each_potential
    from .registry import potential_and_facts

    predicted = []
    for path in each_potential(models):
        potential, meta = potential_and_facts(path)
        predicted.append(predict(potential, conformers, level=meta.get("level")).forces)
    return predicted
