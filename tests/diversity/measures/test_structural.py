"""Diversity between molecules, against closed forms and small implementations of its own."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs

from breadth.diversity import ConformerSet, Molecules, concat
from breadth.diversity.errors import ConfigurationError, ShortageError
from breadth.diversity.fingerprints import bit_vectors
from breadth.diversity.measures.structural import circles, internal_diversity, structural_measures
from breadth.diversity.randomness import generator

SMILES = ["CCO", "CCCO", "c1ccccc1", "Cc1ccccc1", "CC(=O)OC", "NCC(F)(F)F", "C1CC1C#N", "O=C1CCCN1"]


def _set(smiles: list[str], conformers: int = 1) -> ConformerSet:
    mols = [Chem.AddHs(Chem.MolFromSmiles(one)) for one in smiles]
    numbers = [np.array([a.GetAtomicNum() for a in mol.GetAtoms()]) for mol in mols]
    bonds = [
        [
            [b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(2 * b.GetBondTypeAsDouble())]
            for b in mol.GetBonds()
        ]
        for mol in mols
    ]
    rows = np.repeat(np.arange(len(mols)), conformers)
    sizes = [len(numbers[row]) for row in rows]
    return ConformerSet(
        molecules=Molecules(
            key=np.array(smiles),
            smiles=np.array(smiles),
            bonds=np.concatenate([np.array(b).reshape(-1, 3) for b in bonds]),
            bond_offsets=np.concatenate([[0], np.cumsum([len(b) for b in bonds])]),
            has_bonds=np.ones(len(mols), dtype=bool),
        ),
        molecule=rows,
        numbers=np.concatenate([numbers[row] for row in rows]),
        positions=np.random.default_rng(0).random((sum(sizes), 3)),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )


def _random_bits(seed: int, n: int, n_bits: int = 48) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.packbits(random.random((n, n_bits)) < 0.15, axis=1)[random.integers(0, n, n)]


def _distances(packed: np.ndarray) -> np.ndarray:
    bits = np.unpackbits(packed, axis=1).astype(bool)
    distance = np.zeros((len(bits), len(bits)))
    for i, j in itertools.product(range(len(bits)), repeat=2):
        either = (bits[i] | bits[j]).sum()
        distance[i, j] = 1 - (bits[i] & bits[j]).sum() / either if either else 0.0
    return distance


@given(st.integers(0, 2**32 - 1), st.integers(2, 14))
@settings(max_examples=40, deadline=None)
def test_internal_diversity_is_the_mean_distance_of_pairs(seed: int, n: int) -> None:
    packed = _random_bits(seed, n)
    wanted = _distances(packed)[np.triu_indices(n, 1)].mean()
    assert internal_diversity(packed)["value"] == pytest.approx(wanted, abs=1e-6)
    rough = internal_diversity(packed, all_pairs_limit=0, n_pairs=4000)
    assert abs(rough["value"] - wanted) <= 5 * rough["standard_error"] + 1e-12
    order = np.random.default_rng(seed).permutation(n)
    assert internal_diversity(packed[order], all_pairs_limit=0, n_pairs=4000) == rough


def test_internal_diversity_of_equal_and_of_orthogonal_molecules() -> None:
    apart = np.packbits(np.eye(40, dtype=np.uint8), axis=1)
    assert internal_diversity(apart)["value"] == 1.0
    assert internal_diversity(np.repeat(apart[:1], 9, axis=0))["value"] == 0.0
    alone = internal_diversity(apart[:1])
    assert alone["value"] is None
    assert alone["reason"] == "fewer than two molecules"


@given(st.integers(0, 2**32 - 1), st.integers(1, 11), st.sampled_from([0.0, 0.4, 0.75, 0.9]))
@settings(max_examples=60, deadline=None)
def test_circles_are_apart_full_and_no_more_than_there_is_room_for(
    seed: int, n: int, distance: float
) -> None:
    packed = _random_bits(seed, n)
    centres = circles(packed, distance=distance)
    assert (_distances(centres) + np.eye(len(centres)) > distance).all()
    both = _distances(np.concatenate([packed, centres]))[:n, n:]
    assert (both.min(axis=1) <= distance).all()
    apart = _distances(packed) > distance
    most = max(
        len(part)
        for size in range(1, n + 1)
        for part in itertools.combinations(range(n), size)
        if apart[np.ix_(part, part)].sum() == size * (size - 1)
    )
    assert 1 <= len(centres) <= most
    np.testing.assert_array_equal(circles(packed[::-1], distance=distance), centres)


def test_circles_of_equal_and_of_orthogonal_molecules() -> None:
    apart = np.packbits(np.eye(200, dtype=np.uint8), axis=1)
    assert len(circles(np.repeat(apart, 2, axis=0))) == 200
    assert len(circles(np.repeat(apart[:1], 9, axis=0))) == 1
    assert len(circles(apart, limit=30)) == 30
    with pytest.raises(ConfigurationError, match="in \\[0, 1\\)"):
        circles(apart, distance=1.0)


def test_circles_are_those_of_a_plain_greedy_search() -> None:
    packed = _random_bits(3, 400, 64)
    rows = sorted({row.tobytes() for row in packed})
    order = generator(7, "circles").permutation(len(rows))
    vectors = bit_vectors(np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)[order])
    taken: list[int] = []
    for k, vector in enumerate(vectors):
        before = [vectors[j] for j in taken]
        if max(DataStructs.BulkTanimotoSimilarity(vector, before), default=0) < 0.25:
            taken.append(k)
    assert len(taken) > 5
    wanted = np.frombuffer(b"".join(rows[order[k]] for k in taken), np.uint8)
    np.testing.assert_array_equal(circles(packed, seed=7).ravel(), wanted)


def test_measures_of_a_set() -> None:
    found = structural_measures(_set(SMILES), rarefy_to=5)
    json.dumps(found, allow_nan=False)
    assert found["n_molecules"] == 8
    assert found["n_without_structure"] == 0
    assert list(found["fingerprints"]) == ["morgan", "maccs", "atom_pair"]
    morgan = found["fingerprints"]["morgan"]
    assert 0.5 < morgan["internal_diversity"]["value"] < 1
    assert morgan["circles"]["value"] <= 8
    assert 1 < morgan["vendi"]["q2"]["value"] < morgan["vendi"]["q1"]["value"] < 8
    assert morgan["rarefied"]["vendi"]["q1"] < morgan["vendi"]["q1"]["value"]
    richness = found["richness"]
    # Both benzenes share a scaffold, and ethanol's carbons are those of the amine.
    assert richness["scaffolds"]["q0"] == 6.0
    assert richness["ring_systems"]["q0"] == 3.0
    assert richness["elements"]["q0"] == 5.0
    assert richness["formulas"]["q0"] == 8.0
    assert richness["formulas"]["rarefied"]["q1"] == pytest.approx(5.0)


def _numbers(report: Any) -> Any:
    """Round to what a sum in another order leaves alone."""
    if isinstance(report, dict):
        return {key: _numbers(value) for key, value in report.items()}
    return round(report, 9) if isinstance(report, float) else report


def test_conformers_and_order_change_nothing() -> None:
    found = _numbers(structural_measures(_set(SMILES), rarefy_to=4))
    assert _numbers(structural_measures(_set(SMILES, 3), rarefy_to=4)) == found
    assert _numbers(structural_measures(_set(SMILES[::-1]), rarefy_to=4)) == found


def test_one_molecule() -> None:
    found = structural_measures(_set(["CCO"]))
    for measures in found["fingerprints"].values():
        assert measures["internal_diversity"]["value"] is None
        assert measures["circles"]["value"] == 1
        assert measures["vendi"]["q1"]["value"] == pytest.approx(1.0)
    assert found["richness"]["scaffolds"]["q2"] == found["richness"]["formulas"]["q2"] == 1.0
    assert found["richness"]["ring_systems"]["q0"] == 0.0


def test_periodic_sets_have_no_fingerprints_and_say_why() -> None:
    found = structural_measures(ConformerSet.from_ase([bulk("Cu"), bulk("NaCl", "rocksalt", 5.6)]))
    json.dumps(found, allow_nan=False)
    assert found["n_without_structure"] == 2
    assert found["fingerprints"] is None
    assert found["reason"] == "periodic"
    assert found["richness"]["scaffolds"] is None
    assert "0 molecules" in found["richness"]["reason"]
    assert found["richness"]["elements"]["q0"] == 3.0


def test_molecules_without_structure_are_counted_and_left_out() -> None:
    # Four hydrogens around a neon: no bond orders fit, and no SMILES says any.
    odd = Atoms("NeH4", [[0, 0, 0], [0.7, 0, 0], [-0.7, 0, 0], [0, 0.7, 0], [0, -0.7, 0]])
    strange = ConformerSet.from_ase([odd])
    found = structural_measures(concat([_set(SMILES), strange]), rarefy_to=8)
    plain = structural_measures(_set(SMILES), rarefy_to=8)
    assert (found["n_molecules"], found["n_without_structure"]) == (9, 1)
    assert _numbers(found["fingerprints"]) == _numbers(plain["fingerprints"])
    assert found["richness"]["elements"]["q0"] == 6.0
    assert found["richness"]["scaffolds"]["n_molecules"] == 8
    at_nine = structural_measures(concat([_set(SMILES), strange]), rarefy_to=9)
    assert "fewer than 9" in at_nine["fingerprints"]["morgan"]["rarefied"]["reason"]
    assert "fewer than 9" in at_nine["richness"]["reason"]


def test_smiles_alone_are_enough() -> None:
    bonded = _set(SMILES)
    none = Molecules(key=bonded.molecules.key, smiles=bonded.molecules.smiles)
    bare = replace(bonded, molecules=none)
    assert structural_measures(bare)["fingerprints"] == structural_measures(bonded)["fingerprints"]


def test_too_few_molecules_say_so() -> None:
    for size in (0, 9):
        with pytest.raises(ShortageError, match="from 1 to 8"):
            structural_measures(_set(SMILES), rarefy_to=size)
