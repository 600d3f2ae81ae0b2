"""Errors on a data set, the same for our potentials and for predictions made elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..analysis import errors
from ..diversity import ConformerSet, DataError, Labels
from ..diversity.html import Report
from ..diversity.tables import ragged_index
from .outside import matched_predictions, read_predictions


def measure_errors(data: ConformerSet, labels: Labels, predicted: Labels) -> Report:
    """Compare predictions with labels, as `breadth.analysis.errors` defines errors.

    Parameters
    ----------
    data : ConformerSet
    labels, predicted : Labels
        Of its conformers; only what both have is compared.

    Returns
    -------
    Report
        A dictionary that notebooks show: counts, and errors in eV/Å and eV; None where they
        cannot be told.

    Raises
    ------
    DataError
        If there is nothing to compare.
    """
    forced = np.flatnonzero(labels.has_forces & predicted.has_forces)
    energetic = np.flatnonzero(labels.has_energy & predicted.has_energy)
    if not len(forced) and not len(energetic):
        raise DataError("No conformer of the data has a label at this level of theory.")
    m = data.n_molecules
    result = Report(n_conformers=len(data), n_molecules=m)
    if len(forced):
        atoms = ragged_index(data.offsets, forced)[0]
        counts, molecule = data.counts[forced], data.molecule[forced]
        reference = labels.forces[atoms]
        mae = errors.force_mae_by_molecule(predicted.forces[atoms], reference, counts, molecule, m)
        zero = errors.force_mae_by_molecule(0 * reference, reference, counts, molecule, m)
        result["force_mae"] = float(np.nanmean(mae))
        result["zero_force_mae"] = float(np.nanmean(zero))
        size = result["zero_force_mae"]
        result["relative_force_mae"] = result["force_mae"] / size if size else None
    if len(energetic):
        molecule = data.molecule[energetic]
        ours, theirs = predicted.energy[energetic], labels.energy[energetic]
        per_atom = np.abs(ours - theirs) / data.counts[energetic]
        result["energy_mae_per_atom"] = float(
            np.nanmean(errors.mean_by_molecule(per_atom, molecule, m))
        )
        relative = errors.conformational_energy_mae_by_molecule(ours, theirs, molecule, m)
        known = np.isfinite(relative)
        result["conformational_energy_mae"] = float(relative[known].mean()) if known.any() else None
    return result


def evaluate_predictions(
    path: Path,
    data: ConformerSet,
    *,
    level: str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
) -> Report | None:
    """Measure the errors of another model's predictions, as `breadth evaluate` does those of ours.

    Parameters
    ----------
    path : Path
        Extended XYZ with predictions for structures of the data; see `read_predictions`.
    data : ConformerSet
        With labels.
    level : str, optional
        Level of theory of the data's labels; the only one by default.
    energy_key, forces_key : str, optional
        Keys of the predictions; ``energy`` and ``forces`` by default.

    Returns
    -------
    Report or None
        Errors on the structures that have predictions, and how many have none; None where the
        file predicts nothing of the data.

    Raises
    ------
    DataError
        If the file cannot be used, or holds the labels themselves.
    """
    labels = data.labels(level)
    predictions = read_predictions(path, energy_key=energy_key, forces_key=forces_key)
    predicted, unmatched = matched_predictions(predictions, data, path=path)
    rows = np.flatnonzero(predicted.has_energy | predicted.has_forces)
    if not len(rows):
        return None
    part, atoms = data.select(rows), ragged_index(data.offsets, rows)[0]
    labels, predicted = labels.select(rows, atoms), predicted.select(rows, atoms)
    refuse_labels(path, predicted, labels, part)
    return Report(
        predictions=str(path),
        level=level or next(iter(data.levels)),
        **measure_errors(part, labels, predicted),
        n_without_prediction=len(data) - len(rows),
        n_unmatched_predictions=unmatched,
    )


def refuse_labels(path: Path, predicted: Labels, labels: Labels, data: ConformerSet) -> None:
    """Raise `DataError` if all that is both predicted and labelled is equal."""
    energetic = predicted.has_energy & labels.has_energy
    forced = (predicted.has_forces & labels.has_forces)[data.atom_conformer]
    if (
        bool(energetic.any() or forced.any())
        and np.array_equal(predicted.energy[energetic], labels.energy[energetic])
        and np.array_equal(predicted.forces[forced], labels.forces[forced])
    ):
        raise DataError(
            f"The predictions in {path} equal the labels to the last digit: they are the labels. "
            "Name the keys of the predictions, such as --energy-key MACE_energy --forces-key "
            "MACE_forces."
        )
