"""Write a design for the packages that train on it: what `breadth design --export` does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity import ConfigurationError, ConformerSet, DataError, Labels
from ..store import replace_file
from .configurations import mace, nequip, schnetpack
from .structures import write_database, write_isolated_atoms, write_structures


def export_design(
    conformers: ConformerSet,
    rows: dict[str, np.ndarray],
    out: Path,
    *,
    level: str | None = None,
) -> dict[str, Any]:
    """Write the parts of a design as MACE, NequIP and SchNetPack read them, with configurations.

    Parameters
    ----------
    conformers : ConformerSet
    rows : dict of str to array of int
        Indices by part: ``train``, ``validation``, and any hold-outs.
    out : Path
        Folder that does not exist, or is empty. It gets ``train.xyz``, ``valid.xyz`` and
        ``test.xyz`` (all hold-outs, told apart by ``config_type``), ``isolated_atoms.xyz``,
        ``mace.yaml``, ``nequip.yaml``, ``schnetpack/`` and ``export.json``, or nothing.
    level : str, optional
        Level of theory to learn; the only one by default.

    Returns
    -------
    dict
        What ``export.json`` holds: level, units, counts, reference energies, ids of each part.

    Raises
    ------
    ConfigurationError
        If there is no validation set, or the folder holds something.
    DataError
        If a structure lacks its energy or forces: the packages would learn zeros, or stop.
    """
    if "validation" not in rows:
        raise ConfigurationError(
            "An export needs a validation set, by which the packages stop and choose a model: "
            "give --n-validation."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"{out} exists already. Remove it, or name another folder.")
    labels = conformers.labels(level)
    name = next(key for key, value in conformers.levels.items() if value is labels)
    for part, index in rows.items():
        _check_labels(conformers, labels, part, index, name)
    tests = {part: i for part, i in rows.items() if part not in ("train", "validation")}
    every = np.concatenate(list(rows.values()))
    elements = conformers.select(every).elements.tolist()
    references = labels.reference_energies
    known = {z: references[z] for z in elements if z in references}
    energies = known if len(known) == len(elements) else {}

    aside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "schnetpack" / "experiment").mkdir(parents=True)
    try:
        for file, part in (("train", "train"), ("valid", "validation")):
            write_structures(aside / f"{file}.xyz", conformers, labels, {part: rows[part]})
        if tests:
            write_structures(aside / "test.xyz", conformers, labels, tests, tell_part=True)
        if known:
            write_isolated_atoms(aside / "isolated_atoms.xyz", known)
        held = np.unique(np.concatenate([*tests.values()])) if tests else rows["validation"]
        split = {"train": rows["train"], "val": rows["validation"], "test": held}
        write_database(aside / "schnetpack", conformers, labels, split, energies)
        sizes = {
            "train": len(rows["train"]),
            "val": len(rows["validation"]),
            "test": len(held) if tests else 0,
        }
        for path, text in {
            "mace.yaml": mace(elements=elements, energies=energies, sizes=sizes),
            "nequip.yaml": nequip(elements=elements, energies=energies, sizes=sizes),
            "schnetpack/experiment/design.yaml": schnetpack(energies=energies, sizes=sizes),
        }.items():
            (aside / path).write_text(text)
        described = {
            "level": name,
            "units": {"energy": "eV", "length": "Å", "forces": "eV/Å"},
            "elements": elements,
            "reference_energies": {str(z): e for z, e in known.items()},
            "without_reference_energy": [z for z in elements if z not in known],
            "n_conformers": {part: len(index) for part, index in rows.items()},
            "ids": {part: conformers.id[i].astype("U32").tolist() for part, i in rows.items()},
        }
        replace_file(aside / "export.json", json.dumps(described))
        if out.exists():
            out.rmdir()
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return described


def _check_labels(
    conformers: ConformerSet, labels: Labels, part: str, index: np.ndarray, level: str
) -> None:
    for what, there in (("energy", labels.has_energy), ("forces", labels.has_forces)):
        lacking = index[~there[index]]
        if len(lacking):
            first = int(lacking[0])
            place = f"record {conformers.record[first]} of {conformers.source[first] or 'the data'}"
            raise DataError(
                f"{len(lacking)} of {len(index)} structures of {part} have no {what} at level "
                f"{level!r}, the first {place}. Packages would learn zeros in their place: export "
                "a level that all have, or choose from a file without these records."
            )
