"""A study's folder: its plan, written once, and what tells that it is finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..diversity import ConfigurationError
from .record import begin_session, end_session
from .store import replace_file

PLAN = "plan.json"
FINISHED = "finished.json"


def open_plan(root: Path, study: str, configuration: BaseModel, **inputs: str) -> None:
    """Write the plan of a study, or check that the folder's plan is this one; a run begins.

    Parameters
    ----------
    root : Path
        The output folder.
    study : str
        Name of the study.
    configuration : pydantic.BaseModel
        All that decides its numbers.
    **inputs : str
        Digests of the files that the configuration names.

    Raises
    ------
    ConfigurationError
        If the folder holds another study, or the same with another configuration; the message
        names what differs.
    """
    content: dict[str, Any] = {
        "study": study,
        "configuration": configuration.model_dump(mode="json"),
    }
    content.update(inputs)
    path = root / PLAN
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigurationError(f"{path} is damaged ({error}). Give another --out.") from None
        found = _with_defaults(found, configuration)
        if found != content:
            differences = "; ".join(_differences(found, content)) or "its plan"
            raise ConfigurationError(
                f"{root} holds another study. It differs in {differences}. Give another --out, or "
                "the configuration that the folder was made with."
            )
        if not finished(root):
            begin_session(root)
        return
    # A point of a sweep has links to the units that all points share.
    strangers = [
        p.name for p in root.iterdir() if not p.name.startswith(".") and not p.is_symlink()
    ]
    if strangers:
        raise ConfigurationError(
            f"{root} is not empty and holds no study ({', '.join(sorted(strangers)[:3])}, …). Give "
            "an empty or a new folder as --out."
        )
    replace_file(path, json.dumps(content, indent=1))
    begin_session(root)


def finish(root: Path, *, workers: int, **facts: int) -> None:
    """Tell that a study has written all its results, once.

    Parameters
    ----------
    root : Path
        The output folder.
    workers : int
        Processes that the last run had.
    **facts : int
        Counts, such as of fits.
    """
    if not finished(root):
        end_session(root, workers=workers)
        replace_file(root / FINISHED, json.dumps(facts))


def study_of(root: Path) -> str | None:
    """Return the name of the study in a folder; None where there is no plan that can be read."""
    try:
        name: str | None = json.loads((root / PLAN).read_text()).get("study")
    except (OSError, ValueError, AttributeError):
        return None
    return name


def finished(root: Path) -> bool:
    """Say whether a study has written all its results."""
    return (root / FINISHED).exists()


def _with_defaults(found: Any, configuration: BaseModel) -> Any:
    """Return a plan with its configuration read again: keys that came later have defaults."""
    try:
        again = type(configuration).model_validate(found["configuration"])
    except (ValidationError, KeyError, TypeError):
        return found
    return {**found, "configuration": again.model_dump(mode="json")}


def _differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted({*found, *wanted})
            for line in _differences(found.get(key), wanted.get(key), f"{where}.{key}".strip("."))
        ]
    shown = where.removeprefix("configuration.")
    return [] if found == wanted else [f"{shown}: {found!r} there, {wanted!r} asked"]
