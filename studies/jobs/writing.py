"""Write a calculation for each conformer of a set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity import ConfigurationError, ConformerSet, DataError, write
from ...diversity.topology import molecular_graphs
from ...sampling.labels import ground_state_multiplicity
from ..store import check_folder, replace_file
from .programs import Structure, program

MANIFEST, OPEN, SCRIPT, FOLDER = "jobs.json", "open.txt", "run.sh", "calculations"
#: Begins the names of calculations of isolated atoms; an atomic number follows.
ATOM = "atom-"

_SCRIPT = """#!/bin/sh
# ./run.sh runs every calculation that is open; ./run.sh 7 the seventh line of open.txt alone,
# for job arrays of a batch system.
cd "$(dirname "$0")" || exit 1
run() (
    [ -n "$1" ] || {{ echo "No such line in {open}." >&2; exit 1; }}
    cd "{folder}/$1" || exit 1
    [ -e {output} ] && exit 0
    # From our input a program would read the names that wait, as mpirun does.
    {command} < /dev/null > .partial 2> errors.txt
    mv .partial {output}
)
if [ $# -gt 0 ]; then
    run "$(sed -n "$1p" {open})"
else
    while read -r name; do run "$name"; done < {open}
fi
"""


def write_jobs(
    conformers: ConformerSet,
    out: Path,
    *,
    by: str,
    level: str,
    keywords: str = "",
    atoms: bool = True,
    again: bool = False,
) -> dict[str, Any]:
    """Write a folder of calculations.

    Parameters
    ----------
    conformers : ConformerSet
        Molecules; equal conformers are calculated once.
    out : Path
        Folder that does not exist. It gets ``calculations/ID/`` with an input for each conformer
        id, ``run.sh``, ``open.txt`` with the ids that wait, the set itself, and ``jobs.json``.
    by : str
        The program; see :func:`~breadth.studies.jobs.programs.program`.
    level : str
        Level of theory, METHOD[/BASIS].
    keywords : str
        What the input says beside it: words of ORCA's input line, or a JSON object.
    atoms : bool
        Add the isolated atoms, whose energies a potential's reference energies are pulled to.
    again : bool
        Calculate what has labels at this level too. Otherwise conformers with energy and forces,
        and atoms with reference energies, are left out.

    Returns
    -------
    dict
        ``program``, ``level``, ``n_conformers``, ``n_atoms``, ``n_labelled`` (left out).

    Raises
    ------
    ConfigurationError
        If the program is unknown, the level not one of a program, or the folder exists.
    DataError
        If a structure is periodic, or all have their labels.
    """
    runs = program(by)
    if level.startswith("df-"):
        raise ConfigurationError(
            f"{level!r}: ask the program for density fitting by --keywords, and name the level "
            "without 'df-'."
        )
    check_folder(out)
    if out.exists():
        raise ConfigurationError(f"{out} exists already. Remove it, or name another folder.")
    if conformers.pbc.any():
        first = int(np.flatnonzero(conformers.pbc.any(axis=1))[0])
        raise DataError(
            f"Record {conformers.record[first]} of {conformers.source[first] or 'the data'} is "
            "periodic, and these programs calculate molecules."
        )
    there = None if again else conformers.levels.get(level)
    known: set[int] = set() if there is None else set(there.reference_energies)
    labelled = np.zeros(len(conformers), dtype=bool)
    if there is not None:
        done = conformers.id[there.has_energy & there.has_forces]
        labelled = np.isin(conformers.id, done)
    n_labelled = len(np.unique(conformers.id[labelled]))
    if labelled.all():
        raise DataError(
            f"All {n_labelled:,} conformers have energies and forces at level {level}: there is "
            "nothing to calculate. Calculate them once more by --again."
        )
    _, rows = np.unique(conformers.id, return_index=True)
    rows = np.sort(rows)
    conformers = conformers.select(rows[~labelled[rows]])
    names = conformers.id.astype("U32").tolist()
    bonds = [graph.bonds for graph in molecular_graphs(conformers)]
    inputs = {
        name: Structure(
            conformers.numbers[conformers.atoms_slice(i)],
            conformers.positions[conformers.atoms_slice(i)].astype(float),
            int(conformers.charge[i]),
            int(conformers.multiplicity[i]),
            bonds[int(conformers.molecule[i])],
        )
        for i, name in enumerate(names)
    }
    lone = [int(z) for z in conformers.elements if z not in known] if atoms else []
    for z in lone:
        spin = ground_state_multiplicity(z)
        inputs[f"{ATOM}{z}"] = Structure(np.array([z]), np.zeros((1, 3)), 0, spin, None)
    texts = {name: runs.write(one, level, keywords) for name, one in inputs.items()}
    aside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for name, text in texts.items():
            folder = aside / FOLDER / name
            folder.mkdir(parents=True)
            (folder / runs.input).write_text(text)
        write(conformers, aside / "set")
        (aside / OPEN).write_text("".join(f"{name}\n" for name in texts))
        script = aside / SCRIPT
        script.write_text(
            _SCRIPT.format(folder=FOLDER, output=runs.output, command=runs.command, open=OPEN)
        )
        script.chmod(0o755)
        told = {"program": by, "level": level, "conformers": names, "atoms": lone}
        replace_file(aside / MANIFEST, json.dumps(told))
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return {
        "program": by,
        "level": level,
        "n_conformers": len(names),
        "n_atoms": len(lone),
        "n_labelled": n_labelled,
    }
