"""Potentials and training states on disk: safetensors and JSON, written aside and renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .. import __version__
from ..diversity.errors import DataError
from .potentials import (
    POTENTIALS,
    PRETRAINED,
    Potential,
    build_potential,
    kind_of,
    name_of,
)

WEIGHTS, MANIFEST, STATE = "weights.safetensors", "potential.json", "state.safetensors"
FORMAT = 1


def write_aside(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a name beside it, synced, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}


def save_potential(
    directory: str | Path, potential: Potential, meta: Mapping[str, Any] | None = None
) -> None:
    """Write a potential to a folder.

    Parameters
    ----------
    directory : path
        Made where it is missing; an older potential in it is replaced.
    potential : Potential
        Of a kind registered in `POTENTIALS`.
    meta : mapping, optional
        What JSON can hold, to be kept with it.
    """
    folder = Path(directory)
    dtype = next(potential.parameters()).dtype
    manifest = {
        "format": FORMAT,
        "breadth": __version__,
        "name": name_of(potential),
        "hyper": potential.hyper,
        "dtype": str(dtype).removeprefix("torch."),
        "meta": dict(meta or {}),
    }
    if potential.cutoff_range != (potential.cutoff, potential.cutoff):
        manifest["cutoff_range"] = potential.cutoff_range
    write_aside(folder / WEIGHTS, save(_portable(potential.state_dict())))
    # Last, because a folder without it is not a potential.
    write_aside(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())


def load_potential(
    directory: str | Path, *, device: torch.device | str = "cpu"
) -> tuple[Potential, dict[str, Any]]:
    """Read what :func:`save_potential` wrote.

    Returns
    -------
    potential : Potential
        In evaluation mode, with equal bits.
    meta : dict

    Raises
    ------
    DataError
        If the folder holds no potential, one that is damaged, one of a kind or format that this
        version does not know, or weights of another architecture; it says what differs.
    """
    folder = Path(directory)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        _check_kind(folder / MANIFEST, manifest)
        # What was saved holds its weights itself; a path would be of a file to unpickle.
        if "path" in manifest["hyper"]:
            raise DataError(
                f"{folder / MANIFEST} names a file of weights, {manifest['hyper']['path']!r}, that "
                "would be unpickled. No potential is saved so, and the file is not read."
            )
        tensors, _ = _read(folder / WEIGHTS)
        n_weights = sum(tensor.numel() for tensor in tensors.values())
        for key, value in manifest["hyper"].items():
            if isinstance(value, int) and abs(value) > n_weights:
                raise DataError(
                    f"{folder / MANIFEST} asks for {key} {value}: there are {n_weights} weights."
                )
        with torch.random.fork_rng(devices=[]):
            potential = build_potential(manifest["name"], **manifest["hyper"])
        potential.to(getattr(torch, manifest["dtype"]))
        _check_weights(folder, manifest["name"], potential.state_dict(), tensors)
        potential.load_state_dict(tensors)
        if "cutoff_range" in manifest:
            potential.set_cutoff_range(*manifest["cutoff_range"])
        meta = manifest["meta"]
    except FileNotFoundError as error:
        # Of a missing safetensors file the error does not say the name.
        missing = Path(error.filename or WEIGHTS).name
        raise DataError(f"{folder} holds no potential: {missing} is missing.") from None
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OSError) as error:
        raise DataError(f"The potential in {folder} cannot be read: {error}") from error
    return potential.to(device).eval(), meta


def _check_kind(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raise a DataError where another version wrote what this one cannot build."""
    by = manifest.get("breadth")
    writer = f"breadth {by}" if by else "an older version of breadth"
    told = f"{path} was written by {writer}, and this is breadth {__version__}"
    if manifest["format"] != FORMAT:
        raise DataError(
            f"{told}: it has format {manifest['format']}, and this version reads format {FORMAT}."
        )
    name, hyper = manifest["name"], manifest["hyper"]
    if name not in POTENTIALS and name not in PRETRAINED:
        have = ", ".join(sorted(POTENTIALS))
        raise DataError(f"{told}: it names a potential {name!r}, and this version has {have}.")
    if name in POTENTIALS:
        known = kind_of(name).defaults()
        strange = [repr(key) for key in hyper if key not in known]
        if strange:
            raise DataError(
                f"{told}: it gives {name} the options {', '.join(strange)}, and this version "
                f"knows {', '.join(known)}."
            )


def _check_weights(
    folder: Path, name: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    """Raise a DataError that says how weights differ from those of their potential."""
    there = [key for key in expected if key in found]
    told = {
        "missing": [key for key in expected if key not in found],
        "not of it": [key for key in found if key not in expected],
        "of another shape": [
            f"{key} ({_size(found[key])}, not {_size(expected[key])})"
            for key in there
            if found[key].shape != expected[key].shape
        ],
    }
    parts = [
        f"{len(names)} {what}, such as {', '.join(names[:3])}"
        for what, names in told.items()
        if names
    ]
    if parts:
        raise DataError(
            f"{folder / WEIGHTS} holds the weights of another architecture than the {name} that "
            f"{MANIFEST} describes: {'; '.join(parts)}."
        )


def _size(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"


def saved_kind(directory: str | Path) -> type[Potential]:
    """Return the class of the potential in a folder, of which only the manifest is read.

    Raises
    ------
    DataError
        If the folder holds no potential.
    """
    path = Path(directory) / MANIFEST
    try:
        return kind_of(json.loads(path.read_text())["name"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{directory} holds no potential: {MANIFEST}: {error}") from None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"{path} is damaged or no safetensors file: {error}") from error


def save_state(directory: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a training state as one file, so that it is never half old and half new."""
    content = save(_portable(tensors), metadata={"facts": json.dumps(facts)})
    write_aside(directory / STATE, content)


def load_state(directory: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and facts of a training state, or None where there is none yet."""
    if not (directory / STATE).exists():
        return None
    tensors, metadata = _read(directory / STATE)
    with damage_told(directory):
        return tensors, dict(json.loads(metadata["facts"]))


@contextmanager
def damage_told(directory: Path) -> Iterator[None]:
    """Say of a training state that does not fit together where it lies and what to do.

    Raises
    ------
    DataError
        Where what is done inside finds values that no state has.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"{directory / STATE} is damaged ({type(error).__name__}: {error}). Remove it, and the "
            "fit begins anew."
        ) from error
