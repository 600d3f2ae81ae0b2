"""Scaffolds of ringed and acyclic molecules."""

import numpy as np
import pytest

from breadth.diversity.conformers import ConformerSet, Molecules
from breadth.diversity.errors import DataError
from breadth.diversity.scaffolds import scaffold, scaffolds


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCc1ccccc1O", "c1ccccc1"),
        ("C1CC1CCC1CC1N", "C1CC1CCC1CC1"),
        ("C[C@H]1CC[C@@H](O)C1", "C1CCCC1"),
        ("CC(=O)OCC", "acyclic CC.CC"),
        ("C[C@H](O)CC", "acyclic CCCC"),
        ("N#CC(C)(C)C", "acyclic CC(C)(C)C"),
        ("C/C=C/C#C", "acyclic CCCCC"),
        ("NO", "acyclic "),
    ],
)
def test_scaffolds(smiles: str, expected: str) -> None:
    assert scaffold(smiles) == expected


def test_stereoisomers_share_a_scaffold() -> None:
    assert scaffold("C1CC[C@@H]2CCCC[C@H]2C1") == scaffold("C1CC[C@H]2CCCC[C@H]2C1")


def test_a_molecule_without_smiles_has_none() -> None:
    conformers = ConformerSet(
        molecules=Molecules(key=np.array(["unknown"])),
        molecule=np.array([0]),
        numbers=np.array([18]),
        positions=np.zeros((1, 3)),
        offsets=np.array([0, 1]),
    )
    with pytest.raises(DataError, match="'unknown' has no SMILES"):
        scaffolds(conformers)
