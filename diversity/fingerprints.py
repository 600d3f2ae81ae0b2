"""Fingerprints of molecules as packed bits, and the Tanimoto similarity between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from .errors import ConfigurationError, DataError
from .topology import MolecularGraph

#: Fingerprints by name, with their number of bits (MACCS has 167, and a spare one to fill a byte).
FINGERPRINT_BITS = {"morgan": 2048, "maccs": 168, "atom_pair": 2048}

#: Similarities of one block: its words and counts stay within a core's cache.
_BLOCK = 1 << 16


def fingerprints(graphs: Sequence[MolecularGraph], kind: str = "morgan") -> np.ndarray:
    """Return the fingerprint of each molecule by RDKit, packed to bytes.

    Chirality is left out, as in the generators' own defaults. Time grows with the number of
    molecules (20 µs each for 8 heavy atoms, 0.2 ms for MACCS keys).

    Parameters
    ----------
    graphs : sequence of MolecularGraph, length m
    kind : {'morgan', 'maccs', 'atom_pair'}
        Circular environments to radius 2 (2048 bits, doi 10.1021/ci100050t); MACCS keys
        (doi 10.1021/ci010132r); pairs of atoms with their distance in bonds (2048 bits,
        doi 10.1021/ci00046a002).

    Returns
    -------
    array of uint8, shape (m, bits / 8)
        Bit b of a molecule is bit b % 8, from the lowest, of byte b // 8.

    Raises
    ------
    DataError
        If a molecule's structure is not known.
    ConfigurationError
        If there is no such kind.
    """
    if kind not in FINGERPRINT_BITS:
        raise ConfigurationError(
            f"There is no fingerprint {kind!r}; choose from {', '.join(FINGERPRINT_BITS)}."
        )
    molecules: list[Chem.Mol] = []
    for row, graph in enumerate(graphs):
        if graph.mol is None:
            raise DataError(
                f"Molecule {row} (SMILES {graph.smiles!r}) has no structure that RDKit can read, "
                "so it has no fingerprint. Leave it out, or give its SMILES."
            )
        molecules.append(graph.mol)
    n_bytes = FINGERPRINT_BITS[kind] // 8
    if kind == "maccs":
        bits = [rdMolDescriptors.GetMACCSKeysFingerprint(mol) for mol in molecules]
    else:
        made = {
            "morgan": rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048),
            "atom_pair": rdFingerprintGenerator.GetAtomPairGenerator(fpSize=2048),
        }
        bits = [made[kind].GetFingerprint(mol) for mol in molecules]
    packed = b"".join(DataStructs.BitVectToBinaryText(one).ljust(n_bytes, b"\0") for one in bits)
    return np.frombuffer(packed, dtype=np.uint8).reshape(len(molecules), n_bytes)


def bit_vectors(packed: np.ndarray) -> list[DataStructs.ExplicitBitVect]:
    """Return packed fingerprints as RDKit's bit vectors.

    Parameters
    ----------
    packed : array of uint8, shape (m, n_bytes)

    Returns
    -------
    list of rdkit.DataStructs.ExplicitBitVect, length m
    """
    rows = np.ascontiguousarray(packed, dtype=np.uint8)
    return [DataStructs.CreateFromBinaryText(row.tobytes()) for row in rows]


def bit_counts(packed: np.ndarray) -> np.ndarray:
    """Return the number of bits that are set in each packed fingerprint, int64, shape (m,)."""
    return np.bitwise_count(packed).sum(axis=1, dtype=np.int64)


def distinct(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fingerprints that differ, in an order of their own, and how often each occurs.

    Parameters
    ----------
    packed : array of uint8, shape (m, n_bytes)

    Returns
    -------
    rows : array of uint8, shape (k, n_bytes)
        Independent of the order in which the fingerprints were given.
    counts : array of int64, shape (k,)
    """
    given = np.ascontiguousarray(packed)
    # Byte strings of one length sort as they are; NumPy drops no zero bytes of what it stores.
    rows, counts = np.unique(given.view(f"S{given.shape[1]}").ravel(), return_counts=True)
    return rows.view(np.uint8).reshape(len(rows), given.shape[1]), counts


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Tanimoto similarity of every pair, |A ∩ B| / |A ∪ B|.

    Two fingerprints without any bit are equal: their similarity is 1 (RDKit says 0). Time and
    memory grow with m × k; :func:`tanimoto_blocks` needs no memory for all of it.

    Parameters
    ----------
    a, b : array of uint8, shapes (m, n_bytes), (k, n_bytes)
        Packed fingerprints of one kind.

    Returns
    -------
    array of float32, shape (m, k)

    Raises
    ------
    DataError
        If the two have different numbers of bits.

    Examples
    --------
    >>> float(tanimoto(np.array([[0b0111]], np.uint8), np.array([[0b0001]], np.uint8))[0, 0])
    0.3333333432674408
    """
    result = np.empty((len(a), len(b)), dtype=np.float32)
    for rows, block in tanimoto_blocks(a, b):
        result[rows] = block
    return result


def tanimoto_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the similarities of some rows of `a` with all of `b`; see :func:`tanimoto`.

    Yields
    ------
    slice, array of float32, shape (rows, k)
        Rows of `a`, in order.
    """
    left, right = _words(a), _words(b)
    if left.shape[1] != right.shape[1]:
        raise DataError(
            f"Fingerprints of {8 * np.shape(a)[1]} and of {8 * np.shape(b)[1]} bits do not "
            "compare: make both of one kind."
        )
    # Words run along the first axis, so that each step passes over contiguous memory.
    columns = np.ascontiguousarray(right.T)
    n_left, n_right = bit_counts(a).astype(np.int32), bit_counts(b).astype(np.int32)
    step = max(1, _BLOCK // max(1, len(right)))
    for start in range(0, len(left), step):
        rows = slice(start, min(start + step, len(left)))
        common = np.zeros((rows.stop - start, len(right)), dtype=np.uint16)
        for word, column in zip(left[rows].T, columns, strict=True):
            # Most words of a fingerprint hold no bit at all.
            hit = np.flatnonzero(word)
            if len(hit):
                common[hit] += np.bitwise_count(word[hit, None] & column)
        either = n_left[rows, None] + n_right - common
        similarity = common.astype(np.float32)
        np.divide(similarity, either, out=similarity, where=either > 0)
        similarity[either == 0] = 1.0
        yield rows, similarity


def tanimoto_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Tanimoto similarity of row i of one with row i of the other.

    Parameters
    ----------
    a, b : array of uint8, shape (m, n_bytes)

    Returns
    -------
    array of float64, shape (m,)
    """
    common = bit_counts(a & b)
    either = bit_counts(a) + bit_counts(b) - common
    return np.where(either > 0, common / np.maximum(either, 1), 1.0)


def _words(packed: np.ndarray) -> np.ndarray:
    """Return packed bytes as words of 64 bits, filled up with zeros."""
    given = np.asarray(packed)
    if given.ndim != 2 or given.dtype != np.uint8:
        raise DataError(
            f"Packed fingerprints are bytes of shape (m, n_bytes), not {given.dtype} of shape "
            f"{given.shape}: use `fingerprints` or `numpy.packbits`."
        )
    spare = -given.shape[1] % 8
    if spare:
        given = np.pad(given, ((0, 0), (0, spare)))
    return np.ascontiguousarray(given).view(np.uint64)
