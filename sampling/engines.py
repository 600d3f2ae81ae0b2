"""Label engines: GFN1/GFN2-xTB, MMFF94, UFF and any ASE calculator.

An engine is a small picklable object with the `name` of its level of theory; called with a set it
returns `Labels`. One bad geometry is no error: its masks are False and `Labels.faults` says why.
The label of a conformer depends on nothing but the conformer, neither on order nor on chunks.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from ase import units
from ase.stress import voigt_6_to_full_3x3_stress
from rdkit import rdBase
from rdkit.Chem import rdForceFieldHelpers
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from ..diversity.bonds import covalent_bonds
from ..diversity.conformers import ConformerSet, Labels
from ..diversity.errors import DataError
from ..diversity.topology import molecular_graphs
from .calculators import bare_atoms
from .minima import KCAL_PER_MOL, placed
from .molecules import bond_table, rdkit_molecule


class LabelWriter:
    """Collects the labels of a set conformer by conformer."""

    def __init__(self, conformers: ConformerSet) -> None:
        n = len(conformers)
        self.conformers = conformers
        self.energy, self.forces = np.zeros(n), np.zeros((conformers.n_atoms, 3))
        self.stress = np.zeros((n, 3, 3)) if conformers.pbc.any() else None
        self.there, self.stressed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self.faults: dict[int, str] = {}

    def put(self, i: int, energy: float, forces: np.ndarray, stress: Any = None) -> None:
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            self.faults[i] = "no finite label"
            return
        self.energy[i], self.forces[self.conformers.atoms_slice(i)] = energy, forces
        self.there[i] = True
        if stress is not None and self.stress is not None and np.isfinite(stress).all():
            self.stress[i], self.stressed[i] = stress, True

    def labels(self) -> Labels:
        return Labels(
            energy=self.energy,
            forces=self.forces,
            stress=self.stress,
            has_energy=self.there,
            has_forces=self.there,
            has_stress=self.stressed,
            faults=self.faults,
        )


@dataclass(frozen=True)
class Gfn2:
    """GFN2-xTB by tblite (Bannwarth et al., J. Chem. Theory Comput. 15, 1652 (2019)).

    Charge and multiplicity are those of the molecules; periodic cells are used where there are
    any. Every calculation starts from the same guess, so that it does not depend on another.

    Parameters
    ----------
    max_iterations : int
        Cycles of self-consistency before a geometry counts as unconverged.
    """

    max_iterations: int = 250

    name: ClassVar[str] = "gfn2"
    has_atoms: ClassVar[bool] = True
    _method: ClassVar[str] = "GFN2-xTB"

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return energies and forces of all conformers, and stresses of periodic ones."""
        interface = _tblite()
        out = LabelWriter(conformers)
        # Molecules of this size run slower on two threads than on one, and with one thread the
        # sums have one order. The limit ends with the call: others keep their threads.
        with _one_thread():
            self._fill(interface, out)
        return out.labels()

    def _fill(self, interface: Any, out: LabelWriter) -> None:
        conformers = out.conformers
        calculator, kind = None, None
        # By molecule, whatever the order: a calculator serves all geometries of one.
        for i in np.argsort(conformers.molecule, kind="stable").tolist():
            at = conformers.atoms_slice(i)
            positions = conformers.positions[at].astype(np.float64) / units.Bohr
            periodic = bool(conformers.pbc[i].any())
            same = (int(conformers.molecule[i]), conformers.numbers[at].tobytes())
            try:
                if periodic or calculator is None or same != kind:
                    calculator = self._calculator(interface, conformers, i, positions)
                    kind = None if periodic else same
                else:
                    calculator.update(positions=positions)
                result = calculator.singlepoint()
                energy = float(result.get("energy")) * units.Hartree
                forces = -result.get("gradient") * (units.Hartree / units.Bohr)
                stress = None
                if periodic:
                    volume = abs(np.linalg.det(conformers.cell[i]))
                    stress = result.get("virial") * units.Hartree / volume
                out.put(i, energy, forces, stress)
            except (interface.TBLiteRuntimeError, interface.TBLiteValueError) as error:
                out.faults[i] = f"{self._method} failed: {' '.join(str(error).split())}"
                calculator = None

    def _calculator(
        self, interface: Any, conformers: ConformerSet, i: int, positions: np.ndarray
    ) -> Any:
        pbc = conformers.pbc[i]
        calculator = interface.Calculator(
            self._method,
            conformers.numbers[conformers.atoms_slice(i)].astype(np.int32),
            positions,
            charge=float(conformers.charge[i]),
            uhf=int(conformers.multiplicity[i]) - 1,
            lattice=conformers.cell[i] / units.Bohr if pbc.any() else None,
            periodic=pbc if pbc.any() else None,
        )
        calculator.set("verbosity", 0)
        calculator.set("max-iter", self.max_iterations)
        return calculator


@dataclass(frozen=True)
class Gfn1(Gfn2):
    """GFN1-xTB by tblite (Grimme et al., J. Chem. Theory Comput. 13, 1989 (2017))."""

    name: ClassVar[str] = "gfn1"
    _method: ClassVar[str] = "GFN1-xTB"


@dataclass(frozen=True)
class Mmff94:
    """MMFF94 by RDKit (Halgren, J. Comput. Chem. 17, 490 (1996)).

    A force field needs the molecule: of one that has a SMILES, the atoms must stand in the order
    that RDKit gives it (heavy atoms, then hydrogens). Of one known by its geometry alone, bonds are
    those that most of its conformers in a call have, and RDKit places their orders. It has no
    isolated atoms.
    """

    name: ClassVar[str] = "mmff94"
    has_atoms: ClassVar[bool] = False

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return energies and forces.

        Raises
        ------
        DataError
            If a SMILES does not fit the atoms, or no bond orders fit a molecule without SMILES.
        """
        out = LabelWriter(conformers)
        for row in np.unique(conformers.molecule):
            members = np.flatnonzero(conformers.molecule == row)
            crystals = members[conformers.pbc[members].any(axis=1)]
            why = f"{self.name} is for molecules: the structure is periodic"
            out.faults.update(dict.fromkeys(crystals.tolist(), why))
            members = np.setdiff1d(members, crystals)
            if not len(members):
                continue
            molecule = _matching_molecule(conformers, int(row), members)
            first = conformers.positions[conformers.atoms_slice(int(members[0]))]
            with rdBase.BlockLogs():
                field = self._field(placed(molecule, first))
            if field is None:
                out.faults.update(dict.fromkeys(members.tolist(), f"no {self.name} parameters"))
                continue
            field.Initialize()
            for i in members.tolist():
                x = conformers.positions[conformers.atoms_slice(i)].astype(float).ravel().tolist()
                energy = field.CalcEnergy(x)  # before the gradient, which else is a stale one
                gradient = np.array(field.CalcGrad(x)).reshape(-1, 3)
                out.put(i, energy * KCAL_PER_MOL, -gradient * KCAL_PER_MOL)
        return out.labels()

    def _field(self, molecule: Any) -> Any:
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule, mmffVariant="MMFF94")
        if properties is None:
            return None
        # Every pair of atoms: which pairs count must not depend on the geometry that came first.
        return rdForceFieldHelpers.MMFFGetMoleculeForceField(
            molecule, properties, nonBondedThresh=1e6
        )


@dataclass(frozen=True)
class Uff(Mmff94):
    """UFF by RDKit (Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992)); see `Mmff94`."""

    name: ClassVar[str] = "uff"

    def _field(self, molecule: Any) -> Any:
        if not rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
            return None
        return rdForceFieldHelpers.UFFGetMoleculeForceField(molecule, vdwThresh=1e6)


@dataclass(frozen=True)
class AseEngine:
    """Any ASE calculator.

    Parameters
    ----------
    name : str
        The level of theory, spin treatment included.
    factory : callable
        Returns a fresh calculator; a module-level function where labels are made in processes.
    has_atoms : bool
        Whether the calculator can be trusted with isolated atoms: that it reads the multiplicity,
        which stands in ``atoms.info['spin']`` and in the initial magnetic moments.

    Notes
    -----
    The calculator sees bare atoms, without constraints, with ``atoms.info['charge']``. Forces are
    asked from the calculator itself, so that a constraint that it sets cannot zero them.
    """

    name: str
    factory: Callable[[], Any]
    has_atoms: bool = False

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return energies and forces, and stresses of periodic conformers where implemented."""
        out = LabelWriter(conformers)
        calculator = self.factory()
        stress = "stress" in calculator.implemented_properties
        for i in range(len(conformers)):
            atoms = bare_atoms(conformers, i)
            multiplicity = atoms.info["spin"]
            if multiplicity > 1:
                atoms.set_initial_magnetic_moments(
                    np.full(len(atoms), (multiplicity - 1) / len(atoms))
                )
            try:
                if hasattr(calculator, "reset"):
                    calculator.reset()  # so that no geometry starts from the last one's state
                energy = float(calculator.get_property("energy", atoms))
                forces = np.array(calculator.get_property("forces", atoms), dtype=float)
                tensor = None
                if stress and conformers.pbc[i].any():
                    raw = np.asarray(calculator.get_property("stress", atoms))
                    tensor = raw if raw.shape == (3, 3) else voigt_6_to_full_3x3_stress(raw)
                out.put(i, energy, forces, tensor)
            except Exception as error:  # any failure of a foreign program concerns one geometry
                reason = " ".join(str(error).split())[:200]
                out.faults[i] = f"{self.name} failed: {type(error).__name__}: {reason}"
        return out.labels()


def _matching_molecule(conformers: ConformerSet, row: int, members: np.ndarray) -> Any:
    key = str(conformers.molecules.key[row])
    smiles = str(conformers.molecules.smiles[row])
    if not smiles:
        return _perceived_molecule(conformers.select(members), key)
    molecule = rdkit_molecule(smiles)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    bonds = bond_table(molecule)[:, :2]
    for i in members:
        if not np.array_equal(conformers.numbers[conformers.atoms_slice(int(i))], numbers):
            raise DataError(_order_message(key, smiles))
    known = conformers.molecules.bond_table(row)
    if known is None:
        at = conformers.atoms_slice(int(members[0]))
        known = covalent_bonds(
            numbers,
            conformers.positions[at],
            conformers.cell[members[0]],
            conformers.pbc[members[0]],
        )
    if {tuple(b) for b in known[:, :2].tolist()} != {tuple(b) for b in bonds.tolist()}:
        raise DataError(_order_message(key, smiles))
    return molecule


def _perceived_molecule(conformers: ConformerSet, key: str) -> Any:
    """Return the molecule of conformers without SMILES, in their order of atoms.

    Its bonds are those that most of the conformers have: one may be stretched or near to a bond.
    """
    found: dict[bytes, list[int]] = {}
    for i in range(len(conformers)):
        at = conformers.atoms_slice(i)
        pairs = covalent_bonds(conformers.numbers[at], conformers.positions[at])
        found.setdefault(pairs.tobytes(), []).append(i)
    most = max(found, key=lambda bonds: (len(found[bonds]), bonds))
    molecule = molecular_graphs(conformers.select(found[most][:1]))[0].mol_with_atoms
    counts = np.unique(conformers.counts)
    if molecule is None:
        raise DataError(
            f"Molecule {key!r} has no SMILES, and no bond orders fit its geometry and charge "
            f"{int(conformers.charge[0])}, which a force field needs. Label it with gfn2, or add "
            "the SMILES."
        )
    if len(counts) > 1 or len(np.unique(conformers.numbers.reshape(-1, counts[0]), axis=0)) > 1:
        raise DataError(
            f"The conformers of molecule {key!r} have their atoms in different orders, and there "
            "is no SMILES to tell them by. Bring them into one order, or label it with gfn2."
        )
    return molecule


def _order_message(key: str, smiles: str) -> str:
    return (
        f"The atoms of molecule {key!r} do not stand in the order that its SMILES {smiles!r} gives "
        "(heavy atoms as written, then hydrogens), so a force field would join the wrong ones. "
        "Write its geometries in that order, or label it with gfn2."
    )


def _one_thread() -> Any:
    """Return a context with one thread of each numeric library."""
    return _threads(len(sys.modules)).limit(limits=1)


@functools.lru_cache(maxsize=1)
def _threads(n_modules: int) -> Any:
    """Return a controller of the libraries that are loaded, which takes longer than a label.

    It is made again when modules have been loaded, since libraries come with them.
    """
    return ThreadpoolController()


def _tblite() -> Any:
    # Loaded late: the library takes a moment, and force fields do without it.
    from tblite import interface

    return interface
