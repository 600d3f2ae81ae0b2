"""What outsiders inherit and draw from: the contract of formats, and strategies of sets.

Needs `hypothesis` and `pytest`, which come with the development tools.

A new format is tested by a class of four lines::

    class TestMine(FormatContract):
        format = "mine"
        suffix = ".mine"
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conformers import PROVENANCE, ConformerSet
from .errors import BreadthError, DataError
from .formats import read, write
from .tables import Extra, Labels, Molecules

# Names that are hard for a file of words: of other keys, with spaces, not ASCII, of numbers.
_NAMES = st.sampled_from(
    [
        "a",
        "config_type",
        "energy",
        "charge",
        "two words",
        "μ",
        "7",
        "time",
        "smiles",
        "level",
        "pbc",
    ]
)
_LEVELS = st.sampled_from(["gfn2", "pbe-def2svp", "wB97X/6-31G(d)", "REF", "unknown", "a_b"])
_TEXTS = st.one_of(
    st.sampled_from(["", "F", "7", "1.5 2", "_JSON 1", 'a"b\\', "x y", "nan", "[1]", "C/C=C\\C"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)


@st.composite
def conformer_sets(
    draw: st.DrawFn,
    *,
    max_conformers: int = 4,
    max_atoms: int = 5,
    one_molecule: bool = False,
    extras: bool = True,
) -> ConformerSet:
    """Draw a set with molecules, levels, missing labels, periodic cells, extras and provenance.

    Parameters
    ----------
    draw : hypothesis.strategies.DrawFn
    max_conformers, max_atoms : int
        Of the set, and of each conformer.
    one_molecule : bool
        Whether all conformers are of one molecule with one order of atoms.
    extras : bool
        Whether there are extras.

    Returns
    -------
    hypothesis.strategies.SearchStrategy[ConformerSet]
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, max_conformers))
    m = 1 if one_molecule else draw(st.integers(1, n))
    # Every molecule is used, and first in the order of its row: the order that a reader finds.
    molecule = np.sort(np.concatenate([np.arange(m), random.integers(0, m, n - m)]))
    orders = [
        random.integers(1, 119, draw(st.integers(1 if extras else 2, max_atoms))) for _ in range(m)
    ]
    numbers = [orders[row] for row in molecule]
    counts = [len(z) for z in numbers]
    total = sum(counts)
    single = draw(st.booleans())
    pbc = random.random((n, 3)) < (0.5 if draw(st.booleans()) else 0.0)
    columns = {
        "record": random.integers(-1, 100, n),
        "minimum": random.integers(-1, 5, n),
        "temperature": np.where(random.random(n) < 0.5, np.nan, 300.0),
        "trajectory": random.integers(-1, 3, n),
        "time": np.where(random.random(n) < 0.5, np.nan, random.random(n)),
    }
    assert set(columns) == set(PROVENANCE)
    return ConformerSet(
        molecules=_molecules(draw, random, orders),
        molecule=molecule,
        numbers=np.concatenate(numbers),
        positions=_apart(random, counts).astype(np.float32 if single else np.float64),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        cell=np.where(
            np.any(pbc, axis=1)[:, None, None], 20.0 * np.eye(3) + random.random((n, 3, 3)), 0.0
        ),
        pbc=pbc,
        source=np.array([draw(_TEXTS) for _ in range(n)], dtype=np.str_),
        **columns,
        levels={
            name: _labels(random, n, counts, draw(st.booleans()))
            for name in draw(st.lists(_LEVELS, max_size=3, unique=True))
        },
        frame_extras={
            name: _extra(draw, random, n, n)
            for name in (draw(st.lists(_NAMES, max_size=3, unique=True)) if extras else [])
        },
        atom_extras={
            name: _extra(draw, random, total, n)
            for name in (draw(st.lists(_NAMES, max_size=2, unique=True)) if extras else [])
        },
        metadata={"identity_rule": "identifier", "note": draw(_TEXTS)},
    )


def _molecules(draw: st.DrawFn, random: np.random.Generator, orders: list[np.ndarray]) -> Molecules:
    m = len(orders)
    bonded = random.random(m) < 0.5
    tables = [
        np.array([[i, i + 1, 2] for i in range(len(z) - 1)], dtype=np.int32).reshape(-1, 3)
        if known
        else np.zeros((0, 3), np.int32)
        for z, known in zip(orders, bonded, strict=True)
    ]
    return Molecules(
        key=np.array([f"{i} {draw(_TEXTS)}".strip() for i in range(m)]),
        smiles=np.array([draw(_TEXTS) for _ in range(m)]),
        charge=random.integers(-2, 3, m),
        multiplicity=random.integers(1, 4, m),
        constitution=np.array([f"constitution {i}" for i in range(m)]),
        bonds=np.concatenate(tables),
        bond_offsets=np.concatenate([[0], np.cumsum([len(t) for t in tables])]),
        has_bonds=bonded,
    )


def _apart(random: np.random.Generator, counts: list[int]) -> np.ndarray:
    """Return positions on a jittered line, so that no two atoms of a conformer overlap."""
    places = [np.arange(c)[:, None] * [1.2, 0.0, 0.0] + random.uniform(-0.4, 0.4, (c, 3))
              for c in counts]  # fmt: skip
    return np.concatenate(places)


def _labels(random: np.random.Generator, n: int, counts: list[int], stressed: bool) -> Labels:
    has = {q: random.random(n) < 0.8 for q in ("energy", "forces", "stress")}
    by_atom = np.repeat(has["forces"], counts)[:, None]
    kind = np.float32 if random.random() < 0.3 else np.float64
    stress = np.where(has["stress"][:, None, None], random.normal(size=(n, 3, 3)), 0.0)
    if not stressed or not has["stress"].any():
        has["stress"] = np.zeros(n, dtype=bool)
    return Labels(
        energy=np.where(has["energy"], random.normal(size=n) * 1e3, 0.0),
        forces=np.where(by_atom, random.normal(size=(sum(counts), 3)), 0.0).astype(kind),
        stress=stress if has["stress"].any() else None,
        has_energy=has["energy"],
        has_forces=has["forces"],
        has_stress=has["stress"],
        reference_energies={
            int(z): float(random.normal()) for z in random.integers(1, 119, random.integers(3))
        },
    )


def _extra(draw: st.DrawFn, random: np.random.Generator, rows: int, n: int) -> Extra:
    shape = (rows, *draw(st.sampled_from([(), (), (1,), (2,), (3, 3)])))
    kind = draw(st.sampled_from(["f8", "f4", "i8", "i4", "u1", "?", "U"]))
    values: np.ndarray
    if kind == "U":
        texts = [draw(_TEXTS) for _ in range(min(3, rows))]
        values = random.choice(np.array(texts, dtype=np.str_), size=shape)
    elif kind == "?":
        values = random.random(shape) < 0.5
    else:
        values = (random.normal(size=shape) * 50).clip(0 if kind == "u1" else -100).astype(kind)
    return Extra(values, random.random(n) < 0.8)


def assert_equal_sets(first: ConformerSet, second: ConformerSet) -> None:
    """Compare two sets column by column, types included; fill values count for nothing.

    Raises
    ------
    AssertionError
        If they differ; the message names the column.
    """
    assert len(first) == len(second)
    for name in ("numbers", "positions", "offsets", "cell", "pbc", "source", *PROVENANCE):
        _same(getattr(first, name), getattr(second, name), name)
    for name in (f.name for f in fields(Molecules) if "bond" not in f.name):
        ours, theirs = (getattr(s.molecules, name)[s.molecule] for s in (first, second))
        _same(ours, theirs, f"molecules.{name}")
    for i in range(len(first)):
        ours, theirs = (s.molecules.bond_table(int(s.molecule[i])) for s in (first, second))
        assert (ours is None) == (theirs is None), "molecules.has_bonds"
        if ours is not None and theirs is not None:
            _same(ours, theirs, "molecules.bonds")
    assert (first.id == second.id).all()
    assert set(first.levels) == set(second.levels)
    for level, labels in first.levels.items():
        _same_labels(labels, second.levels[level], level, first.atom_conformer)
    for group, rows in (("frame_extras", None), ("atom_extras", first.atom_conformer)):
        ours, theirs = getattr(first, group), getattr(second, group)
        assert set(ours) == set(theirs), group
        for name in ours:
            _same(ours[name].present, theirs[name].present, f"{name}.present")
            mask = ours[name].present if rows is None else ours[name].present[rows]
            _same(ours[name].values[mask], theirs[name].values[mask], name)
    metadata = [{k: v for k, v in s.metadata.items() if k != "format"} for s in (first, second)]
    assert metadata[0] == metadata[1]


def _same_labels(ours: Labels, theirs: Labels, level: str, rows: np.ndarray) -> None:
    for name in ("has_energy", "has_forces", "has_stress"):
        _same(getattr(ours, name), getattr(theirs, name), f"{level}.{name}")
    _same(ours.energy[ours.has_energy], theirs.energy[ours.has_energy], f"{level}.energy")
    mask = ours.has_forces[rows]
    _same(ours.forces[mask], theirs.forces[mask], f"{level}.forces")
    if ours.has_stress.any():
        assert ours.stress is not None
        assert theirs.stress is not None
        _same(ours.stress[ours.has_stress], theirs.stress[ours.has_stress], f"{level}.stress")
    assert dict(ours.reference_energies) == dict(theirs.reference_energies), level


def _same(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    # The width of a text column is that of its longest text, fill included.
    kinds = (
        ("U", "U") if ours.dtype.kind == theirs.dtype.kind == "U" else (ours.dtype, theirs.dtype)
    )
    assert kinds[0] == kinds[1], f"{name}: {ours.dtype} is not {theirs.dtype}"
    assert ours.shape == theirs.shape, f"{name}: {ours.shape} is not {theirs.shape}"
    np.testing.assert_array_equal(ours, theirs, err_msg=name)


class FormatContract:
    """What every format keeps; inherit it and name the format.

    Attributes
    ----------
    format : str
        Its name in :data:`breadth.diversity.formats.FORMATS`.
    suffix : str
        Of its files; '' for folders.
    one_molecule : bool
        Whether it holds one molecule alone.
    """

    format: str
    suffix: str
    one_molecule: bool = False

    def example(self) -> ConformerSet:
        """Return a small set with labels that the format can hold."""
        positions = np.array([[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]] * 3, dtype=float)
        positions[3:] += 0.01 * np.sin(np.arange(18)).reshape(6, 3)
        return ConformerSet(
            molecules=Molecules(key=np.array(["water"]), smiles=np.array(["O"])),
            molecule=np.zeros(3, dtype=int),
            numbers=np.array([8, 1, 1] * 3),
            positions=positions,
            offsets=np.array([0, 3, 6, 9]),
            levels={
                "gfn2": Labels(
                    energy=np.array([-137.9, -137.8, -137.7]),
                    forces=np.cos(np.arange(27)).reshape(9, 3),
                    reference_energies={1: -10.7, 8: -102.5},
                )
            },
            metadata={"identity_rule": "identifier"},
        )

    def written(self, conformers: ConformerSet, folder: Path, **options: Any) -> Path:
        """Write a set to a fresh file in a folder and return its path."""
        path = folder / f"set{self.suffix}"
        write(conformers, path, format=self.format, **options)
        return path

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_round_trip_is_exact(self, data: st.DataObject) -> None:
        """What is read is what was written: ids, columns, types, labels, extras, metadata."""
        drawn = data.draw(conformer_sets(one_molecule=self.one_molecule))
        with tempfile.TemporaryDirectory() as folder:
            back = read(self.written(drawn, Path(folder)))
            assert back.metadata["format"] == self.format
            assert_equal_sets(drawn, back)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_any_level_can_be_the_main_one(self, data: st.DataObject) -> None:
        """The level written under the file's plain names changes nothing of what is read."""
        drawn = data.draw(conformer_sets(one_molecule=self.one_molecule))
        for level in drawn.levels:
            with tempfile.TemporaryDirectory() as folder:
                assert_equal_sets(drawn, read(self.written(drawn, Path(folder), level=level)))

    def test_format_is_recognised_by_content(self, tmp_path: Path) -> None:
        """A file without a telling name is recognised."""
        path = self.written(self.example(), tmp_path)
        bare = path.rename(tmp_path / f"nameless{'.json' if self.suffix == '.json' else ''}")
        assert read(bare).metadata["format"] == self.format

    def test_unknown_level_is_an_error_that_lists_levels(self, tmp_path: Path) -> None:
        """A level that the set does not have is named, and those that it has."""
        with pytest.raises(DataError, match=r"'none'.*'gfn2'"):
            self.written(self.example(), tmp_path, level="none")

    def test_damage_is_an_error_of_one_paragraph(self, tmp_path: Path) -> None:
        """A file cut at any place raises an error that names it, or reads as whole records."""
        path = self.written(self.example(), tmp_path)
        files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
        content = files[0].read_bytes()
        for share in (0.1, 0.5, 0.9, 0.99):
            files[0].write_bytes(content[: int(share * len(content))])
            with pytest.raises(DataError, match=path.name) as raised:
                read(path, format=self.format)
            assert "\n\n" not in str(raised.value)

    def test_altered_bytes_are_read_or_refused_in_words(self, tmp_path: Path) -> None:
        """A file with bytes changed or lost is read or raises an error that a user can read."""
        path = self.written(self.example(), tmp_path)
        targets = [path] if path.is_file() else [p for p in path.rglob("*.*") if p.stat().st_size]
        random = np.random.default_rng(0)
        refusals: list[str] = []
        for k in range(60):
            target = targets[k % len(targets)]
            content = target.read_bytes()
            altered = bytearray(content)
            place = int(random.integers(len(content)))
            if k % 3:
                altered[place] = int(random.integers(256))
            else:
                del altered[place : place + 20]
            target.write_bytes(altered)
            try:
                read(path, format=self.format, skip_bad=bool(k % 2))
            except BreadthError as error:
                refusals.append(str(error))
            target.write_bytes(content)
        assert all(refusals)

    def test_garbage_is_an_error(self, tmp_path: Path) -> None:
        """Bytes that are in no format raise an error that names the file."""
        path = tmp_path / f"garbage{self.suffix or '.bin'}"
        path.write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(DataError, match="garbage"):
            read(path)

    def test_failed_write_harms_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a full disk the write raises, and what was there before is as it was."""
        path = self.written(self.example(), tmp_path)
        before = read(path)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(BreadthError, match="No space left on device"):
                self.written(self.example().select([0, 1]), tmp_path)
        assert_equal_sets(before, read(path))
        leftovers = [p for p in tmp_path.rglob("*") if ".partial" in p.name]
        assert not leftovers
