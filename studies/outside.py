"""Predictions that another package made for structures of ours: read, and put to their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers
from scipy.spatial import KDTree

from ..diversity import ConformerSet, DataError, Labels
from ..diversity.formats.extxyz_frames import Frame, frames

TOLERANCE = 1e-4
"""Å. Packages write positions with 8 decimals or in single precision; conformers differ by more."""

_STATE = (("charge", "total_charge"), ("multiplicity", "spin_multiplicity"))


class Prediction(NamedTuple):
    """What a model says of one structure; None what it does not say."""

    place: str
    """File, frame and line, for messages."""
    numbers: np.ndarray
    """(N,) atomic numbers."""
    positions: np.ndarray
    """(N, 3), Å."""
    conformer: str
    """Content id that the file carries, or ''."""
    state: tuple[int | None, int | None]
    """Charge and multiplicity where the file tells them."""
    energy: float | None
    """eV."""
    forces: np.ndarray | None
    """(N, 3), eV/Å."""


def read_predictions(
    path: Path, *, energy_key: str | None = None, forces_key: str | None = None
) -> list[Prediction]:
    """Read the predictions in an extended XYZ file.

    Parameters
    ----------
    path : Path
    energy_key, forces_key : str, optional
        The file's keys for the predicted energy (eV) and forces (eV/Å): ``energy`` and ``forces``
        by default, of which one may be missing; a key that is named must be there.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a key, or a prediction is no number.
    """
    try:
        found = list(frames(path, None))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text: predictions are read from extended XYZ.") from error
    energies, forces = energy_key or "energy", forces_key or "forces"
    have_energies = any(energies in frame.values for frame in found)
    have_forces = any(forces in frame.columns for frame in found)
    for named, key, there in (
        (energy_key, energies, have_energies),
        (forces_key, forces, have_forces),
    ):
        if not there and (named or not (have_energies or have_forces)):
            keys = sorted({k for frame in found for k in (*frame.values, *frame.columns)})
            raise DataError(
                f"No frame of {path} has {key}. Name the keys of the predictions by --energy-key "
                f"and --forces-key; the file has {', '.join(keys) or 'none'}."
            )
    return [_prediction(path, frame, energies, forces) for frame in found]


def matched_predictions(
    predictions: list[Prediction], conformers: ConformerSet, *, path: Path
) -> tuple[Labels, int]:
    """Put predictions to the conformers of a set that they belong to.

    A prediction belongs to the conformer whose content id it carries, else to those with the same
    atoms at the same positions (within `TOLERANCE`, since packages round) and, where the file
    tells them, the same charge and multiplicity. Of equal conformers, each gets it.

    Parameters
    ----------
    predictions : list of Prediction
    conformers : ConformerSet
    path : Path
        For messages.

    Returns
    -------
    Labels
        With masks that are False where nothing was predicted.
    int
        Predictions for structures that the set does not hold.

    Raises
    ------
    DataError
        If the structure of an id has been moved, one structure has two different predictions, or
        its charge state cannot be told.
    """
    energy, forces = np.zeros(len(conformers)), np.zeros((conformers.n_atoms, 3))
    has_energy, has_forces = np.zeros((2, len(conformers)), dtype=bool)
    index, unmatched = _Index(conformers), 0
    for one in predictions:
        rows = index.rows(one)
        unmatched += not len(rows)
        for i in rows:
            atoms = conformers.atoms_slice(int(i))
            if one.energy is not None:
                if has_energy[i] and abs(energy[i] - one.energy) > 1e-3:
                    raise DataError(
                        f"{one.place}: another frame of {path} predicts {energy[i]:.6f} eV for "
                        f"the same structure, this one {one.energy:.6f} eV. Give each model a file."
                    )
                energy[i], has_energy[i] = one.energy, True
            if one.forces is not None:
                forces[atoms], has_forces[i] = one.forces, True
    labels = Labels(energy=energy, forces=forces, has_energy=has_energy, has_forces=has_forces)
    return labels, unmatched


class _Index:
    """Conformers of a set by id, and by composition and position."""

    def __init__(self, conformers: ConformerSet) -> None:
        self.set = conformers
        self.by_id: dict[str, list[int]] = {}
        self.by_atoms: dict[bytes, list[int]] = {}
        for i, name in enumerate(conformers.id.astype("U32").tolist()):
            self.by_id.setdefault(name, []).append(i)
            atoms = conformers.numbers[conformers.atoms_slice(i)].tobytes()
            self.by_atoms.setdefault(atoms, []).append(i)
        self.trees: dict[bytes, KDTree] = {}

    def rows(self, one: Prediction) -> np.ndarray:
        """Return the rows that a prediction belongs to."""
        atoms = one.numbers.astype(np.uint8).tobytes()
        if one.conformer in self.by_id:
            rows = np.array(self.by_id[one.conformer])
            theirs = self.set.atoms_slice(int(rows[0]))
            same = self.set.numbers[theirs].tobytes() == atoms
            if same:
                shift = one.positions - self.set.positions[theirs]
                shift = shift - shift.mean(axis=0)  # some packages centre what they write
            if not same or np.abs(shift).max() > TOLERANCE:
                raise DataError(
                    f"{one.place}: its atoms are not where those of conformer {one.conformer} are. "
                    "Predict for the structures as they were given, not for relaxed ones."
                )
            return rows
        if atoms not in self.by_atoms:
            return np.empty(0, dtype=np.int64)
        candidates = np.array(self.by_atoms[atoms])
        if atoms not in self.trees:
            self.trees[atoms] = KDTree(
                [self.set.positions[self.set.atoms_slice(int(i))].ravel() for i in candidates]
            )
        near = self.trees[atoms].query_ball_point(one.positions.ravel(), TOLERANCE, p=np.inf)
        rows = candidates[np.sort(np.asarray(near, dtype=np.int64))]
        for told, column in zip(one.state, (self.set.charge, self.set.multiplicity), strict=True):
            if told is not None:
                rows = rows[column[rows] == told]
        if len(np.unique(self.set.molecules.key[self.set.molecule[rows]])) > 1:
            raise DataError(
                f"{one.place}: the data hold this geometry in several charge or spin states. Give "
                "the frame charge= and multiplicity=."
            )
        return rows


def _prediction(path: Path, frame: Frame, energy_key: str, forces_key: str) -> Prediction:
    place = f"{path}: record {frame.number} (line {frame.line})"
    values, columns = frame.values, frame.columns
    try:
        if frame.numbers is not None:
            numbers = frame.numbers.astype(np.int64)
        elif "species" in columns:
            numbers = np.array([atomic_numbers[symbol] for symbol in columns["species"].tolist()])
        else:
            numbers = np.asarray(columns["Z"], dtype=np.int64)
        positions = np.asarray(columns["pos"], dtype=np.float64).reshape(len(numbers), 3)
        if not ((numbers > 0) & (numbers < 119)).all() or not np.isfinite(positions).all():
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{place}: it has no elements or no positions that can be used.") from None
    return Prediction(
        place=place,
        numbers=numbers,
        positions=positions,
        conformer=str(values.get("conformer_id", "")).removeprefix("id-"),
        state=(_state(values, _STATE[0]), _state(values, _STATE[1])),
        energy=_energy(values.get(energy_key), place, energy_key),
        forces=_forces(columns.get(forces_key), place, forces_key, len(numbers)),
    )


def _state(values: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    told = next((values[key] for key in keys if key in values), None)
    whole = isinstance(told, int | float | np.number) and float(told).is_integer()
    return int(told) if whole else None  # type: ignore[arg-type]


def _energy(value: Any, place: str, key: str) -> float | None:
    if value is None:
        return None
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "if" or not np.isfinite(number).all():
        raise DataError(f"{place}: {key}={value!r} is no energy. Leave out what a model cannot do.")
    return float(number.ravel()[0])


def _forces(value: Any, place: str, key: str, n_atoms: int) -> np.ndarray | None:
    if value is None:
        return None
    forces = np.asarray(value)
    numeric = forces.dtype.kind in "if" and forces.shape == (n_atoms, 3)
    if not numeric or not np.isfinite(forces).all():
        raise DataError(f"{place}: {key} are not three finite numbers an atom.")
    return forces.astype(np.float64)
