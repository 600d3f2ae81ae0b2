"""Labels by density functional theory, computed by PySCF (the extra `dft`)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from ase import units
from ase.data import chemical_symbols

from ..diversity.conformers import ConformerSet, Labels
from ..diversity.errors import ConfigurationError
from .engines import LabelWriter

#: Dispersion corrections that a level's name may end its functional with.
DISPERSIONS = ("d3bj", "d3zero", "d4")
#: Prefix of levels whose Coulomb and exchange integrals are density-fitted: other energies.
FITTED = "df-"


@dataclass(frozen=True)
class Dft:
    """Kohn–Sham density functional theory by PySCF (Sun et al., J. Chem. Phys. 153, 024109 (2020)).

    Closed shells are restricted, all others unrestricted, by the multiplicity of the molecule.
    The forces hold the response of the integration grid, so that they are the derivative of the
    energy. Every calculation starts from the same guess, so that no label depends on another.

    Parameters
    ----------
    name : str
        The level of theory, ``[df-]FUNCTIONAL[-DISPERSION]/BASIS``, such as
        ``b3lyp-d3bj/6-31g*``: names of PySCF's functionals and basis sets, and a dispersion
        correction out of `DISPERSIONS`. ``df-`` asks for density fitting. Programs may mean other
        functionals by one name: PySCF's B3LYP has VWN's RPA fit, as Gaussian's, ORCA's has VWN5.
    grid_level : int
        Integration grid, 0 to 9.
    convergence : float
        Change of the energy between cycles, in hartree, at which a calculation has converged.
    max_gradient : float
        In hartree. Norm of the gradient by orbital rotations above which a calculation is not
        taken as converged, whatever its energy does.
    max_cycles : int
        Cycles of self-consistency; where they do not suffice, a second-order solver goes on.

    Raises
    ------
    ConfigurationError
        If the name is none of a level, PySCF does not know it, or PySCF is not installed.

    Examples
    --------
    >>> Dft("b3lyp-d3bj/6-31g*").functional, Dft("df-pbe/def2-svp").density_fit
    ('b3lyp', True)
    """

    name: str
    grid_level: int = 3
    convergence: float = 1e-9
    max_gradient: float = 1e-4
    max_cycles: int = 100
    functional: str = field(init=False)
    dispersion: str | None = field(init=False)
    basis: str = field(init=False)
    density_fit: bool = field(init=False)

    has_atoms: ClassVar[bool] = True

    def __post_init__(self) -> None:
        method, slash, basis = self.name.partition("/")
        fitted = method.startswith(FITTED)
        functional, _, last = method.removeprefix(FITTED).rpartition("-")
        if last not in DISPERSIONS:
            functional, last = method.removeprefix(FITTED), ""
        if not (slash and functional and basis):
            raise ConfigurationError(
                f"{self.name!r} is no level of density functional theory: write "
                "FUNCTIONAL[-DISPERSION]/BASIS, such as b3lyp-d3bj/6-31g*."
            )
        _check_names(self.name, functional, basis)
        found = {
            "functional": functional,
            "dispersion": last or None,
            "basis": basis,
            "density_fit": fitted,
        }
        for key, value in found.items():
            object.__setattr__(self, key, value)

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return energies and forces; what PySCF cannot compute or converge has none."""
        from pyscf import lib

        out = LabelWriter(conformers)
        # One thread: processes fill the cores, and its sums have one order.
        with lib.with_omp_threads(1), warnings.catch_warnings(action="ignore"):
            for i in range(len(conformers)):
                if conformers.pbc[i].any():
                    out.faults[i] = f"{self.name} is for molecules: the structure is periodic"
                    continue
                try:
                    out.put(i, *self._solve(conformers, i))
                except _Unsolved as reason:
                    out.faults[i] = f"{self.name} failed: {reason}"
                except (RuntimeError, KeyError, ValueError, np.linalg.LinAlgError) as error:
                    text = " ".join(str(error).split())[:200]
                    out.faults[i] = f"{self.name} failed: {text or type(error).__name__}"
        return out.labels()

    def _solve(self, conformers: ConformerSet, i: int) -> tuple[float, np.ndarray]:
        """Return the energy (eV) and forces (eV/Å) of one conformer."""
        from pyscf import dft, gto

        at = conformers.atoms_slice(i)
        numbers = conformers.numbers[at].tolist()
        charge, multiplicity = int(conformers.charge[i]), int(conformers.multiplicity[i])
        electrons = sum(numbers) - charge
        if electrons < multiplicity - 1 or (electrons - multiplicity) % 2 == 0:
            raise _Unsolved(
                f"{electrons} electrons cannot have multiplicity {multiplicity}: check the charge"
            )
        molecule = gto.M(
            atom=[
                (chemical_symbols[z], x)
                for z, x in zip(numbers, conformers.positions[at].astype(float), strict=True)
            ],
            basis=self.basis,
            charge=charge,
            spin=multiplicity - 1,
            unit="Angstrom",
            verbose=0,
        )
        field = (dft.RKS if multiplicity == 1 else dft.UKS)(molecule, xc=self.functional)
        if self.density_fit:
            field = field.density_fit()
        if self.dispersion:
            field.disp = self.dispersion
        field.grids.level = self.grid_level
        field.conv_tol, field.max_cycle = self.convergence, self.max_cycles
        energy = field.kernel()
        if not field.converged:
            field = field.newton()
            energy = field.kernel(field.mo_coeff, field.mo_occ)
        if not field.converged:
            raise _Unsolved(f"not converged in {self.max_cycles} cycles, nor by second order")
        steepness = float(np.linalg.norm(field.get_grad(field.mo_coeff, field.mo_occ)))
        if not steepness <= self.max_gradient:
            raise _Unsolved(
                f"the orbital gradient is {steepness:.1e} hartree, above {self.max_gradient:.0e}"
            )
        if len(numbers) == 1:
            return float(energy) * units.Hartree, np.zeros((1, 3))
        gradient = field.nuc_grad_method()
        gradient.grid_response = True
        slope = np.asarray(gradient.kernel())
        if not (math.isfinite(energy) and np.isfinite(slope).all()):
            raise _Unsolved("the label is not finite")
        return float(energy) * units.Hartree, -slope * (units.Hartree / units.Bohr)


class _Unsolved(Exception):
    """Why one conformer has no label."""


def _check_names(level: str, functional: str, basis: str) -> None:
    """Raise if PySCF is missing, or knows no such functional or basis set."""
    try:
        from pyscf import gto
        from pyscf.dft import libxc
    except ImportError:
        raise ConfigurationError(
            f"The level {level!r} is computed by PySCF, which is not installed: "
            "pip install 'breadth[dft]'."
        ) from None
    try:
        libxc.parse_xc(functional)
    except (KeyError, ValueError):
        raise ConfigurationError(f"{level!r}: PySCF has no functional {functional!r}.") from None
    try:
        with warnings.catch_warnings(action="ignore"):  # advice to install something else
            gto.basis.load(basis, "H")
    except Exception as error:  # its kinds of error differ between basis files
        raise ConfigurationError(
            f"{level!r}: PySCF has no basis set {basis!r} for hydrogen."
        ) from error
