"""`breadth report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def report(
    run: Path,
    *,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write what a study was asked, found and cost as one HTML page.

    Parameters
    ----------
    run
        Folder of a study or a sweep, finished or not.
    out
        The page; report.html in the folder by default.
    json
        Print one JSON object.
    """
    from ..report import write_report
    from ..results import damage_told
    from .console import emit_json, output

    with damage_told(run):
        path = write_report(run, out)
    if json:
        emit_json({"report": str(path), "bytes": path.stat().st_size})
        return
    output().print(str(path), soft_wrap=True, markup=False)
