"""Damage: bytes lost or changed, and values that no sane program wrote in files that are whole."""

from __future__ import annotations

import io
import json
import math
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

#: Words that mean something to one parser or another.
WORDS = (
    *("nan", "inf", "-inf", "-1", "0", "1e308", "1e-320", "-0.0", "1e999", "0x1p3", "1_000"),
    *("99999999999999999999", "9223372036854775808", "-2147483649", "65536", "1.5", "1e5"),
    *("null", "true", "{}", "[]", '""', "[[[[[[[[", "}}", "---", "...", "&a [*a]", "<<: *a"),
    *("%s%n", "../../../etc/passwd", "/dev/zero", "\x00", "é€😀", "\u202e", "\ufeff", " " * 300),
    *("\n", "\r", "\t", "\n\n", ",", "=", ":", '"', "'", "\\", "C" * 400, "9" * 400),
    *("!!python/name:os.system", "__import__('os')", "<script>", "$(id)", "`id`"),
)
#: Values that stand where others are awaited.
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, -1e308, 1e-320),
    *(math.nan, math.inf, "", "x", "nan", "é😀\x00", "x" * 3000, "../..", [], {}, [[]], [None]),
    *({"a": {"b": []}}, [1, "2", None], [[1.0, 2.0], [3.0]], [0] * 500),
)
_TELLING = b"0123456789-. eE\n<>$[]{},:|*\"'&!\x00\xff"


def mutated(content: bytes, random: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Return a file's content with one to three things wrong with it.

    Parameters
    ----------
    content : bytes
    random : numpy.random.Generator
    others : sequence of bytes
        Contents of other files, parts of which may come in.
    """
    for _ in range(1 + int(random.random() < 0.3) + int(random.random() < 0.1)):
        inside = _inside(content)
        if inside is not None and random.random() < 0.6:
            try:
                content = inside(content, random)
                continue
            except Exception:  # what an earlier change broke is damaged as bytes
                pass
        content = _bytes(content, random, others)
    return content


def _bytes(content: bytes, random: np.random.Generator, others: Sequence[bytes]) -> bytes:
    size = len(content)
    place = int(random.integers(size + 1))
    length = int(random.integers(1, 60)) if random.random() < 0.8 else int(random.integers(1, 5000))
    before, after = content[:place], content[place:]
    match int(random.integers(11)):
        case 0:
            return before
        case 1:
            return before + after[length:]
        case 2:
            return content[: place + length] + after
        case 3:
            return before + bytes([int(random.integers(256))]) + after[1:]
        case 4:
            return before + bytes([_TELLING[int(random.integers(len(_TELLING)))]]) + after[1:]
        case 5:
            return before + _word(random).encode() + after
        case 6:
            return before + bytes(length) + after[length:]
        case 7:
            other = others[int(random.integers(len(others)))] if others else content
            start = int(random.integers(len(other) + 1))
            return before + other[start : start + length] + after[length:]
        case 8:
            return before + random.bytes(length) + after[length:]
        case 9:
            return _lines(content, random)
        case _:
            bits = np.frombuffer(content, dtype=np.uint8).copy()
            for _ in range(int(random.integers(1, 9))):
                if size:
                    bits[int(random.integers(size))] ^= 1 << int(random.integers(8))
            return bits.tobytes()


def _word(random: np.random.Generator) -> str:
    return WORDS[int(random.integers(len(WORDS)))]


def _value(random: np.random.Generator) -> Any:
    return VALUES[int(random.integers(len(VALUES)))]


def _lines(content: bytes, random: np.random.Generator) -> bytes:
    """Change a word of a text, or double, drop or move a line."""
    lines = content.split(b"\n")
    at, other = (int(random.integers(len(lines))) for _ in range(2))
    match int(random.integers(4)):
        case 0:
            lines[at] = lines[other]
        case 1:
            del lines[at]
        case 2:
            lines[at:at] = [lines[other]] * int(random.integers(1, 200))
        case _:
            words = lines[at].split(b" ")
            words[int(random.integers(len(words)))] = _word(random).encode()
            lines[at] = b" ".join(words)
    return b"\n".join(lines)


def _inside(content: bytes) -> Callable[[bytes, np.random.Generator], bytes] | None:
    """Return what changes a value inside a file of this kind, so that its checksums still hold."""
    if content[:4] == b"PK\x03\x04":
        return _archive
    if content[:8] == b"\x89HDF\r\n\x1a\n":
        return _hdf5
    if content[:15] == b"SQLite format 3":
        return _sqlite
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        return _safetensors
    if content[:1] in (b"{", b"["):
        return _json
    return None


def _archive(content: bytes, random: np.random.Generator) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = list(arrays)[int(random.integers(len(arrays)))]
    arrays[name] = _array(arrays[name], random)
    if random.random() < 0.15:
        arrays[_word(random).replace("\x00", "")] = arrays.pop(name)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for key, array in arrays.items():
            with made.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return out.getvalue()


def _array(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return an array with another value, shape, length or type."""
    array = np.array(array)
    match int(random.integers(7)):
        case 0 if array.size and array.dtype.kind in "fiu":
            odd = (
                (np.nan, np.inf, 1e308, -1e308, 0.0)
                if array.dtype.kind == "f"
                else (0, 1, 127, np.iinfo(array.dtype).max, np.iinfo(array.dtype).min)
            )
            with np.errstate(all="ignore"):
                array.flat[int(random.integers(array.size))] = np.asarray(
                    odd[int(random.integers(len(odd)))]
                ).astype(array.dtype)
            return array
        case 1:
            return array.reshape(-1)
        case 2:
            return array[:0] if array.ndim else np.zeros(0)
        case 3:
            kinds = ("f4", "f8", "i8", "u1", "?", "c16", "S3", "U4", "f2")
            with np.errstate(all="ignore"):
                return array.astype(kinds[int(random.integers(len(kinds)))])
        case 4:
            return np.concatenate([array, array]) if array.ndim else array[None]
        case 5:
            return array.T
        case _:
            return array[: int(random.integers(array.shape[0] + 1))] if array.ndim else array


def _hdf5(content: bytes, random: np.random.Generator) -> bytes:
    kept = io.BytesIO(content)
    with h5py.File(kept, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = names[int(random.integers(len(names)))]
        found = file[name]
        match int(random.integers(5)):
            case 0:
                del file[name]
            case 1:
                keys = list(found.attrs)
                key = keys[int(random.integers(len(keys)))] if keys else "units"
                value = _value(random)
                found.attrs[key] = value if isinstance(value, int | float) else repr(value)
            case 2 if isinstance(found, h5py.Dataset):
                found.parent.move(name.rsplit("/", 1)[-1], "elsewhere")
            case _ if isinstance(found, h5py.Dataset):
                array = found[()]
                if isinstance(array, np.ndarray) and array.dtype.kind in "fiu":
                    changed = _array(array, random)
                    if changed.shape == array.shape and changed.dtype == array.dtype:
                        found[...] = changed
                    else:
                        del file[name]
                        kind = h5py.string_dtype() if changed.dtype.kind == "U" else None
                        file.create_dataset(name, data=changed, dtype=kind)
                else:
                    del file[name]
                    file.create_dataset(name, data=_word(random).replace("\x00", ""))
            case _:
                del file[name]
                file.create_dataset(name, data=1.0)
    return kept.getvalue()


def _json(content: bytes, random: np.random.Generator) -> bytes:
    text = json.loads(content)
    return json.dumps(_node(text, random), indent=1).encode()


def _node(node: Any, random: np.random.Generator) -> Any:
    """Walk down a random path and leave something else at its end."""
    here, path = node, []
    while isinstance(here, dict | list) and here and (not path or random.random() < 0.85):
        keys = list(here) if isinstance(here, dict) else range(len(here))
        path.append(keys[int(random.integers(len(keys)))])
        here = here[path[-1]]
    if not path:
        return _value(random)
    parent = node
    for key in path[:-1]:
        parent = parent[key]
    if random.random() < 0.2:
        del parent[path[-1]]
    elif isinstance(parent, dict) and random.random() < 0.15:
        parent[_word(random)] = parent.pop(path[-1])
    elif isinstance(here, int | float) and not isinstance(here, bool) and random.random() < 0.4:
        # Near to what it was: what is only too large or too small.
        parent[path[-1]] = here * (10.0 ** int(random.integers(-3, 9))) * random.choice([-1, 1])
        if isinstance(here, int):
            parent[path[-1]] = int(parent[path[-1]])
    else:
        parent[path[-1]] = _value(random)
    return node


def _safetensors(content: bytes, random: np.random.Generator) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if "__metadata__" in header and random.random() < 0.4:
        told = header["__metadata__"]
        key = list(told)[int(random.integers(len(told)))]
        told[key] = json.dumps(_node(json.loads(told[key]), random))
    else:
        header = _node(header, random)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _sqlite(content: bytes, random: np.random.Generator) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".db") as kept:
        Path(kept.name).write_bytes(content)
        connection = sqlite3.connect(kept.name)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        table = tables[int(random.integers(len(tables)))][0]
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info('{table}')")]
        column = columns[int(random.integers(len(columns)))]
        value = _value(random)
        if not isinstance(value, int | float | str | None) or abs(hash(value)) > 2**62:
            value = random.bytes(24)
        if isinstance(value, int) and abs(value) >= 2**63:
            value = -1
        connection.execute(f"UPDATE '{table}' SET \"{column}\" = ?", (value,))
        connection.commit()
        connection.close()
        return Path(kept.name).read_bytes()
