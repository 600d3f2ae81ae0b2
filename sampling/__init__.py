"""From molecules to geometries, labels, designs and hold-outs."""

from .blocks import block_split
from .calculators import EngineCalculator
from .designs import Design, FixedBudget, FixedMolecules
from .disjoint import check_disjoint
from .dynamics import Dynamics, DynamicsSettings, run_dynamics, run_many
from .engines import AseEngine, Gfn1, Gfn2, Mmff94, Uff
from .geometries import GeometrySettings, sample_geometries
from .hessians import relax, sample_modes
from .high_forces import high_forces
from .labels import isolated_atom_energies, join_labels, label, label_chunk
from .molecules import Molecule, bundled_molecules, read_smiles
from .scans import stretch_bonds, stretch_scan
from .selecting import select
from .selectors import Selector
from .sources import SourceSettings, sample_source
from .splits import HoldOuts, Partition
from .torsion_scans import torsion_drive, torsion_scan

__all__ = [
    "AseEngine",
    "Design",
    "Dynamics",
    "DynamicsSettings",
    "EngineCalculator",
    "FixedBudget",
    "FixedMolecules",
    "GeometrySettings",
    "Gfn1",
    "Gfn2",
    "HoldOuts",
    "Mmff94",
    "Molecule",
    "Partition",
    "Selector",
    "SourceSettings",
    "Uff",
    "block_split",
    "bundled_molecules",
    "check_disjoint",
    "high_forces",
    "isolated_atom_energies",
    "join_labels",
    "label",
    "label_chunk",
    "read_smiles",
    "relax",
    "run_dynamics",
    "run_many",
    "sample_geometries",
    "sample_modes",
    "sample_source",
    "select",
    "stretch_bonds",
    "stretch_scan",
    "torsion_drive",
    "torsion_scan",
]
