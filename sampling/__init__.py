"""From molecules to geometries, labels, designs and hold-outs."""

from .blocks import block_split
from .designs import Design, FixedBudget, FixedMolecules
from .disjoint import check_disjoint
from .engines import AseEngine, Gfn1, Gfn2, Mmff94, Uff
from .geometries import GeometrySettings, sample_geometries
from .high_forces import high_forces
from .labels import isolated_atom_energies, join_labels, label, label_chunk
from .molecules import Molecule, bundled_molecules, read_smiles
from .selecting import select
from .selectors import Selector
from .splits import HoldOuts, Partition

__all__ = [
    "AseEngine",
    "Design",
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
    "sample_geometries",
    "select",
]
