"""Outputs of ORCA (``.out``): each geometry of a single point, an optimisation or a scan.

ASE cuts the text into steps and finds energies; the tables are read here, since a table that was
cut short must be a fault and not a row of zeros. Energies (hartree) and gradients (hartree/bohr,
the negative of the forces) are taken over with ASE's constants. A step without a gradient has an
energy alone; one whose wave function did not converge is set aside.

The level is named after the echoed input line, ``b3lyp-d3bj/def2-tzvp``: method, dispersion,
relativistic treatment, basis and solvent, where they are told there alone; an input with blocks
that change them is ``unknown``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from ase.io import ParseError
from ase.io.orca import get_chunks, read_energy
from ase.units import Bohr, Hartree

from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import build
from ..protocols import SetAside
from ..records import Record
from .extxyz import UNNAMED_LEVEL
from .program_outputs import Broken, fault, gathered, refuse_writing

_END = "ORCA TERMINATED NORMALLY"
_COORDINATES = "CARTESIAN COORDINATES (ANGSTROEM)"
_GRADIENT = re.compile(r"^\s*CARTESIAN GRADIENT( \(NUMERICAL\))?\s*$")
_ECHO = re.compile(r"^\|\s*\d+>(.*)$", re.MULTILINE)
_CHARGE = re.compile(r"Total Charge\s+Charge\s+\.*\s*([+-]?\d{1,3})\s*$", re.MULTILINE)
_MULTIPLICITY = re.compile(r"Multiplicity\s+Mult\s+\.*\s*(\d{1,3})\s*$", re.MULTILINE)

_METHODS = [
    "hf",
    "mp2",
    "ri-mp2",
    "dlpno-mp2",
    "ccsd",
    "ccsd(t)",
    "dlpno-ccsd",
    "dlpno-ccsd(t)",
    "dlpno-ccsd(t1)",
    "lda",
    "bp86",
    "blyp",
    "olyp",
    "pbe",
    "revpbe",
    "rpbe",
    "pw91",
    "b97-d3",
    "b97-d4",
    "tpss",
    "revtpss",
    "scan",
    "rscan",
    "r2scan",
    "m06l",
    "b97m-v",
    "b97m-d3bj",
    "b97m-d4",
    "b3lyp",
    "b3lyp/g",
    "b1lyp",
    "b3pw91",
    "x3lyp",
    "pbe0",
    "pbeh",
    "revpbe0",
    "bhandhlyp",
    "tpssh",
    "tpss0",
    "r2scanh",
    "r2scan0",
    "r2scan50",
    "m06",
    "m062x",
    "pw6b95",
    "cam-b3lyp",
    "lc-blyp",
    "lc-pbe",
    "wb97",
    "wb97x",
    "wb97x-d3",
    "wb97x-d3bj",
    "wb97x-d4",
    "wb97x-d4rev",
    "wb97x-v",
    "wb97m-v",
    "wb97m-d3bj",
    "wb97m-d4",
    "wb97m-d4rev",
    "wr2scan",
    "b2plyp",
    "b2gp-plyp",
    "dsd-blyp",
    "dsd-pbep86",
    "pwpb95",
    "revdsd-pbep86-d4/2021",
    "wb97x-2",
    "wb2plyp",
    "hf-3c",
    "pbeh-3c",
    "b97-3c",
    "r2scan-3c",
    "b3lyp-3c",
    "wb97x-3c",
    "xtb",
    "xtb0",
    "xtb1",
    "xtb2",
    "gfn0-xtb",
    "gfn1-xtb",
    "gfn2-xtb",
    "gfn-xtb",
    "am1",
    "pm3",
    "mndo",
]
_DISPERSIONS = {"d2": "d2", "d3": "d3bj", "d3bj": "d3bj", "d3zero": "d3zero", "d4": "d4"}
_DISPERSIONS |= {"nl": "nl", "scnl": "scnl"}
_RELATIVITY = frozenset(("zora", "dkh", "dkh2", "x2c"))
_BASIS = re.compile(
    r"((ma|x2c|zora|dkh|sarc|aug|jun|jul)-)*((def2?|cc|pcseg|pc|vdzp|sto)-\S+|\d-\d+\+*g\S*|vdzp"
    r"|(svp|tzvp|tzvpp|qzvp|qzvpp))"
)
_SOLVENT = re.compile(r"(cpcm|smd|alpb|ddcosmo|cpcmx)\(.*\)")
#: Blocks that may change the level of theory.
_BLOCKS = frozenset(("method", "basis", "cpcm", "rel", "xtb", "mp2", "mdci", "tddft", "casscf"))


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a text begins with ORCA's banner."""
    return b"* O   R   C   A *" in head


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read an output; see the module for what it tells."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if _COORDINATES not in text:
        raise DataError(f"{path} is no output of ORCA with a geometry ({_COORDINATES}).")
    if text.count("JOB NUMBER ") > 1 or re.search(r"\$+\s+JOB NUMBER\s+2", text):
        raise DataError(
            f"{path} holds several jobs ($new_job), which may differ in their level of theory. "
            "Run them apart, or cut the file."
        )
    aside: list[SetAside] = []
    reader = _Steps(level or _level(text))
    steps = list(_steps(text))
    records, bad = gathered(path, steps, reader.record, skip_bad=skip_bad)
    if _END not in text:
        what = f"the text ends before '{_END}': the run failed, goes on, or the file is truncated"
        fault(path, len(steps), what, aside if skip_bad else None)
    return build(records, identity=identity, source=str(path), set_aside=[*bad, *aside])


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: the format is only read."""
    refuse_writing("orca", path)


def _steps(text: str) -> Iterator[list[str]]:
    """Yield the lines of each step that has a geometry."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what ASE warns of is told by the caller
        try:
            for lines in get_chunks(text.splitlines(keepends=True)):
                if any(_COORDINATES in line for line in lines):
                    yield lines
        except ParseError:  # the end is missing; the caller tells it
            return


class _Steps:
    """Makes records; charge and multiplicity hold until the text tells others."""

    def __init__(self, level: str) -> None:
        self.level = level
        self.charge, self.multiplicity = 0, 1

    def record(self, lines: list[str]) -> Record:
        text = "".join(lines)
        self.charge = int((_CHARGE.findall(text) or [self.charge])[-1])
        self.multiplicity = int((_MULTIPLICITY.findall(text) or [self.multiplicity])[-1])
        symbols, positions = _geometry(lines)
        labels: dict[str, Any] = {}
        energy = read_energy(lines)
        if energy is not None:
            labels["energy"] = energy
        forces = _forces(lines, symbols)
        if forces is not None:
            labels["forces"] = forces
        return Record(
            numbers=np.array([atomic_numbers[s] for s in symbols], dtype=np.uint8),
            positions=positions,
            charge=self.charge,
            multiplicity=self.multiplicity,
            levels={self.level: labels} if labels else {},
        )


def _geometry(lines: list[str]) -> tuple[list[str], np.ndarray]:
    """Return symbols and positions in Å; a step may print its geometry more than once."""
    tables = []
    for i in (i for i, line in enumerate(lines) if _COORDINATES in line):
        rows = [line.split() for line in takewhile(str.strip, lines[i + 2 :])]
        if not rows or any(len(row) != 4 or row[0] not in atomic_numbers for row in rows):
            raise Broken("its table of coordinates is damaged, or has ghost atoms")
        tables.append((tuple(row[0] for row in rows), np.array([r[1:] for r in rows], float)))
    symbols, positions = tables[-1]
    if any(s != symbols or not np.array_equal(p, positions) for s, p in tables):
        raise Broken("it holds several geometries, and which one the energy is of is not told")
    told = {int(line.split()[-1]) for line in lines if "Number of atoms   " in line}
    if told - {len(symbols)}:
        raise Broken(f"it has {len(symbols)} rows of coordinates for {max(told)} atoms")
    return list(symbols), positions


def _forces(lines: list[str], symbols: list[str]) -> np.ndarray | None:
    """Return the forces in eV/Å; None if no gradient was calculated."""
    starts = [i for i, line in enumerate(lines) if _GRADIENT.match(line)]
    if not starts:
        return None
    if len(starts) > 1:
        raise Broken("it holds several gradients, and which one the energy is of is not told")
    body = lines[starts[0] + 2 :]
    start = next((i for i, line in enumerate(body) if line.strip()), len(body))
    rows = [line.replace(":", " ").split() for line in takewhile(str.strip, body[start:])]
    if [row[1] if len(row) == 5 else "" for row in rows] != symbols:
        raise Broken(f"its gradient has not one row for each of {len(symbols)} atoms")
    return -np.array([row[2:] for row in rows], dtype=float) * (Hartree / Bohr)


def _level(text: str) -> str:
    """Return the level that the echoed input names, ``unknown`` if it cannot be told."""
    echo = [line.split("#")[0].strip().lower() for line in _ECHO.findall(text)]
    words = [word for line in echo if line.startswith("!") for word in line[1:].split()]
    blocks = {line[1:].split()[0] for line in echo if re.match(r"%\w", line)}
    methods = [word for word in words if word in _METHODS]
    bases = [word for word in words if _BASIS.fullmatch(word) and not re.search(r"/[jc]", word)]
    if len(methods) != 1 or len(bases) > 1 or blocks & _BLOCKS:
        return UNNAMED_LEVEL
    more = [_DISPERSIONS[w] for w in words if w in _DISPERSIONS]
    more += [word for word in words if word in _RELATIVITY or _SOLVENT.fullmatch(word)]
    return "/".join(["-".join([*methods, *more]), *bases])
