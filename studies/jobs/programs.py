"""Programs whose inputs are written: ORCA, and all that QCEngine runs (Psi4, xTB, …)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols
from ase.units import Bohr

from ...diversity import ConfigurationError


class Structure(NamedTuple):
    """What one calculation is of.

    Attributes
    ----------
    numbers : array of int, shape (N,)
    positions : array of float64, shape (N, 3)
        In Å.
    charge, multiplicity : int
    bonds : array of int, shape (B, 3), or None
        Pairs of atoms and twice the order, for programs that need them (force fields).
    """

    numbers: np.ndarray
    positions: np.ndarray
    charge: int
    multiplicity: int
    bonds: np.ndarray | None


class Program(NamedTuple):
    """How a program is asked for energy and forces, and read.

    Attributes
    ----------
    input, output : str
        Names of the files of one calculation.
    format : str
        Of the output; see :data:`breadth.diversity.formats.FORMATS`.
    command : str
        Shell command that runs in the calculation's folder and prints the output.
    write : callable
        ``write(structure, level, keywords) -> str``, the input.
    """

    input: str
    output: str
    format: str
    command: str
    write: Callable[[Structure, str, str], str]


def program(name: str) -> Program:
    """Return a program: ``orca``, or ``qcengine:NAME`` for one that QCEngine knows.

    Raises
    ------
    ConfigurationError
        If there is none of this name.
    """
    if name == "orca":
        # ORCA wants its full path where it runs in parallel: the user sets $ORCA to it.
        return Program("orca.inp", "orca.out", "orca", '"${ORCA:-orca}" orca.inp', _orca)
    inner = name.removeprefix("qcengine:")
    if inner != name and inner.isidentifier():
        command = f"qcengine run {inner} input.json"
        return Program("input.json", "output.json", "qcschema", command, _qcschema)
    raise ConfigurationError(
        f"There is no program {name!r}. Programs: orca, and qcengine:NAME for those that QCEngine "
        "runs, such as qcengine:psi4 or qcengine:xtb."
    )


#: Functionals that ORCA names together with their dispersion, of which they are a part.
_WITH_DISPERSION = ("b97", "b97m", "wb97x", "wb97m")


def _orca(structure: Structure, level: str, keywords: str) -> str:
    method, _, basis = level.partition("/")
    # Dispersion stands behind the method in a level's name, and is a word of its own in ORCA.
    head, _, tail = method.rpartition("-")
    apart = tail in ("d3", "d3bj", "d3zero", "d4") and head not in _WITH_DISPERSION
    words = [head, tail] if apart else [method]
    task = "EnGrad" if len(structure.numbers) > 1 else "SP"
    line = " ".join(filter(None, ["!", *words, basis, task, keywords]))
    rows = [
        f"  {chemical_symbols[z]:<2s} {x:20.12f} {y:20.12f} {w:20.12f}"
        for z, (x, y, w) in zip(structure.numbers, structure.positions, strict=True)
    ]
    state = f"* xyz {structure.charge} {structure.multiplicity}"
    return "\n".join([line, "", state, *rows, "*", ""])


def _qcschema(structure: Structure, level: str, keywords: str) -> str:
    method, _, basis = level.partition("/")
    molecule: dict[str, Any] = {
        "schema_name": "qcschema_molecule",
        "schema_version": 2,
        "symbols": [chemical_symbols[z] for z in structure.numbers],
        "geometry": (structure.positions / Bohr).ravel().tolist(),
        "molecular_charge": structure.charge,
        "molecular_multiplicity": structure.multiplicity,
        # Or the program would turn the molecule, and its forces with it.
        "fix_com": True,
        "fix_orientation": True,
    }
    if structure.bonds is not None and len(structure.bonds):
        molecule["connectivity"] = [[int(i), int(j), o / 2] for i, j, o in structure.bonds.tolist()]
    return json.dumps(
        {
            "schema_name": "qcschema_input",
            "schema_version": 1,
            "molecule": molecule,
            "driver": "gradient" if len(structure.numbers) > 1 else "energy",
            "model": {"method": method, **({"basis": basis} if basis else {})},
            "keywords": _keywords(keywords),
        },
        indent=1,
    )


def _keywords(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ConfigurationError(
            f"--keywords {text!r}: QCEngine takes keywords as a JSON object, such as "
            '\'{"scf_type": "df"}\'.'
        )
    return given
