"""Write the report of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...diversity import BreadthError
from ...diversity.html import words
from ..plan import study_of
from ..store import check_folder, replace_file
from .advice import advice_section
from .asked import asked_section, command
from .blocks import Block, Code, Facts, Report, Section, Table, Text
from .making import costs_of, making_section
from .opening import Run, open_run
from .page import report_page
from .pictures import Gallery
from .references import references_section
from .sweep import sweep_report
from .telling import TOLD


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run as one self-contained HTML page, and return its path.

    Parameters
    ----------
    run : Path
        Folder of a study, finished or not.
    out : Path, optional
        ``report.html`` in the folder by default; replaced if it exists.

    Raises
    ------
    ConfigurationError
        If the folder holds no study.
    DataError
        If a file of it is damaged; the message names it.
    """
    path = out or run / "report.html"
    check_folder(path.parent)
    page = report_page(report_of(run))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, page)
    return path


def report_of(root: Path) -> Report:
    """Return the report of a folder: of a sweep, or of a study that is finished or is not."""
    if study_of(root) == "sweep":
        return sweep_report(root)
    run = open_run(root)
    return _unfinished(run) if run.finished is None else _finished(run)


def _finished(run: Run) -> Report:
    """Return the report of a study that has all its results."""
    told = TOLD[run.study.name]
    results = run.results()
    gallery = Gallery(run)
    data = told.data_section(run, results, gallery)
    designs = told.designs_section(run, results)
    found = told.results_section(run, results, gallery)
    warned = [*told.warnings(results), *_warned(results.attrs.get("warnings", "[]"))]
    sections = [
        Section("At a glance", [*told.glance(run, results), *_heeded(warned)]),
        asked_section(run),
        data,
        designs,
        found,
        *advice_section(run),
    ]
    rest = gallery.rest()
    if rest:
        sections.append(Section("More figures", rest))
    none = Text("None: nothing that breadth looks for was found.")
    sections += [
        Section("Warnings", warned or [none]),
        making_section(run, costs=costs_of(run, results)),
        references_section([run]),
    ]
    return Report(told.TITLE, run.name, told.facts(run, results), sections)


def _unfinished(run: Run) -> Report:
    """Return the report of a study that is at work, or was stopped: how far it is."""
    done = {words(kind): len(folders) for kind, folders in run.units.items()}
    blocks: list[Block] = [
        Text("This study is not finished: there are no results to report yet.", "warning"),
        Text("It goes on from what is finished, and ends with the same numbers, by:"),
        Code(command(run), "Command that goes on with this study"),
        Table(
            ("kind of unit", "finished"),
            [(kind, f"{n:,}") for kind, n in done.items()],
            "Finished units; none of them is done again",
        ),
    ]
    planned: Mapping[str, Any] = {}
    with suppress(BreadthError):  # such as of data that is not on this machine
        planned = run.study.estimate(run.asked, workers=1)
    shown = {k: v for k, v in planned.items() if isinstance(v, int | float | str)}
    if shown:
        rows = [(words(key).capitalize(), f"{value:,}" if isinstance(value, int) else str(value))
                for key, value in shown.items()]  # fmt: skip
        blocks += [Text("What the whole of it takes, with one worker:"), Facts(rows)]
    sections = [
        Section("How far it is", blocks),
        asked_section(run),
        making_section(run, costs=[]),
        references_section([run]),
    ]
    total = sum(done.values())
    facts = [("not finished", "status"), (f"{total:,}", "finished units")]
    return Report(TOLD[run.study.name].TITLE, run.name, facts, sections)


def _warned(attribute: str) -> list[Block]:
    """Return the warnings that a study kept with its results."""
    return [Text(text, "warning") for text in json.loads(attribute)]


def _heeded(warned: list[Block]) -> list[Block]:
    """Return the words that send a reader of the first section to the warnings."""
    if not warned:
        return []
    one = len(warned) == 1
    return [
        Text(
            f"There {'is a warning' if one else f'are {len(warned)} warnings'} to read before "
            "these numbers are used: see Warnings.",
            "note",
        )
    ]
