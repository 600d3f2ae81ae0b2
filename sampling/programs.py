"""Labels by quantum chemistry programs that are installed beside breadth: ORCA, Psi4 and xTB.

The programs are run through ASE's calculators, one calculation after another, each in a temporary
folder of its own and on one thread: worker processes fill the cores. To calculate elsewhere, write
inputs and read outputs back by `breadth jobs`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shlex
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.io import read, write

from ..diversity.conformers import ConformerSet, Labels
from ..diversity.errors import ConfigurationError
from .calculators import bare_atoms
from .dft import DISPERSIONS
from .engines import LabelWriter


@dataclass(frozen=True)
class Program:
    """A program that calculates one molecule at a time; the base of those below.

    Charge and multiplicity are those of the molecules; open shells are unrestricted.

    Parameters
    ----------
    level : str
        Level of theory as the program calls it, ``METHOD[-DISPERSION]/BASIS``.

    Raises
    ------
    ConfigurationError
        If the program is not installed, or the level is none.
    """

    level: str

    program: ClassVar[str]
    has_atoms: ClassVar[bool] = True

    def __post_init__(self) -> None:
        method, slash, basis = self.level.partition("/")
        if not (method and slash and basis):
            raise ConfigurationError(
                f"{self.name!r} is no level of theory: write {self.program}:METHOD/BASIS, such as "
                f"{self.program}:b3lyp-d3bj/def2-svp."
            )
        self.find()

    @property
    def name(self) -> str:
        """The level of theory with the program before it."""
        return f"{self.program}:{self.level}"

    def find(self) -> str:
        """Return where the program is; raise `ConfigurationError` if it is nowhere."""
        raise NotImplementedError

    def calculator(self, folder: Path, *, charge: int, multiplicity: int, single: bool) -> Any:
        """Return ASE's calculator of one molecule; `single` for an atom, which has no forces."""
        raise NotImplementedError

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return energies and forces; what the program cannot calculate has none."""
        out = LabelWriter(conformers)
        for i in range(len(conformers)):
            if conformers.pbc[i].any():
                out.faults[i] = f"{self.name} is for molecules: the structure is periodic"
                continue
            try:
                out.put(i, *self._solve(conformers, i))
            except Exception as error:  # any failure of a foreign program concerns one geometry
                reason = " ".join(str(error).split())[:200]
                out.faults[i] = f"{self.name} failed: {type(error).__name__}: {reason}"
        return out.labels()

    def _solve(self, conformers: ConformerSet, i: int) -> tuple[float, np.ndarray]:
        atoms = bare_atoms(conformers, i)
        # ASE's readers of some programs print to stdout, where our own results go.
        with (
            TemporaryDirectory(prefix="breadth-") as folder,
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            calculator = self.calculator(
                Path(folder),
                charge=int(conformers.charge[i]),
                multiplicity=int(conformers.multiplicity[i]),
                single=len(atoms) == 1,
            )
            if len(atoms) == 1:
                return float(calculator.get_property("energy", atoms)), np.zeros((1, 3))
            forces = np.array(calculator.get_property("forces", atoms), dtype=float)
            return float(calculator.get_property("energy", atoms)), forces


@dataclass(frozen=True)
class Orca(Program):
    """ORCA (Neese, WIREs Comput. Mol. Sci. 12, e1606 (2022)), by ASE's calculator.

    The executable is ``orca`` on the path, or what the environment variable ORCA names.

    Parameters
    ----------
    level : str
        Such as ``b3lyp-d3bj/def2-svp``: words of ORCA's input line.
    """

    program: ClassVar[str] = "orca"

    def find(self) -> str:
        """Return the path of the executable."""
        return _executable(self.name, os.environ.get("ORCA", "orca"), "ORCA")

    def calculator(self, folder: Path, *, charge: int, multiplicity: int, single: bool) -> Any:
        """Return ASE's calculator with tight self-consistency on one core."""
        from ase.calculators.orca import ORCA, OrcaProfile

        method, _, basis = self.level.partition("/")
        # Dispersion is a word of its own in ORCA.
        head, _, tail = method.rpartition("-")
        words = [head, tail] if tail in (*DISPERSIONS, "d3") else [method]
        return ORCA(
            profile=OrcaProfile(command=shlex.quote(self.find())),
            directory=folder,
            charge=charge,
            mult=multiplicity,
            orcasimpleinput=" ".join([*words, basis, "TightSCF", "SP" if single else "EnGrad"]),
            orcablocks="%pal nprocs 1 end",
        )


@dataclass(frozen=True)
class Psi4(Program):
    """Psi4 (Smith et al., J. Chem. Phys. 152, 184108 (2020)), by its module and ASE's calculator.

    Parameters
    ----------
    level : str
        Such as ``b3lyp-d3bj/def2-svp``: names of Psi4's methods and basis sets.
    """

    program: ClassVar[str] = "psi4"

    def find(self) -> str:
        """Return the place of Psi4's Python module."""
        found = importlib.util.find_spec("psi4")
        if found is None:
            raise ConfigurationError(
                f"The level {self.name!r} needs Psi4's Python module, which is not installed: "
                "conda install psi4 -c conda-forge."
            )
        return str(found.origin)

    def calculator(self, folder: Path, *, charge: int, multiplicity: int, single: bool) -> Any:
        """Return ASE's calculator on one thread."""
        from ase.calculators.psi4 import Psi4 as AsePsi4

        method, _, basis = self.level.partition("/")
        return AsePsi4(
            label=str(folder / "psi4"),
            PSI_SCRATCH=str(folder),
            method=method,
            basis=basis,
            charge=charge,
            multiplicity=multiplicity,
            reference="rhf" if multiplicity == 1 else "uhf",
            num_threads=1,
        )


@dataclass(frozen=True)
class Xtb(Program):
    """The xTB program (Bannwarth et al., WIREs Comput. Mol. Sci. 11, e1493 (2021)).

    Parameters
    ----------
    level : str
        In `XTB_METHODS`. GFN1 and GFN2 are faster by tblite, which comes with breadth.
    """

    program: ClassVar[str] = "xtb"

    def __post_init__(self) -> None:
        if self.level not in XTB_METHODS:
            raise ConfigurationError(
                f"xTB has no level {self.level!r}: write xtb: and one of {', '.join(XTB_METHODS)}."
            )
        self.find()

    def find(self) -> str:
        """Return the path of the executable: ``xtb``, or what the variable XTB names."""
        return _executable(self.name, os.environ.get("XTB", "xtb"), "XTB")

    def calculator(self, folder: Path, *, charge: int, multiplicity: int, single: bool) -> Any:
        """Return a calculator that runs the executable."""
        options = [*XTB_METHODS[self.level], "--chrg", str(charge), "--uhf", str(multiplicity - 1)]
        return XtbCalculator([self.find(), *options], directory=str(folder))


#: Options of the xTB program by level.
XTB_METHODS = {
    "gfn2": ("--gfn", "2"),
    "gfn1": ("--gfn", "1"),
    "gfn0": ("--gfn", "0"),
    "gfnff": ("--gfnff",),
}


class XtbCalculator(Calculator):
    """The xTB program as an ASE calculator, of which ASE has none.

    Parameters
    ----------
    command : sequence of str
        Executable and options; the geometry and ``--grad`` are added.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, command: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = list(command)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Run the program and read the gradient that it writes in Turbomole's format."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        folder = Path(self.directory)
        write(folder / "molecule.xyz", self.atoms, format="xyz", fmt="%22.15f")
        run = subprocess.run(
            [*self.command[:1], "molecule.xyz", "--grad", *self.command[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if run.returncode:
            said = " ".join((run.stderr or run.stdout).split())[-150:]
            raise CalculationFailed(f"xtb ended with status {run.returncode}: {said}")
        found: Any = read(folder / "gradient", format="turbomole-gradient")
        self.results = {
            "energy": float(found.get_potential_energy()),
            "forces": np.array(found.get_forces()),
        }


def _executable(level: str, command: str, variable: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise ConfigurationError(
            f"The level {level!r} needs the program {command!r}, which is not on the path. Install "
            f"it, or set the environment variable {variable} to its full path."
        )
    return path
