"""Configurations: pydantic models from YAML, with overrides from the command line."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from io import StringIO
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ..diversity import ConfigurationError

Model = TypeVar("Model", bound=BaseModel)

#: Levels and values that no configuration needs; some texts of a few lines stand for billions.
DEEPEST, LARGEST = 100, 1_000_000


class Section(BaseModel):
    """Base of all configuration sections: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def preset_names(study: str = "") -> list[str]:
    """Return the names of the bundled presets, of a study that has a folder for its own."""
    folder = resources.files(__package__) / "presets" / study
    files = [entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return sorted(name.removesuffix(".yaml") for name in files)


def preset_text(name: str, study: str = "") -> str:
    """Return the YAML of a bundled preset, of a study that has a folder for its own.

    Raises
    ------
    ConfigurationError
        If there is no such preset.
    """
    names = preset_names(study)
    if name not in names:
        raise ConfigurationError(
            f"There is no preset {name!r}{_nearest(name, names)} Presets: {', '.join(names)}."
        )
    return (resources.files(__package__) / "presets" / study / f"{name}.yaml").read_text()


def load(
    model: type[Model],
    *,
    preset: str | None = None,
    study: str = "",
    path: Path | None = None,
    overrides: Sequence[str] = (),
) -> Model:
    """Build a configuration: preset, then a YAML file, then ``KEY=VALUE`` overrides.

    Parameters
    ----------
    model : type of pydantic.BaseModel
    preset : str, optional
        Name of a bundled preset.
    study : str, optional
        Folder of the presets of a study.
    path : Path, optional
        A YAML file whose keys replace the preset's.
    overrides : sequence of str
        Such as ``training.updates=500``; values are read as YAML.

    Raises
    ------
    ConfigurationError
        If a file is not YAML, a key is misspelt or a value does not fit; it names the key, and
        the nearest one that exists.
    """
    content: dict[str, Any] = {}
    where = f"preset {preset!r}" if preset else "the defaults"
    if preset:
        _merge(content, _parse(preset_text(preset, study), where))
    if path is not None:
        where = str(path)
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"Cannot read the configuration {path}: {error}.") from None
        _merge(content, _parse(text, where))
    for override in overrides:
        _merge(content, options([override]))
        where = f"{where} with {override!r}"
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, model, where)) from None


def options(overrides: Sequence[str]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` pairs as nested keys, values read as YAML.

    Raises
    ------
    ConfigurationError
        If one is not of that form.
    """
    content: dict[str, Any] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigurationError(
                f"{override!r} is not of the form KEY=VALUE, such as training.updates=500."
            )
        nested: Any = _loaded(value, reprlib.repr(override))
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _merge(content, nested)
    return content


def dump(configuration: BaseModel) -> str:
    """Return a configuration as YAML with every key written out."""
    stream = StringIO()
    _yaml().dump(configuration.model_dump(mode="json"), stream)
    return stream.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    return yaml


def _parse(text: str, where: str) -> dict[str, Any]:
    content = _loaded(text, where)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{where} holds {type(content).__name__} where keys are needed.")
    return content


def _loaded(text: str, where: str) -> Any:
    """Read YAML; refuse what is made to exhaust time or memory.

    Raises
    ------
    ConfigurationError
        If it is no YAML, or nests or repeats itself beyond any configuration's measure.
    """
    # The parser's time grows with the square of the depth.
    depths = accumulate((c in "[{") - (c in "]}") for c in text)
    if max(depths, default=0) > DEEPEST:
        raise ConfigurationError(f"{where} is nested more than {DEEPEST} levels deep.")
    try:
        content = _yaml().load(text)
        if _size(content, {}) > LARGEST:
            raise ConfigurationError(
                f"{where} holds more than {LARGEST:,} values once its aliases are written out."
            )
        return content
    # Some scalars look like dates or numbers and are none; deep nesting exhausts the stack.
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        # The library's own text goes on for paragraphs.
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{where} is not valid YAML{place}: {problem}.") from None


def _size(node: Any, known: dict[int, int]) -> int:
    """Return how many values a node holds with its aliases written out: no limit in a ring."""
    if not isinstance(node, dict | list):
        return 1
    if id(node) not in known:
        known[id(node)] = LARGEST + 1  # while it is counted: met again inside, it is a ring
        inside = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_size(one, known) for one in inside)
    return known[id(node)]


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = list(_keys(model))
            last = path.rsplit(".", 1)[-1]
            lines.append(f"there is no key {path!r}{_nearest(path, known, last)}")
        else:
            lines.append(
                f"{path or 'it'}: {problem['msg']} (found {reprlib.repr(problem['input'])})"
            )
    return f"Cannot use {where}: " + "; ".join(lines)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        inner = [info.annotation, *getattr(info.annotation, "__args__", ())]
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _keys(kind, f"{prefix}{name}.")


def _nearest(name: str, known: Sequence[str], last: str = "") -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not close and last:
        tails = {key.rsplit(".", 1)[-1]: key for key in known}
        close = [tails[t] for t in difflib.get_close_matches(last, list(tails), n=1, cutoff=0.5)]
    return f"; did you mean {close[0]!r}?" if close else "."
