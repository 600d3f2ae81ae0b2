"""Files that would run code or fill the memory, if anything here let them.

What would run code writes to the file that `MARKER` names; nothing may ever stand there.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .corpus import Subject

#: Environment variable with the path that no bomb may reach.
MARKER = "BREADTH_MARKER"


class Bomb:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Return what an unpickler calls."""
        return (os.system, (f"echo pickle > {os.environ[MARKER]}",))


def files() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield names of subjects, patterns of the file that is replaced, and what replaces it."""
    pickled = ("extxyz", "rmd17", "md17", "native", "ase db", "ase json", "traj", "qcschema")
    pickled += ("sdf", "vasprun", "orca", "psi4", "spice", "ani-1x", "qm7-x", "smiles")
    pickled += ("potential", "checkpoint", "extrapolation", "yaml TradeoffConfiguration")
    for name in pickled:
        yield name, "*", lambda: pickle.dumps(Bomb())
    for name in ("potential", "checkpoint", "extrapolation"):
        yield name, "*.safetensors", _torch
        yield name, "*.safetensors", lambda: (2**62).to_bytes(8, "little") + b"{" * 50
        yield name, "*.safetensors", _wide_safetensors
        yield name, "*.json", lambda: b"[" * 200_000
    yield "potential", "potential.json", lambda: _manifest("mace", path=os.devnull)
    yield "potential", "potential.json", lambda: _manifest("os:system", path="true")
    for width in (10**4 * 8, 10**9 * 8):
        yield "potential", "potential.json", lambda n=width: _manifest(n_features=n)
    yield "potential", "potential.json", lambda: _manifest(n_features=8, n_layers=10**9)
    for name, array in (("rmd17", "coords"), ("md17", "R"), ("md17", "theory"), ("rmd17", "extra")):
        yield name, "*.npz", lambda key=array: _object_archive(key)
        yield name, "*.npz", lambda key=array: _wide_archive(key)
    for text in _yaml():
        for name in ("TradeoffConfiguration", "RefinementConfiguration", "PoolConfiguration"):
            yield f"yaml {name}", "*.yaml", text.encode
    yield "ase db of ase", "*.db", _database
    yield "ase json", "*.json", lambda: b"[" * 100_000
    yield "qcschema", "*.json", lambda: b'{"molecule":' * 100_000
    yield "ase json", "*.json", lambda: json.dumps(_ase_objects()).encode()
    for name in ("spice", "ani-1x", "qm7-x"):
        yield name, "*.h5", _wide_hdf5
        yield name, "*.h5", _object_hdf5
    yield "extxyz", "*.xyz", lambda: b"999999999999\nProperties=species:S:1:pos:R:3\nH 0 0 0\n"
    yield "extxyz", "*.xyz", lambda: b"1\nProperties=species:S:1:pos:R:999999999\nH 0 0 0\n"
    yield (
        "outcar",
        "OUTCAR",
        lambda: b" vasp.6.3\n NIONS = 99999999999\n ions per type = 99999999999\n",
    )
    yield "vasprun", "*.xml", _entities
    yield "smiles", "*.smi", lambda: b"C" * 100_000 + b" long\n"
    yield "smiles", "*.smi", lambda: b"(" * 100_000 + b"\n"
    yield (
        "sdf",
        "*.sdf",
        lambda: b"\n\n\n999999999  0  0     0  0            999 V2000\nM  END\n$$$$\n",
    )


def armed(subjects: list[Subject]) -> Iterator[tuple[Subject, str, bytes]]:
    """Yield subjects with the pattern of the file that a bomb replaces, and the bomb."""
    by_name = {subject.name: subject for subject in subjects}
    for name, pattern, make in files():
        yield by_name[name], pattern, make()


def _torch() -> bytes:
    import torch

    out = io.BytesIO()
    torch.save({"weights": Bomb()}, out)
    return out.getvalue()


def _manifest(name: str = "factorised_painn", **hyper: Any) -> bytes:
    told = {"format": 1, "name": name, "hyper": hyper, "dtype": "float32", "meta": {}}
    return json.dumps(told).encode()


def _wide_safetensors() -> bytes:
    header = {"weights": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(64)


def _object_archive(name: str) -> bytes:
    """An archive with an array of Python objects, which NumPy would unpickle."""
    out = io.BytesIO()
    objects = np.empty(2, dtype=object)
    objects[:] = [Bomb(), Bomb()]
    arrays = {"nuclear_charges": np.array([8, 1, 1]), "z": np.array([8, 1, 1]), name: objects}
    np.savez(out, **arrays)
    return out.getvalue()


def _wide_archive(name: str) -> bytes:
    """An archive of 30 kB whose array has 32 GB, as its header tells, of which 30 MB are there."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, shape in ((name, (10**9, 4)), ("nuclear_charges", (3,)), ("z", (3,))):
            head = io.BytesIO()
            kind = {"descr": "<f8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(head, kind)
            archive.writestr(
                f"{key}.npy", head.getvalue() + bytes(30_000_000 if key == name else 24)
            )
    return out.getvalue()


def _yaml() -> list[str]:
    command = f"echo yaml > {os.environ[MARKER]}"
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    return [
        f'seed: !!python/object/apply:os.system ["{command}"]\n',
        f'!!python/object/new:os.system ["{command}"]\n',
        "seed: !!python/name:os.system\n",
        f"seed: !<tag:yaml.org,2002:python/object/apply:os.system> ['{command}']\n",
        laughs + "seed: *a11\n",
        "a: &a\n  b: *a\n",
        "[" * 50_000,
        "seed: " + "9" * 100_000 + "\n",
    ]


def _database() -> bytes:
    """A database of ASE whose row holds a pickle and a blob of 50 MB."""
    path = Path(os.environ[MARKER]).with_suffix(".db")
    path.unlink(missing_ok=True)
    import ase.db
    from ase import Atoms

    with ase.db.connect(path) as rows:
        rows.write(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]), data={"a": [1]})
    connection = sqlite3.connect(path)
    bomb = pickle.dumps(Bomb())
    connection.execute("UPDATE systems SET data = ?, energy = 1e999", (bomb,))
    connection.execute("UPDATE systems SET forces = zeroblob(50000000)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    path.unlink()
    return content


def _ase_objects() -> dict[str, Any]:
    row = {
        "numbers": [1, 1],
        "positions": [[0, 0, 0], [0, 0, 0.74]],
        "data": {"__ase_objtype__": "os:system", "__ndarray__": [[10**12], "object", []]},
        "cell": {"__ase_objtype__": "cell", "array": {"__ndarray__": [[3, 3], "float64", [0] * 9]}},
    }
    return {"1": row, "ids": [1], "nextid": 2}


def _wide_hdf5() -> bytes:
    """A file of 2 kB whose data set has 80 GB, none of it stored."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, key in (
            ("water", "conformations"),
            ("C2H6O", "coordinates"),
            ("1/Geom-m1-i1-c1-opt", "atXYZ"),
        ):
            group = file.create_group(name)
            group.create_dataset(key, shape=(10**9, 3, 3), dtype="f8", chunks=(1000, 3, 3))
            for numbers in ("atomic_numbers", "atNUM"):
                group.create_dataset(numbers, data=np.array([8, 1, 1]))
            group.create_dataset("smiles", data=np.array([b"[O:1]([H:2])[H:3]"]))
            group.create_dataset("dft_total_energy", shape=(10**9,), dtype="f8", chunks=(1000,))
    return out.getvalue()


def _object_hdf5() -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        group = file.create_group("water")
        opaque = np.void(pickle.dumps(Bomb()))
        for key in ("conformations", "coordinates", "atomic_numbers", "atXYZ", "smiles"):
            group.create_dataset(key, data=opaque)
    return out.getvalue()


def _entities() -> bytes:
    """XML whose few lines are a billion words, and which names a file of this machine."""
    lines = ["<?xml version='1.0'?>", "<!DOCTYPE modeling [", "<!ENTITY a0 'laugh'>"]
    lines += [f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 11)]
    lines += ["<!ENTITY file SYSTEM 'file:///etc/passwd'>", "]>"]
    return "\n".join([*lines, "<modeling><generator>&a10;&file;</generator></modeling>"]).encode()
