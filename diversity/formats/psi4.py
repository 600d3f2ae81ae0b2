"""Outputs of Psi4 (text): each self-consistent field, with its gradient where one follows.

Hartree–Fock and density functionals, in single points, optimisations and scans. Energies (hartree)
and gradients (hartree/bohr, the negative of the forces) are taken over with ASE's constants, in the
orientation that Psi4 prints. What did not converge is set aside. A file with a correlated method
(MP2, coupled clusters, SAPT) is refused whole: its energies stand in as many forms as there are
methods, and QCSchema, which Psi4 writes too, has them all in one.

The level is named after the functional (with its dispersion) and the basis, such as
``b3lyp-d3bj/def2-svp``; it is ``unknown`` where solvent, external potentials, relativity or a
mixture of basis sets are in play. Density fitting is no part of the name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import build
from ..protocols import SetAside
from ..records import Record
from .extxyz import UNNAMED_LEVEL
from .program_outputs import Broken, fault, gathered, refuse_writing

_START = re.compile(r"^\*\*\* tstart\(\) called on.*$", re.MULTILINE)
_STOP = re.compile(r"^\*\*\* tstop\(\) called on", re.MULTILINE)
_END = re.compile(r"\*\*\* psi4 exiting successfully", re.IGNORECASE)
_SCF = re.compile(r"^ +SCF *$", re.MULTILINE)
_SCF_GRADIENT = re.compile(r"^ +SCF GRAD *$", re.MULTILINE)
_GEOMETRY = re.compile(
    r"^ *Geometry \(in (Angstrom|Bohr)\), charge = (-?\d{1,3}), multiplicity = (\d{1,3}):[ \t]*\n"
    r"\s*Center .*\n[ -]+\n((?:.*\S.*\n)+)",
    re.MULTILINE,
)
_GRADIENT = re.compile(
    r"^ *-Total Gradient:[ \t]*\n.*\n[ -]+\n((?:.*\S.*\n)+)", re.MULTILINE | re.I
)
_FINAL = re.compile(r"^ *@\S+ Final Energy: +(\S+) *$", re.MULTILINE)
_TOTAL = re.compile(r"=> Energetics <=(?:.*\n)+? +Total Energy = +(\S+) *$", re.MULTILINE)
_UNCONVERGED = re.compile(r"(failed to|did not|could not) converge", re.IGNORECASE)
_OTHER_ENERGY = re.compile(r"energy[^\n]{0,60}[=:] *-?\d+\.\d", re.IGNORECASE)
_FUNCTIONAL = re.compile(r"=> Composite Functional: (\S+) <=")
_REFERENCE = re.compile(r"^ +[RUC]+O?HF Reference *$", re.MULTILINE)
_BASIS = re.compile(r"==> Primary Basis <==\s+Basis Set: (\S+)\s+Blend: (.*?) *$", re.MULTILINE)
#: Words of an input that change the level of theory.
_ENVIRONMENT = re.compile(r"\b(pcm|ddx|efp|external_potentials?|perturb_h|x2c|dkh|cosmo)\b", re.I)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a text begins as Psi4's outputs do, from its program or from Python."""
    return b"si4: An Open-Source Ab Initio" in head.replace(b"PSI", b"Psi") or (
        b"*** tstart() called on" in head
    )


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read an output; see the module for what it tells."""
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    preamble, *modules = _START.split(text)
    steps = _steps(path, modules)
    if not steps:
        raise DataError(f"{path} is no output of Psi4 with a self-consistent field.")
    elsewhere = bool(_ENVIRONMENT.search(preamble))
    records, bad = gathered(path, steps, lambda s: _record(s, level, elsewhere), skip_bad=skip_bad)
    aside: list[SetAside] = []
    if not _END.search(text):
        what = (
            "the text ends before '*** Psi4 exiting successfully': the run failed, goes on, or "
            "the file is truncated"
        )
        fault(path, len(steps), what, aside if skip_bad else None)
    return build(records, identity=identity, source=str(path), set_aside=[*bad, *aside])


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: the format is only read."""
    refuse_writing("psi4", path)


class _Step(NamedTuple):
    """The texts of a self-consistent field and of its gradients."""

    field: str
    gradients: list[str]


def _steps(path: Path, modules: list[str]) -> list[_Step]:
    """Part the texts of Psi4's modules into steps.

    Raises
    ------
    DataError
        If a module calculates another energy.
    """
    steps: list[_Step] = []
    for module in modules:
        if _SCF.search(module):
            steps.append(_Step(module, []))
        elif steps and _SCF_GRADIENT.search(module):
            steps[-1].gradients.append(module)
        elif _OTHER_ENERGY.search(_STOP.split(module)[0]):
            raise DataError(
                f"{path} holds energies of a correlated method, which are not read from Psi4's "
                "text. Let Psi4 write QCSchema (psi4 --qcschema, or QCEngine), which is read."
            )
    return steps


def _record(step: _Step, level: str | None, elsewhere: bool) -> Record | str:
    field = _STOP.split(step.field)[0]
    if _UNCONVERGED.search(field):
        return "the wave function did not converge"
    symbols, positions, charge, multiplicity = _geometry(field)
    energies = [float(e) for e in (*_FINAL.findall(field)[-1:], *_TOTAL.findall(field)[-1:])]
    if len(energies) < 2 or "Energy and wave function converged" not in field:
        raise Broken("it ends before its energy")
    # As text they may differ in the last of their digits.
    if abs(energies[0] - energies[1]) > 1e-7:
        raise Broken(f"it has two energies, {energies[0]} and {energies[1]} hartree")
    labels: dict[str, Any] = {"energy": energies[1] * Hartree}
    if len(step.gradients) > 1:
        raise Broken("it holds several gradients")
    for text in step.gradients:
        same_symbols, places, *_ = _geometry(text)
        if same_symbols != symbols or not np.array_equal(places, positions):
            raise Broken("its gradient is of another geometry than its energy")
        labels["forces"] = _forces(text, len(symbols))
    return Record(
        numbers=np.array([atomic_numbers[s] for s in symbols], dtype=np.uint8),
        positions=positions,
        charge=charge,
        multiplicity=multiplicity,
        levels={level or (UNNAMED_LEVEL if elsewhere else _level(field)): labels},
    )


def _geometry(text: str) -> tuple[list[str], np.ndarray, int, int]:
    """Return symbols, positions in Å, charge and multiplicity."""
    tables = _GEOMETRY.findall(text)
    if not tables or any(table != tables[0] for table in tables):
        raise Broken("it has no geometry, or several")
    unit, charge, multiplicity, body = tables[0]
    rows = [line.split() for line in body.splitlines()]
    symbols = [row[0].capitalize() for row in rows]
    if any(len(row) not in (4, 5) for row in rows) or any(s not in atomic_numbers for s in symbols):
        raise Broken("its table of coordinates is damaged, or has ghost atoms")
    positions = np.array([row[1:4] for row in rows], dtype=float)
    return symbols, positions * (Bohr if unit == "Bohr" else 1.0), int(charge), int(multiplicity)


def _forces(text: str, n_atoms: int) -> np.ndarray:
    """Return the forces in eV/Å."""
    tables = _GRADIENT.findall(text)
    rows = [line.split() for line in tables[0].splitlines()] if len(tables) == 1 else []
    if [row[0] for row in rows if len(row) == 4] != [str(i + 1) for i in range(n_atoms)]:
        raise Broken(f"its gradient has not one row for each of {n_atoms} atoms")
    return -np.array([row[1:] for row in rows if len(row) == 4], dtype=float) * (Hartree / Bohr)


def _level(field: str) -> str:
    """Return the level of a self-consistent field, ``unknown`` if it cannot be told."""
    functional = _FUNCTIONAL.search(field)
    basis = _BASIS.search(field)
    if basis is None or basis[2].strip().lower() != basis[1].lower():
        return UNNAMED_LEVEL
    if functional is not None:
        return f"{functional[1]}/{basis[1]}".lower()
    dispersed = re.search(r"Empirical Dispersion Energy = +-?0*\.0*[1-9]", field)
    plain = _REFERENCE.search(field) and not dispersed
    return f"hf/{basis[1]}".lower() if plain else UNNAMED_LEVEL
