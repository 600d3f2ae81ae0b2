"""Packed fingerprints and Tanimoto similarities against RDKit's own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem, MACCSkeys

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.fingerprints import (
    FINGERPRINT_BITS,
    bit_counts,
    bit_vectors,
    distinct,
    fingerprints,
    tanimoto,
    tanimoto_blocks,
    tanimoto_pairs,
)

SMILES = ["CCO", "c1ccccc1C(=O)OC", "C[C@H](N)C(=O)O", "FC(F)(F)CN", "C1CCC(CC1)C1CCCCC1", "[Ar]"]


def _graphs(smiles: list[str]) -> list[SimpleNamespace]:
    return [SimpleNamespace(mol=Chem.MolFromSmiles(s), smiles=s) for s in smiles]


@pytest.mark.parametrize("kind", FINGERPRINT_BITS)
def test_bits_are_rdkits(kind: str) -> None:
    packed = fingerprints(_graphs(SMILES), kind)
    assert packed.shape == (len(SMILES), FINGERPRINT_BITS[kind] // 8)
    for row, back, smiles in zip(packed, bit_vectors(packed), SMILES, strict=True):
        mol = Chem.MolFromSmiles(smiles)
        if kind == "morgan":
            theirs = AllChem.GetMorganFingerprintAsBitVect(mol, 2, nBits=2048)
        elif kind == "maccs":
            theirs = MACCSkeys.GenMACCSKeys(mol)
        else:
            theirs = AllChem.GetHashedAtomPairFingerprintAsBitVect(mol, nBits=2048)
        on = np.flatnonzero(np.unpackbits(row, bitorder="little")).tolist()
        assert on == list(theirs.GetOnBits()) == list(back.GetOnBits())


@pytest.mark.parametrize("kind", FINGERPRINT_BITS)
def test_similarities_are_rdkits(kind: str) -> None:
    packed = fingerprints(_graphs(SMILES[:-1]), kind)
    vectors = bit_vectors(packed)
    theirs = [DataStructs.BulkTanimotoSimilarity(one, vectors) for one in vectors]
    np.testing.assert_allclose(tanimoto(packed, packed), theirs, atol=1e-7)
    np.testing.assert_allclose(tanimoto_pairs(packed, packed[::-1]), np.diag(theirs[::-1]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_similarity_of_any_bits(seed: int, m: int, k: int, n_bytes: int) -> None:
    random = np.random.default_rng(seed)
    a, b = (
        random.integers(0, 256, (n, n_bytes), dtype=np.uint8)
        * (random.random((n, n_bytes)) < 0.2).astype(np.uint8)
        for n in (m, k)
    )
    x, y = (np.unpackbits(bits, axis=1).astype(float) for bits in (a, b))
    common = x @ y.T
    either = x.sum(1)[:, None] + y.sum(1) - common
    wanted = np.where(either > 0, common / np.maximum(either, 1), 1.0)
    np.testing.assert_allclose(tanimoto(a, b), wanted, atol=1e-7)
    np.testing.assert_allclose(tanimoto(b, a).T, wanted, atol=1e-7)
    np.testing.assert_array_equal(bit_counts(a), x.sum(1))


@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=30), st.randoms())
def test_distinct_rows_come_back_as_often_as_they_were(values: list[int], random: object) -> None:
    values = [*values, *values[:5], 0]

    def packed(numbers: list[int]) -> np.ndarray:
        return np.frombuffer(b"".join(n.to_bytes(3) for n in numbers), np.uint8).reshape(-1, 3)

    rows, counts = distinct(packed(values))
    assert dict(zip((int.from_bytes(row.tobytes()) for row in rows), counts, strict=True)) == {
        value: values.count(value) for value in set(values)
    }
    random.shuffle(values)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(distinct(packed(values))[0], rows)


def test_blocks_cover_all_rows_in_order() -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 256, (50, 16), dtype=np.uint8)
    b = random.integers(0, 256, (20_000, 16), dtype=np.uint8)
    seen = [(rows, block.copy()) for rows, block in tanimoto_blocks(a, b)]
    assert len(seen) > 1
    assert np.concatenate([np.arange(50)[rows] for rows, _ in seen]).tolist() == list(range(50))
    np.testing.assert_array_equal(np.concatenate([block for _, block in seen]), tanimoto(a, b))


def test_no_molecules_have_no_fingerprints() -> None:
    none = fingerprints([], "morgan")
    assert none.shape == (0, 256)
    assert tanimoto(none, fingerprints(_graphs(["C"]), "morgan")).shape == (0, 1)


def test_bad_input_says_so() -> None:
    with pytest.raises(ConfigurationError, match="choose from morgan, maccs"):
        fingerprints([], "ecfp")
    with pytest.raises(DataError, match=r"Molecule 1 .* no structure"):
        fingerprints(_graphs(["C", "C(C)(C)(C)(C)(C)(C)C"]))
    byte = np.zeros((1, 1), np.uint8)
    with pytest.raises(DataError, match="do not compare"):
        tanimoto(byte, np.zeros((1, 16), np.uint8))
    with pytest.raises(DataError, match="are bytes"):
        tanimoto(byte.astype(float), byte)
