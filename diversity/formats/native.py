"""The native form: a folder with ``manifest.json`` and immutable ``shards/<sha256>.safetensors``.

A shard is a `ConformerSet` of at most some 10⁵ conformers in its flat form, named by the SHA-256
of its bytes. It is written aside, synced and renamed; then the manifest that lists it replaces the
old one in the same way. Only what the manifest lists is ever read, so that a reader sees the state
before or after a write and nothing between; shards that a killed writer left unlisted are swept by
the next one. A lock that the kernel releases keeps two writers apart; readers need none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from ..concat import concat
from ..conformers import ConformerSet
from ..errors import BreadthError, ConfigurationError, DataError
from .aside import sync_folder, written_aside

#: Conformers per shard: the unit of streaming.
SHARD_SIZE = 100_000
MANIFEST = "manifest.json"
_NAME, _VERSION = "breadth-native", 1
_COUNTS = {"bytes", "n_conformers", "n_atoms"}
_OURS = {MANIFEST, "shards", ".lock"}
# The types of safetensors; numpy reads them where they lie.
_TYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16,
    "U32": np.uint32, "I32": np.int32, "U64": np.uint64, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip


@dataclass(frozen=True)
class NativeSet:
    """A native folder, opened: its shards are read one at a time and memory-mapped.

    Parameters
    ----------
    path : Path
    shards : list of dict
        From the manifest: `file`, `bytes`, `n_conformers`, `n_atoms`, `n_molecules`, `elements`,
        and ranges of energies and forces by level.
    verify : bool
        Whether to compare each shard with its SHA-256 before it is used.
    """

    path: Path
    shards: list[dict[str, Any]] = field(default_factory=list)
    verify: bool = False

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, shard: int) -> ConformerSet:
        return _read_shard(self.path, self.shards[shard], self.verify)

    def __iter__(self) -> Iterator[ConformerSet]:
        return (self[i] for i in range(len(self)))

    @property
    def n_conformers(self) -> int:
        """Number of conformers of all shards, from the manifest."""
        return sum(shard["n_conformers"] for shard in self.shards)

    def read(self) -> ConformerSet:
        """Return all shards as one set; one shard alone stays memory-mapped."""
        if not self.shards:
            raise DataError(f"{self.path} holds no conformers yet.")
        return concat(list(self), conflicts=True)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a folder has a manifest."""
    return path.is_dir() and (path / MANIFEST).is_file()


def open_native(path: str | Path, *, verify: bool = False) -> NativeSet:
    """Open a native folder without reading its shards.

    Parameters
    ----------
    path : str or Path
    verify : bool
        Compare each shard with its SHA-256 when it is read; sizes are always compared.

    Raises
    ------
    DataError
        If there is no manifest, or it is not one of this program.
    """
    where = Path(path)
    return NativeSet(where, _manifest(where)["shards"], verify)


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a folder; its levels have names, so that `level` names nothing here."""
    if identity != "auto":
        raise ConfigurationError(
            f"{path}: a native folder keeps the molecules that it was written with; choose the "
            "identity rule where the original file is read."
        )
    for attempt in range(2):
        try:
            return _read_all(open_native(path), skip_bad)
        except FileNotFoundError as missing:
            # A writer may have replaced the manifest, and swept, between its reading and now.
            if attempt:
                raise DataError(
                    f"{path}: the manifest lists the shard {Path(missing.filename).name}, which is "
                    "not there. Restore it, or read the others (skip_bad=True, --skip-bad)."
                ) from None
    raise AssertionError("unreachable")


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Write a set to a folder, in place of what the folder held; all levels are written alike.

    The former shards go only when the new manifest stands.
    """
    if level is not None:
        conformers.labels(level)
    with _locked(path):
        shards = [_write_shard(path, part) for part in _parts(conformers)]
        _replace_manifest(path, shards)


def append(path: str | Path, conformers: ConformerSet) -> None:
    """Add a set to a folder, which is made if it is not there.

    A set that was appended before, equal in every byte, is not added again: an interrupted loop
    over chunks can be run again from its start.

    Raises
    ------
    BreadthError
        If another process is writing to the folder, or the file system refuses.
    """
    where = Path(path)
    with _locked(where):
        shards = _manifest(where)["shards"] if (where / MANIFEST).exists() else []
        listed = {shard["file"] for shard in shards}
        for part in _parts(conformers):
            shard = _write_shard(where, part)
            if shard["file"] not in listed:
                shards.append(shard)
                listed.add(shard["file"])
        _replace_manifest(where, shards)


# -- writing -------------------------------------------------------------------------------------


def _parts(conformers: ConformerSet) -> Iterator[ConformerSet]:
    return (
        conformers.iter_chunks(SHARD_SIZE) if len(conformers) > SHARD_SIZE else iter([conformers])
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel releases it however the process ends."""
    try:
        if path.is_file():
            raise BreadthError(f"Cannot write a native folder to {path}: it is a file.")
        foreign = path.is_dir() and {p.name for p in path.iterdir()} - _OURS
        if foreign and not (path / MANIFEST).exists():
            raise BreadthError(
                f"{path} holds other files ({sorted(foreign)[0]}) and is no native folder. Choose "
                "another one."
            )
        (path / "shards").mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BreadthError(f"Cannot write to {path}: {error.strerror or error}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            raise BreadthError(
                f"Another process{f' ({holder})' if holder else ''} is writing to {path}. Wait "
                "until it has ended, or choose another folder."
            ) from None
        with suppress(OSError):  # the number is for messages; a full disk must not stop us here
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _write_shard(path: Path, conformers: ConformerSet) -> dict[str, Any]:
    arrays, meta = conformers.to_arrays()
    data = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        metadata={"breadth": json.dumps(meta)},
    )
    name = hashlib.sha256(data).hexdigest()
    target = path / "shards" / f"{name}.safetensors"
    if not (target.exists() and target.stat().st_size == len(data)):
        with written_aside(target) as file:
            file.write(data)
    return {
        "file": target.name,
        "bytes": len(data),
        "n_conformers": len(conformers),
        "n_atoms": conformers.n_atoms,
        "n_molecules": conformers.n_molecules,
        "elements": conformers.elements.tolist(),
        "levels": {level: _ranges(labels) for level, labels in conformers.levels.items()},
    }


def _ranges(labels: Any) -> dict[str, list[float] | None]:
    """Return the smallest and largest energy (eV) and force component (eV/Å)."""
    energy = labels.energy[labels.has_energy]
    forces = labels.forces if labels.has_forces.any() else np.zeros((0, 3))
    return {
        name: [float(values.min()), float(values.max())] if values.size else None
        for name, values in (("energy", energy), ("forces", forces))
    }


def _replace_manifest(path: Path, shards: list[dict[str, Any]]) -> None:
    sync_folder(path / "shards")
    with written_aside(path / MANIFEST) as file:
        text = json.dumps({"format": _NAME, "version": _VERSION, "shards": shards}, indent=1)
        file.write(text.encode())
    # We hold the lock, so what is not listed belongs to no one: old shards, and a killed writer's.
    listed = {shard["file"] for shard in shards}
    leftovers = [*(path / "shards").iterdir(), *path.glob(".*.partial")]
    for file_path in leftovers:
        if file_path.name not in listed:
            with suppress(OSError):
                file_path.unlink()


# -- reading -------------------------------------------------------------------------------------


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise DataError(
            f"{path} has no {MANIFEST}: it is no native folder, or nothing was ever finished in it."
        )
    try:
        manifest = json.loads(file.read_text())
        version = int(manifest["version"])
        sound = manifest["format"] == _NAME and all(
            isinstance(shard["file"], str) and _COUNTS <= shard.keys()
            for shard in manifest["shards"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        sound = False
    if not sound:
        raise DataError(f"{file} is damaged, or belongs to another program.")
    if version > _VERSION:
        raise DataError(
            f"{file} has version {version}; this program reads up to {_VERSION}. Use a newer one."
        )
    return dict(manifest)


def _read_all(native: NativeSet, skip_bad: bool) -> ConformerSet:
    if not skip_bad:
        return native.read()
    parts, aside = [], []
    for i, shard in enumerate(native.shards):
        try:
            parts.append(native[i])
        except (DataError, FileNotFoundError) as error:
            aside.append({"record": shard["file"], "reason": f"a damaged shard: {error}"})
    if not parts:
        raise DataError(f"{native.path} has no shard that can be read: {aside[0]['reason']}")
    joined = concat(parts, conflicts=True)
    if not aside:
        return joined
    told = [*joined.metadata.get("set_aside", []), *aside]
    return replace(joined, metadata={**joined.metadata, "set_aside": told})


def _read_shard(path: Path, shard: dict[str, Any], verify: bool) -> ConformerSet:
    """Map a shard into memory; its arrays are views of the file, read when they are touched."""
    target = path / "shards" / shard["file"]
    with open(target, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != shard["bytes"]:
            raise DataError(
                f"{target} is damaged: it has {size} bytes instead of {shard['bytes']}. Restore "
                "it, or read the other shards (skip_bad=True, --skip-bad)."
            )
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if verify and hashlib.sha256(mapped).hexdigest() != target.stem:
        raise DataError(
            f"{target} is damaged: its contents do not have the SHA-256 that is its name. Restore "
            "it, or read the other shards (skip_bad=True, --skip-bad)."
        )
    try:
        arrays, meta = _mapped_arrays(mapped)
        made = ConformerSet.from_arrays(arrays, meta)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{target} is damaged: its header and its contents do not fit ({error}). Restore it, "
            "or read the other shards (skip_bad=True, --skip-bad)."
        ) from error
    if (len(made), made.n_atoms) != (shard["n_conformers"], shard["n_atoms"]):
        raise DataError(f"{target} does not hold the counts that the manifest tells.")
    return made


def _mapped_arrays(mapped: mmap.mmap) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the safetensors layout: length of the header, header as JSON, arrays end to end."""
    length = int.from_bytes(mapped[:8], "little")
    header = json.loads(mapped[8 : 8 + length])
    meta = json.loads(header.pop("__metadata__")["breadth"])
    whole = np.frombuffer(mapped, dtype=np.uint8, offset=8 + length)
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        arrays[name] = whole[start:end].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays, meta
