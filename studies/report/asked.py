"""What a study was asked: in which keys it differs from the defaults, and how to ask it again."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ...diversity import BreadthError
from ..catalogue import study_named
from ..configuration import dump, preset_names
from .blocks import Block, Code, Section, Table, Text
from .opening import Run

#: Differences from a preset that still fit into a command that one reads.
_SHORT = 6


def asked_section(run: Run) -> Section:
    """Return the configuration of a run: keys that were set, and the command to run it again."""
    set_keys = list(_differences(run.asked, _defaults(run.study.configuration)))
    blocks: list[Block] = [
        Code(command(run), "Command that runs this study again"),
        Text(
            "Equal configurations give equal numbers on one kind of device, whatever the number "
            "of workers. The same command on this folder goes on from what is finished.",
            "note",
        ),
    ]
    if set_keys:
        blocks.append(
            Table(
                ("key", "value", "default", "what it is"),
                [
                    (key, _shown(value), _shown(usual), _plain(about.description))
                    for key, value, usual, about in set_keys
                ],
                "Keys that differ from the defaults",
                words=4,
            )
        )
    blocks.append(Text(f"All keys, as {run.name}.yaml would hold them:"))
    blocks.append(Code(dump(run.asked).strip(), f"Configuration of {run.name}", long=True))
    return Section("What was asked", blocks)


def command(run: Run) -> str:
    """Return a short command that asks the same: by a preset, or else by a file of the keys."""
    start = f"breadth study {run.study.name}"
    out = f"--out {shlex.quote(f'runs/{run.name}')}"
    found: list[tuple[int, str]] = []
    for name in preset_names(run.study.presets):
        preset = _preset(run.study.name, name)
        if preset is None:
            continue
        changed = [f"{key}={_yaml(value)}" for key, value, *_ in _differences(run.asked, preset)]
        if len(changed) > _SHORT:
            continue
        options = f" --set {' '.join(map(shlex.quote, changed))}" if changed else ""
        try:
            same = not changed or run.study.load(preset=name, overrides=changed) == run.asked
        except BreadthError:  # of what cannot be written as KEY=VALUE
            same = False
        if same:
            found.append((len(changed), f"{start} --preset {name}{options} {out}"))
    return min(found)[1] if found else f"{start} --config {shlex.quote(f'{run.name}.yaml')} {out}"


@functools.cache
def _preset(study: str, name: str) -> Any:
    """Return a bundled preset; None of what cannot be read here, such as without a package."""
    try:
        return study_named(study).load(preset=name)
    except BreadthError:
        return None


def _defaults(model: type[BaseModel]) -> BaseModel:
    """Return a configuration with nothing set; what has no default is left out."""
    return model.model_construct()


def _differences(
    asked: Any, other: Any, prefix: str = ""
) -> Iterator[tuple[str, Any, Any, FieldInfo]]:
    """Yield key, value, the other's value and the field of all that differs, section by section."""
    for name, about in type(asked).model_fields.items():
        value, usual = getattr(asked, name), getattr(other, name, None)
        if isinstance(value, BaseModel) and isinstance(usual, BaseModel):
            yield from _differences(value, usual, f"{prefix}{name}.")
        elif value != usual:
            yield f"{prefix}{name}", value, usual, about


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def _yaml(value: Any) -> str:
    """Return a value as a line of YAML."""
    value = _jsonable(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value)


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    return "–" if value is None else _yaml(value)


def _plain(description: str | None) -> str:
    """Return a field's docstring as a paragraph of the page."""
    return " ".join((description or "").replace("`", "").split())
