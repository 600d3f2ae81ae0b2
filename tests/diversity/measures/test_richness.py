"""Ring systems, functional groups, and how many kinds a set has."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from breadth.diversity.errors import ShortageError
from breadth.diversity.measures.richness import functional_groups, richness, ring_systems

RINGS = [
    "Cn1ccc2ccccc12",
    "O=C1CC2(CC2)C1",
    "C1CC1C1CC1",
    "c1ccc(-c2ccncc2)cc1",
    "C1C2CC3CC1CC(C2)C3",
]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", set()),
        ("c1cc[nH]c1", {"c1ccnc1"}),
        ("Cn1cccc1", {"c1ccnc1"}),
        ("C[n+]1ccccc1", {"c1ccncc1"}),
        ("C1CC1C1CC1", {"C1CC1"}),
        ("O=C1CC[C@H]2CCCC[C@@H]2C1", {"C1CCC2CCCCC2C1"}),
        ("c1ccc(-c2ccncc2)cc1", {"c1ccccc1", "c1ccncc1"}),
        ("C1CC2(CC2)C1", {"C1CC2(C1)CC2"}),
    ],
)
def test_ring_systems(smiles: str, expected: set[str]) -> None:
    assert ring_systems(Chem.MolFromSmiles(smiles)) == expected


@given(st.sampled_from(RINGS), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_ring_systems_ignore_the_order_of_atoms(smiles: str, random: object) -> None:
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert ring_systems(Chem.RenumberAtoms(mol, order)) == ring_systems(mol)


def test_functional_groups() -> None:
    assert functional_groups(Chem.MolFromSmiles("CC")) == set()
    assert {"ester", "C_O"} <= functional_groups(Chem.MolFromSmiles("CC(=O)OC"))
    assert "ester" not in functional_groups(Chem.MolFromSmiles("CC(=O)O"))


def test_a_kind_counts_once_for_each_molecule() -> None:
    found = richness([["a", "b"], ["a", "a"], [], ["c"]])
    share = np.array([2, 1, 1]) / 4
    assert found["n_molecules"] == 4
    assert found["q0"] == 3.0
    assert found["q1"] == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert found["q2"] == pytest.approx(1 / (share**2).sum())
    assert found["rarefied"] is None


@given(st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=7), st.data())
@settings(max_examples=40, deadline=None)
def test_rarefied_richness_is_the_mean_over_parts(
    kinds: list[set[str]], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(kinds)))
    found = richness(kinds, rarefy_to=size)
    parts = [len(set().union(*part)) for part in itertools.combinations(kinds, size)]
    assert found["rarefied"]["q0"] == pytest.approx(np.mean(parts), abs=1e-9)
    if size == len(kinds):
        for q in ("q0", "q1", "q2"):
            assert found["rarefied"][q] == pytest.approx(found[q], abs=1e-9)


def test_no_kinds_are_none_and_too_few_molecules_an_error() -> None:
    none = richness([[], []], rarefy_to=1)
    assert [none[f"q{q}"] for q in (0, 1, 2)] == [0.0] * 3
    assert none["rarefied"] == {"size": 1, "q0": 0.0, "q1": 0.0, "q2": 0.0}
    with pytest.raises(ShortageError, match="2 to 3"):
        richness([["a"], ["b"]], rarefy_to=3)


def test_last_bits_do_not_depend_on_the_order_of_kinds() -> None:
    kinds = [[f"kind {i}" for i in range(m % 11 + 1)] for m in range(40)]
    assert richness(kinds) == richness([own[::-1] for own in kinds[::-1]])
