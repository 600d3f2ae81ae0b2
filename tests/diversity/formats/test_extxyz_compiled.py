"""The compiled reader of extended XYZ reads what the reader of lines reads, to the last bit."""

import ase.io
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity import DataError
from breadth.diversity.formats import extxyz_frames, extxyz_lines, extxyz_table, read, write
from breadth.diversity.testing import FormatContract, assert_equal_sets


@pytest.fixture
def compiled(monkeypatch):
    """Read files of any size by the compiled reader, a few lines at a time."""
    monkeypatch.setattr(extxyz_frames, "COMPILED_FROM", 0)
    monkeypatch.setattr(extxyz_lines, "STRETCH", 200)


@pytest.mark.usefixtures("compiled")
class TestCompiled(FormatContract):
    format = "extxyz"
    suffix = ".xyz"


def reals(texts):
    """Return the place after a table of one column of reals, and the reals."""
    text = np.frombuffer("".join(f"{t}\n" for t in texts).encode(), dtype=np.uint8)
    bits = np.zeros((len(texts), 1), dtype=np.uint64)
    end = extxyz_table.read_table(
        text,
        0,
        np.array([extxyz_table.REAL]),
        np.zeros(len(texts), dtype=np.uint8),
        bits,
        np.zeros((len(texts), 0), dtype=np.int64),
    )
    return end == len(text), bits.view(np.float64)[:, 0]


def halves(numerator, power):
    """Write a number that lies midway between two float64, or near it."""
    return str(numerator / 2**power) if power else str(numerator)


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.floats(-1e45, 1e45, allow_subnormal=False).map(repr),
            st.floats(-1e3, 1e3).map(lambda x: f"{x:16.8f}"),
            st.tuples(st.integers(2**53, 2**54).map(lambda m: 2 * m + 1), st.integers(0, 3)).map(
                lambda pair: halves(*pair)
            ),
            st.from_regex(r"\A[+-]?\d{1,9}\.\d{1,9}([eE][+-]?\d{1,2})?\Z").filter(str.isascii),
            st.sampled_from(["0", "-0.0", "1.", ".5", "+7", "1e22", "9007199254740993", "1E-5"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_reals_are_those_of_python_or_are_declined(texts):
    for text in texts:
        whole, values = reals([text])
        expected = np.array([float(text)])
        assert not whole or values.tobytes() == expected.tobytes()


def test_common_reals_are_not_declined():
    random = np.random.default_rng(0)
    values = random.normal(size=20_000) * 10.0 ** random.integers(-15, 15, 20_000)
    whole, back = reals([repr(float(v)) for v in values])
    assert whole
    assert back.tobytes() == values.tobytes()
    ties = [str(2**54 + 2 * k + 1 + 2**53 * (k % 2)) for k in range(500)]
    whole, back = reals(ties)
    assert whole
    assert back.tolist() == [float(t) for t in ties]


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1e", "--1", "1.2.3", ".", "1_0", "0x1", "1d3", "e5"]
)
def test_odd_reals_are_declined(text):
    assert not reals([text])[0]


HEAD = (
    "Properties=species:S:1:pos:R:3:tag:I:1:fixed:L:1:label:S:2:forces:R:3 "
    'Lattice="9 0 0 0 9 0 0 0 9" energy={energy!r} note="a b" name=run{i}'
)


def frames(n):
    random = np.random.default_rng(1)
    made = []
    for i in range(n):
        rows = [
            f"{s} {x!r} {i}.5 0.25  {k} {'TF'[k % 2]} w{k} é{i}\t{x / 3!r} 1e-3 -2.5E+1 \n".replace(
                "é", "é" if i == 4 else "e"
            )
            for k, (s, x) in enumerate(
                zip(
                    ["C", "Cl", "H"],
                    (random.normal(size=3) + np.array([0, 3, 6])).tolist(),
                    strict=True,
                )
            )
        ]
        head = HEAD.format(i=i, energy=float(random.normal()))
        made.append(f"3\n{head}\n" + "".join(rows))
    return made


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_all_kinds_of_columns_are_read_alike(tmp_path, monkeypatch, ending):
    path = tmp_path / "a.xyz"
    path.write_bytes("".join(frames(12)).replace("\n", ending).rstrip().encode())
    slow = read(path)
    monkeypatch.setattr(extxyz_frames, "COMPILED_FROM", 0)
    for stretch in (50, 1000, 4_000_000):
        monkeypatch.setattr(extxyz_lines, "STRETCH", stretch)
        assert_equal_sets(slow, read(path))
    assert slow.atom_extras["label"].values[1].tolist() == ["w1", "e0"]
    assert slow.atom_extras["fixed"].values[:3].tolist() == [True, False, True]


@pytest.mark.usefixtures("compiled")
def test_numbers_are_those_of_ase_to_the_last_bit(tmp_path):
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    random = np.random.default_rng(2)
    written = []
    for _ in range(50):
        atoms = Atoms("C3H4Cl", random.uniform(-9, 9, (8, 3)))
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(random.normal()) * 1e4, forces=random.normal(size=(8, 3))
        )
        written.append(atoms)
    ase.io.write(tmp_path / "a.xyz", written)
    made, theirs = read(tmp_path / "a.xyz"), ase.io.read(tmp_path / "a.xyz", ":")
    labels = made.labels()
    assert made.positions.tobytes() == np.concatenate([a.positions for a in theirs]).tobytes()
    assert labels.forces.tobytes() == np.concatenate([a.get_forces() for a in theirs]).tobytes()
    assert labels.energy.tolist() == [a.get_potential_energy() for a in theirs]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Cl ", "Xx "), ("0.25", "0.2.5"), ("0.25", ""), ("0.25", "nan"), ("w1", "w1 w1"),
        ("3\n", "4\n"), ("3\n", "2\n"), ("3\n", "3000000000\n"), ("3\n", "²\n"), ("pos:R", "pos:Q"),
        ("w1", "µ"), ("0.25", "0.25000000000000000001"), ("Cl", "C\0"), (" T ", " maybe "),
    ],
)  # fmt: skip
def test_errors_are_those_of_the_reader_of_lines(tmp_path, monkeypatch, old, new):
    good = frames(6)
    path = tmp_path / "a.xyz"
    path.write_text("".join([*good[:3], good[3].replace(old, new, 1), *good[4:]]))

    def outcome(skip_bad):
        try:
            return read(path, skip_bad=skip_bad)
        except DataError as error:
            return str(error)

    slow = [outcome(skip_bad) for skip_bad in (False, True)]
    monkeypatch.setattr(extxyz_frames, "COMPILED_FROM", 0)
    for stretch in (50, 4_000_000):
        monkeypatch.setattr(extxyz_lines, "STRETCH", stretch)
        fast = [outcome(skip_bad) for skip_bad in (False, True)]
        for one, other in zip(slow, fast, strict=True):
            if isinstance(one, str):
                assert one == other
            else:
                assert_equal_sets(one, other)
                assert one.metadata == other.metadata


@pytest.mark.usefixtures("compiled")
def test_a_set_that_was_written_comes_back(tmp_path):
    first = read(_written(tmp_path / "a.xyz"))
    write(first, tmp_path / "b.xyz")
    assert_equal_sets(first, read(tmp_path / "b.xyz"))


def _written(path):
    path.write_text("".join(frames(7)))
    return path
