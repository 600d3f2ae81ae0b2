"""`breadth jobs …`: calculations that run elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def write(
    *data: Path,
    out: Path,
    program: str,
    level: str,
    keywords: str = "",
    atoms: bool = True,
    again: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write an input for each conformer of a data set.

    Parameters
    ----------
    data
        Data sets in any format that breadth reads, or the folder of a design with all its parts.
    out
        Folder for the calculations; it must not exist.
    program
        orca, or qcengine:NAME for a program that QCEngine runs: qcengine:psi4, qcengine:xtb, ….
    level
        Level of theory as the program knows it, METHOD/BASIS: b3lyp-d3bj/def2-svp.
    keywords
        More words for ORCA's input line, or a JSON object of keywords for QCEngine.
    atoms
        Add the isolated atoms, which reference energies need.
    again
        Calculate conformers that have energy and forces at this level too.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError
    from ..comparing import read_as_one
    from ..designing import parts_of
    from ..jobs import write_jobs
    from .console import emit_json, output, tell_left_out

    if not data:
        raise ConfigurationError("Name at least one file: breadth jobs write FILE …")
    conformers = read_as_one([part for path in data for part in parts_of(path)])
    tell_left_out(conformers)
    made = write_jobs(
        *(conformers, out), by=program, level=level, keywords=keywords, atoms=atoms, again=again
    )
    if json:
        emit_json({"out": str(out), **made})
        return
    before = f" {made['n_labelled']:,} have their labels." if made["n_labelled"] else ""
    output().print(
        f"{made['n_conformers']:,} conformers and {made['n_atoms']} isolated atoms at {level}."
        f"{before}\n"
        f"Run them: {out / 'run.sh'} (all, one after the other), or {out / 'run.sh'} N for the "
        "N-th alone, as job arrays do.\n"
        f"Then: breadth jobs collect {out} --out labelled.xyz",
        markup=False,
        soft_wrap=True,
    )


def collect(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    resubmit: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Read the results of calculations and match them to their conformers.

    Parameters
    ----------
    folder
        What `breadth jobs write` made.
    out
        Data set of all that is labelled, in the format of its suffix.
    resubmit
        Let failed calculations run again: their outputs are moved aside, and open.txt lists all
        that waits.
    json
        Print one JSON object.
    """
    from ...diversity import DataError
    from ...diversity import write as write_set
    from ..jobs import collect_jobs, reopen_jobs
    from .console import emit_json, messages, output

    found = collect_jobs(folder)
    if out is not None:
        if not len(found.conformers):
            raise DataError(f"No calculation of {folder} has a result yet, so {out} is not made.")
        write_set(found.conformers, out)
    reasons = Counter(reason for _, reason in found.failed)
    opened = reopen_jobs(folder, found) if resubmit else 0
    if json:
        emit_json(
            {
                "out": None if out is None else str(out),
                "level": found.level,
                "n_labelled": len(found.conformers),
                "n_waiting": len(found.waiting),
                "failed": [{"calculation": a.record, "reason": a.reason} for a in found.failed],
            }
        )
        return
    output().print(
        f"{len(found.conformers):,} conformers labelled at {found.level}; "
        f"{len(found.waiting):,} calculations not run, {len(found.failed):,} failed."
        + (f" Written to {out}." if out is not None else ""),
        markup=False,
        soft_wrap=True,
    )
    for reason, count in reasons.most_common(5):
        messages().print(f"failed {count} ×: {reason}", markup=False)
    if opened:
        output().print(f"{opened:,} wait: run {folder / 'run.sh'}", markup=False, soft_wrap=True)
    elif found.failed:
        messages().print("Let them run again by --resubmit.", markup=False)
