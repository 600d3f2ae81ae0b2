r"""The comment line of extended XYZ: ``key=value`` pairs that tell their types.

Values are read as ASE reads them, and written so that they are read back as what they were:
a text that looks like a number, and an array that one line of numbers cannot tell, are written as
``"_JSON …"``, which ASE understands too.

>>> parse_comment('energy=-1.5 name=abc flags="T F" note="_JSON \\"7\\""')
{'energy': -1.5, 'name': 'abc', 'flags': array([ True, False]), 'note': '7'}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

_CLOSING = {"{": "}", "[": "]", "'": "'", '"': '"'}
_BOOLEANS = {
    **dict.fromkeys(("T", "True", "true", "TRUE"), True),
    **dict.fromkeys(("F", "False", "false", "FALSE"), False),
}
_PLAIN = re.compile(r"[A-Za-z_][\w.:/()@#*+-]*")
#: A key with a bare value, or one in quotation marks without a backslash: nearly all there are.
_PAIR = re.compile(r"\s*([^\s=\"'{}\[\]]+)\s*=\s*(?:\"([^\"\\]*)\"|([^\s\"'{\[]\S*))")
_KEY = re.compile(r"\s*([^\s=\"'{}\[\]]+|\"[^\"]*\")")
_EQUALS = re.compile(r"\s*=\s*")
_BARE = re.compile(r"[^\s]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_INTEGER = re.compile(r"[+-]?\d+")


def parse_comment(line: str) -> dict[str, Any]:
    """Return the values of a comment line by key; a key without a value is True.

    Raises
    ------
    ValueError
        If a quotation or a bracket is not closed.
    """
    found: dict[str, Any] = {}
    place, line = 0, line.rstrip()
    while place < len(line):
        if pair := _PAIR.match(line, place):
            key, quoted, bare = pair.groups()
            found[key] = parse_value(bare if quoted is None else quoted)
            place = pair.end()
            continue
        match = _KEY.match(line, place)
        if match is None:
            raise ValueError(f"cannot read the comment line from {line[place : place + 30]!r} on")
        key, place = match[1].strip('"'), match.end()
        equals = _EQUALS.match(line, place)
        if equals is None:
            found[key] = True
            continue
        text, place = _value_text(line, equals.end())
        found[key] = parse_value(text)
    return found


def _value_text(line: str, start: int) -> tuple[str, int]:
    """Return the text of the value that begins at `start`, and where it ends."""
    opening = line[start : start + 1]
    if opening not in _CLOSING or not opening:
        match = _BARE.match(line, start)
        assert match is not None
        return match[0], match.end()
    if opening == '"' and (quoted := _QUOTED.match(line, start)):
        return _ESCAPED.sub(r"\1", quoted[1]), quoted.end()
    closing, depth, place, text = _CLOSING[opening], 1, start + 1, []
    while place < len(line):
        character = line[place]
        if character == "\\" and place + 1 < len(line):
            text.append(line[place + 1])
            place += 2
            continue
        depth += (character == opening != closing) - (character == closing)
        if depth == 0:
            return "".join(text), place + 1
        text.append(character)
        place += 1
    raise ValueError(f"{opening} is not closed after {line[max(0, start - 20) : start]!r}")


@lru_cache(maxsize=4096)  # a file says the same cell, the same names in every frame
def parse_value(text: str) -> Any:
    """Return a text as integer, float, boolean, array of these, or as what its JSON says."""
    value = _parsed(text)
    if isinstance(value, np.ndarray):
        value.flags.writeable = False  # frames share it
    return value


def _parsed(text: str) -> Any:
    if text.startswith("_JSON "):
        return _from_json(text[6:])
    parts = text.replace(",", " ").split()
    if not parts:
        return text
    values: list[Any]
    if all(_INTEGER.fullmatch(part) for part in parts):
        values = [int(part) for part in parts]
    elif all(part in _BOOLEANS for part in parts):
        values = [_BOOLEANS[part] for part in parts]
    else:
        try:
            values = [float(part) for part in parts]
        except ValueError:
            return text
        if any("_" in part for part in parts):  # Python reads 1_000 as a number; files do not
            return text
    array = np.array(values)
    if array.dtype.kind not in "biuf":  # integers beyond 64 bits
        return text
    return values[0] if len(values) == 1 else array


def _from_json(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return "_JSON " + text
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        try:
            array = np.array(value)
        except ValueError:
            array = np.array(None)
        texts = array.dtype.kind == "U" and all(isinstance(v, str) for v in _leaves(value))
        if texts or array.dtype.kind in "biuf":
            return array
    return json.dumps(value)


def _leaves(value: list[Any]) -> Iterator[Any]:
    for item in value:
        if isinstance(item, list):
            yield from _leaves(item)
        else:
            yield item


def format_comment(values: Mapping[str, Any]) -> str:
    """Return a comment line that :func:`parse_comment` reads back."""
    return " ".join(f"{key}={format_value(value)}" for key, value in values.items())


def format_value(value: Any) -> str:
    """Return one value as it stands in a comment line."""
    if isinstance(value, Mapping):
        return _quoted("_JSON " + json.dumps(value))
    array = np.asarray(value)
    if array.ndim == 0:
        item = value if isinstance(value, str) else array[()]
        return _format_text(item) if isinstance(item, str) else _number(item)
    if array.ndim == 1 and len(array) > 1 and array.dtype.kind != "U":
        return _quoted(" ".join(_number(item) for item in array))
    return _quoted("_JSON " + json.dumps(array.tolist()))


def _format_text(text: str) -> str:
    returns = isinstance(parse_value(text), str) and not text.startswith("_JSON ")
    if returns and _PLAIN.fullmatch(text):
        return text
    if returns and text and text == text.strip() and text.isprintable():
        return _quoted(text)
    return _quoted("_JSON " + json.dumps(text))


def _number(item: Any) -> str:
    if isinstance(item, np.bool_ | bool):
        return "T" if item else "F"
    if isinstance(item, np.integer | int):
        return str(int(item))
    return repr(float(item))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
