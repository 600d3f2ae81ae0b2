"""Damaged files of the formats that are written: an answer or a clear error, and never a hang."""

import shutil
import signal

import numpy as np
import pytest

from breadth.diversity.errors import BreadthError
from breadth.diversity.formats import extxyz_frames, read, write
from breadth.diversity.formats.streaming import convert_to_native, streams
from breadth.diversity.tables import Extra
from breadth.diversity.testing import FormatContract

#: Seconds that one file may take.
PATIENCE = 20
SUFFIXES = {"extxyz": ".xyz", "ase": ".db", "ase-json": ".json", "rmd17": ".npz", "native": ""}


def example():
    """Return frames of water with labels, a cell, an extra of frames and one of atoms."""
    from dataclasses import replace

    made = FormatContract().example()
    frame = {"note": Extra(np.array(["a", "b c", ""]), np.ones(3, dtype=bool))}
    atom = {"tag": Extra(np.arange(9), np.ones(3, dtype=bool))}
    return replace(made, frame_extras=frame, atom_extras=atom)


def ase_file(path):
    """Write frames as a user of ASE does, without a header of ours."""
    import ase.io

    atoms = example().to_ase("gfn2")
    for one in atoms:
        one.info = {"note": "a b", "charge": 0}
    ase.io.write(path, atoms)


@pytest.fixture
def impatient():
    """Fail where one reading takes too long."""

    def hung(number, frame):
        raise AssertionError(f"no answer within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, hung)
    yield lambda: signal.alarm(PATIENCE)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def outcome(path, name, k):
    """Read a file, or convert it a chunk at a time; return the set, or what the error says."""
    try:
        if name != "native" and k % 2 and streams(path):
            shutil.rmtree(path.parent / "out", ignore_errors=True)
            convert_to_native(path, path.parent / "out", skip_bad=k % 4 == 1)
            return read(path.parent / "out")
        return read(path, format=name.split("-")[0] if k % 3 else None, skip_bad=k % 4 < 2)
    except BreadthError as error:
        return str(error)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("foreign", [False, True])
def test_extended_xyz(tmp_path, monkeypatch, damaged, impatient, compiled, foreign):
    monkeypatch.setattr(extxyz_frames, "COMPILED_FROM", 0 if compiled else 1 << 60)
    path = tmp_path / "a.xyz"
    ase_file(path) if foreign else write(example(), path)
    _survives(path, "extxyz", damaged, impatient, range(250))


@pytest.mark.parametrize("name", ["ase", "ase-json", "rmd17", "native"])
def test_other_formats(tmp_path, damaged, impatient, name):
    path = tmp_path / f"a{SUFFIXES[name]}"
    write(example(), path)
    _survives(path, name, damaged, impatient, range(500))


def _survives(path, name, damaged, impatient, seeds):
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*.*")) if p.is_file()]
    contents = [file.read_bytes() for file in files]
    answers, errors = 0, []
    for k in seeds:
        file, content = files[k % len(files)], contents[k % len(files)]
        file.write_bytes(damaged(content, np.random.default_rng(k)) or b"\n")
        impatient()
        found = outcome(path, name, k)
        file.write_bytes(content)
        if isinstance(found, str):
            errors.append(found)
            continue
        answers += 1
        assert np.isfinite(found.positions).all()
        assert all(np.isfinite(labels.energy).all() for labels in found.levels.values())
    assert answers
    assert errors
    assert not [e for e in errors if "\n" in e or path.name not in e]
