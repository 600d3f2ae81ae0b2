"""Read what calculations wrote, and match it to the conformers that they were of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity import ConformerSet, DataError, Labels, SetAside, read
from ..store import replace_file
from .programs import program
from .writing import ATOM, FOLDER, MANIFEST, OPEN

#: In Å: programs print positions to six decimals, after a change of units.
TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Collected:
    """What a folder of calculations holds so far.

    Parameters
    ----------
    conformers : ConformerSet
        Those that are labelled, with all levels that they had before.
    level : str
    failed : list of SetAside
        Calculations that ended without a label, and why.
    waiting : list of str
        Calculations that have not been run.
    """

    conformers: ConformerSet
    level: str
    failed: list[SetAside]
    waiting: list[str]


def collect_jobs(folder: Path) -> Collected:
    """Read all results of a folder that `write_jobs` made.

    A result counts where its file is whole, its atoms and positions are those of the conformer
    (to `TOLERANCE`), and it has an energy and forces. Nothing in the folder is changed.

    Raises
    ------
    DataError
        If the folder is none of calculations.
    """
    told = _manifest(folder)
    level, runs = told["level"], program(told["program"])
    conformers = read(folder / "set")
    n = len(conformers)
    energy, forces, there = np.zeros(n), np.zeros((conformers.n_atoms, 3)), np.zeros(n, dtype=bool)
    # Atoms that had a reference energy at this level were not calculated again.
    before = conformers.levels.get(level)
    references = {} if before is None else dict(before.reference_energies)
    failed: list[SetAside] = []
    waiting: list[str] = []
    place = {name: i for i, name in enumerate(conformers.id.astype("U32").tolist())}
    for name in [*told["conformers"], *(f"{ATOM}{z}" for z in told["atoms"])]:
        path = folder / FOLDER / name / runs.output
        if not path.exists():
            waiting.append(name)
            continue
        try:
            found = read(path, format=runs.format, level=level)
            if name.startswith(ATOM):
                z = int(name.removeprefix(ATOM))
                references[z] = _reference(found, level, z)
            else:
                i = place[name]
                at = conformers.atoms_slice(i)
                energy[i], forces[at] = _label(found, level, conformers.select([i]))
                there[i] = True
        except DataError as error:
            failed.append(SetAside(name, str(error).replace(f"{path}: ", "")))
    labels = Labels(
        energy=energy, forces=forces, has_energy=there, has_forces=there,
        reference_energies=references,
    )  # fmt: skip
    labelled = conformers.with_level(level, labels).select(np.flatnonzero(there))
    return Collected(labelled, level, failed, waiting)


def reopen_jobs(folder: Path, collected: Collected) -> int:
    """Let failed calculations run again, and list in ``open.txt`` what waits; return how many.

    What a failed calculation wrote is kept beside, as ``….failed-1``, ``….failed-2``, ….
    """
    output = program(_manifest(folder)["program"]).output
    for name, _ in collected.failed:
        path = folder / FOLDER / name / output
        number = 1 + len(list(path.parent.glob(f"{output}.failed-*")))
        path.rename(path.with_name(f"{output}.failed-{number}"))
    names = [*collected.waiting, *(name for name, _ in collected.failed)]
    replace_file(folder / OPEN, "".join(f"{name}\n" for name in names))
    return len(names)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / MANIFEST).read_text())
        return {key: told[key] for key in ("program", "level", "conformers", "atoms")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} is no folder of calculations: {MANIFEST} is missing or damaged ({error})."
        ) from None


def _label(found: ConformerSet, level: str, asked: ConformerSet) -> tuple[float, np.ndarray]:
    if len(found) != 1 or level not in found.levels:
        reasons = [entry["reason"] for entry in found.metadata.get("set_aside", [])]
        raise DataError(reasons[0] if reasons else f"{len(found)} labelled geometries, and not one")
    if not np.array_equal(found.numbers, asked.numbers):
        raise DataError("its atoms are not those of the conformer, in the same order")
    off = float(np.abs(found.positions.astype(float) - asked.positions.astype(float)).max())
    if not off <= TOLERANCE:
        raise DataError(f"its positions are not those of the conformer: {off:.2g} Å off")
    if found.charge[0] != asked.charge[0] or found.multiplicity[0] != asked.multiplicity[0]:
        raise DataError("its charge or multiplicity is not that of the conformer")
    labels = found.labels(level)
    if not (labels.has_energy[0] and labels.has_forces[0]):
        raise DataError("it has no " + ("forces" if labels.has_energy[0] else "energy"))
    return float(labels.energy[0]), labels.forces


def _reference(found: ConformerSet, level: str, number: int) -> float:
    references = found.labels(level).reference_energies if level in found.levels else {}
    if number not in references:
        raise DataError("it has no energy of the isolated atom")
    return float(references[number])
