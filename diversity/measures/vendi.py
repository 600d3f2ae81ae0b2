"""The Vendi score: the effective number of molecules, from the eigenvalues of their similarities.

With K the similarities of n molecules, the score of order q is the Hill number of the eigenvalues
of K / n (arXiv:2210.02410; orders q: arXiv:2310.12952): n molecules that share nothing score n,
n equal ones 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.extmath import randomized_svd

from ..errors import ConfigurationError, DataError
from ..fingerprints import distinct, tanimoto_blocks
from ..randomness import generator
from .hill import hill_number

#: Up to so many distinct fingerprints all eigenvalues are computed (0.5 s on one core).
EXACT_LIMIT = 2_000
#: Above so many of them a random sample of molecules is scored (400 MB of similarities).
SAMPLE_LIMIT = 10_000

# The approximation: most of the largest eigenvalues taken exactly and iterations towards them,
# random vectors for the others, and steps of Lanczos's method for each. With 15 steps the error of
# a logarithm is far below the standard error.
_LARGEST, _ITERATIONS, _PROBES, _STEPS = 32, 8, 16, 15


def vendi_score(
    packed: np.ndarray,
    *,
    orders: Sequence[float] = (1.0, 2.0),
    exact_limit: int = EXACT_LIMIT,
    sample_limit: int = SAMPLE_LIMIT,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the Vendi score of molecules under Tanimoto's kernel of their fingerprints.

    Time grows with the cube of the number k of distinct fingerprints up to `exact_limit` (0.5 s
    for 2,000 on one core). Above it, a low-rank part (the largest eigenvalues) is exact and the
    rest is estimated by stochastic Lanczos quadrature (Ubaru et al. 2017, doi 10.1137/16M1104974),
    with the exact traces of 1, K and K² as control variates: time and memory grow with k² (9 s and
    400 MB for 10,000). Above `sample_limit` of them a random sample of so many molecules is
    scored, which on average scores lower than all, because the entropy is concave.

    Parameters
    ----------
    packed : array of uint8, shape (n, n_bytes)
    orders : sequence of float
        Each ≥ 0 or infinite; the approximation takes none below 0.5.
    exact_limit, sample_limit : int
    seed : int
        Of the sample and the random vectors; the order of molecules does not matter.

    Returns
    -------
    dict
        ``n_molecules`` that were scored, ``exact``, and for each order, such as ``q1``, ``value``
        and ``standard_error`` (0 where exact); ``note`` where only a sample was scored.

    Raises
    ------
    DataError
        If there is no molecule.
    ConfigurationError
        If an order cannot be computed.

    Examples
    --------
    >>> two_pairs = np.array([[1], [1], [2], [2]], np.uint8)
    >>> round(vendi_score(two_pairs)["q1"]["value"], 9)
    2.0
    """
    if not len(packed):
        raise DataError("There is no molecule to score.")
    rows, counts = distinct(packed)
    random = generator(seed, "vendi")
    n = len(packed)
    note = {}
    if len(rows) > max(exact_limit, sample_limit):
        every = np.repeat(np.arange(len(rows)), counts)
        taken, counts = np.unique(random.choice(every, sample_limit, False), return_counts=True)
        rows = rows[taken]
        note = {
            "note": f"of a random sample of {sample_limit} of {n} molecules, "
            "expected to be below the score of all"
        }
        n = sample_limit
    exact = len(rows) <= exact_limit
    if not exact and min(orders) < 0.5:
        raise ConfigurationError(
            f"Orders below 0.5 need all eigenvalues of {len(rows)} molecules: raise `exact_limit`."
        )
    # Equal fingerprints are merged: their weight keeps the eigenvalues that are not zero.
    root = np.sqrt(counts / n)
    kernel = np.empty((len(rows), len(rows)), dtype=np.float64 if exact else np.float32)
    for block, similarity in tanimoto_blocks(rows, rows):
        kernel[block] = similarity * root * root[block, None]
    if exact:
        eigenvalues = np.linalg.eigvalsh(kernel)
        # Similarities are single precision: what lies below their rounding is zero.
        noise = eigenvalues[-1] * np.finfo(np.float32).eps * math.sqrt(len(rows))
        eigenvalues = eigenvalues[eigenvalues > noise]
        scores = [(hill_number(eigenvalues, q), 0.0) for q in orders]
    else:
        scores = _estimated(kernel, orders, random)
    return {
        "n_molecules": n,
        "exact": exact,
        **{
            f"q{q:g}": {"value": value, "standard_error": error}
            for q, (value, error) in zip(orders, scores, strict=True)
        },
        **note,
    }


def _estimated(
    kernel: np.ndarray, orders: Sequence[float], random: np.random.Generator
) -> list[tuple[float, float]]:
    """Return score and standard error for each order, given a kernel of trace 1."""
    k = len(kernel)
    n_largest = min(_LARGEST, k // 4)
    largest, vectors = _leading(kernel, n_largest, random)
    largest = np.clip(largest, 0.0, None)
    probes = np.where(random.random((k, _PROBES)) < 0.5, -1.0, 1.0).astype(np.float32)
    probes -= vectors @ (vectors.T @ probes)
    nodes, weights = _quadrature(kernel, probes, vectors)

    # Traces over what the largest leave: of 1, K and K², which the random vectors only estimate.
    squares = sum(float(np.square(row, dtype=np.float64).sum()) for row in kernel)
    trace = float(kernel.diagonal().sum(dtype=np.float64))
    known = np.array([k - len(largest), trace - largest.sum(), squares - (largest**2).sum()])
    scale = max(nodes.max(), np.finfo(np.float32).tiny)
    powers = np.stack([np.ones_like(nodes), nodes / scale, (nodes / scale) ** 2], axis=-1)
    known /= [1.0, scale, scale**2]
    root = np.sqrt(weights)[..., None]
    scores = []
    for q in orders:
        if math.isinf(q):
            scores.append((1.0 / float(largest.max()), 0.0))
            continue
        values = _summand(nodes, q)
        fit = np.linalg.lstsq(
            (powers * root).reshape(-1, 3), (values[..., None] * root).ravel(), rcond=None
        )[0]
        rest = (weights * (values - powers @ fit)).sum(axis=1)
        total = float(_summand(largest, q).sum() + known @ fit + rest.mean())
        error = float(rest.std(ddof=1)) / math.sqrt(len(rest))
        if q == 1.0:
            score = math.exp(total)
            scores.append((score, score * error))
        else:
            score = total ** (1.0 / (1.0 - q))
            scores.append((score, score * error / (abs(1.0 - q) * total)))
    return scores


def _leading(
    kernel: np.ndarray, most: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most so many largest eigenvalues (m,) and their vectors (k, m), converged ones.

    By iteration of a whole block: where many molecules share as much, eigenvalues coincide, and
    Lanczos's method with a single vector breaks down or not as rounding has it.
    """
    vectors, _, _ = randomized_svd(
        kernel,
        most,
        n_iter=_ITERATIONS,
        power_iteration_normalizer="QR",
        random_state=int(random.integers(2**31)),
    )
    # In double precision: what the largest leave of the trace of K² may be a thousandth of it.
    exact = np.linalg.qr(vectors.astype(np.float64))[0]
    image = np.concatenate(
        [rows @ exact for rows in np.array_split(kernel, len(kernel) // 512 + 1)]
    )
    values = (exact * image).sum(axis=0)
    kept = np.linalg.norm(image - exact * values, axis=0) <= 1e-4 * values
    kept[0] = True
    return values[kept], exact[:, kept].astype(np.float32)


def _summand(eigenvalues: np.ndarray, q: float) -> np.ndarray:
    if q == 1.0:
        return -eigenvalues * np.log(np.where(eigenvalues > 0, eigenvalues, 1.0))
    return eigenvalues**q


def _quadrature(
    kernel: np.ndarray, probes: np.ndarray, left_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights (p, steps) so that Σ w f(node) = zᵀ f(K) z for each probe z.

    Lanczos's method for all probes at once, orthogonalised in full and kept out of the space of
    the eigenvectors `left_out`.
    """
    norms = np.linalg.norm(probes, axis=0)
    basis = np.zeros((_STEPS, *probes.shape), dtype=np.float32)
    diagonal, beside = np.zeros((2, _STEPS, probes.shape[1]))
    current = probes / norms
    for step in range(_STEPS):
        basis[step] = current
        following = kernel @ current
        diagonal[step] = np.einsum("kp,kp->p", current, following)
        before = np.linalg.norm(following, axis=0)
        for _ in range(2):
            following -= left_out @ (left_out.T @ following)
            overlaps = np.einsum("skp,kp->sp", basis[: step + 1], following)
            following -= np.einsum("skp,sp->kp", basis[: step + 1], overlaps)
        beside[step] = np.linalg.norm(following, axis=0)
        # What single precision leaves of a space that is used up is noise: the recursion ends.
        beside[step][beside[step] <= 1e-5 * before] = 0.0
        current = np.divide(
            following, beside[step], out=np.zeros_like(following), where=beside[step] > 0
        )
    nodes, weights = [], []
    for alpha, beta, norm in zip(diagonal.T, beside.T, norms, strict=True):
        values, vectors = np.linalg.eigh(
            np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)
        )
        nodes.append(np.clip(values, 0.0, None))
        weights.append((norm * vectors[0]) ** 2)
    return np.array(nodes), np.array(weights)
