"""The Vendi score against closed forms, an own small implementation, and its approximation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity.errors import ConfigurationError, DataError
from breadth.diversity.fingerprints import tanimoto
from breadth.diversity.measures.hill import hill_number
from breadth.diversity.measures.vendi import vendi_score

ORDERS = (0.5, 1.0, 2.0, math.inf)


def _values(packed: np.ndarray, **options: object) -> list[float]:
    found = vendi_score(packed, orders=ORDERS, **options)  # type: ignore[arg-type]
    return [found[f"q{q:g}"]["value"] for q in ORDERS]


def _bits(rows: list[list[int]], n_bits: int) -> np.ndarray:
    bits = np.zeros((len(rows), n_bits), dtype=np.uint8)
    for row, on in zip(bits, rows, strict=True):
        row[on] = 1
    return np.packbits(bits, axis=1)


def _families(n: int, seed: int = 0) -> np.ndarray:
    """Draw fingerprints in families that share most bits, as similar molecules do."""
    random = np.random.default_rng(seed)
    parents = random.random((12, 512)) < 0.04
    flips = random.random((n, 512)) < 0.01
    return np.packbits(parents[random.integers(0, 12, n)] ^ flips, axis=1)


@pytest.mark.parametrize("options", [{}, {"exact_limit": 1}])
def test_equal_molecules_are_one_and_orthogonal_ones_count_fully(options: dict[str, int]) -> None:
    apart = _bits([[2 * i, 2 * i + 1] for i in range(120)], 240)
    np.testing.assert_allclose(_values(np.repeat(apart[:1], 50, axis=0)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(_values(apart, **options), 120.0, rtol=1e-4)
    sizes = np.arange(120) % 7 + 1
    wanted = [hill_number(sizes, q) for q in ORDERS]
    scored = vendi_score(np.repeat(apart, sizes, axis=0), orders=ORDERS, **options)  # type: ignore[arg-type]
    for q, value in zip(ORDERS, wanted, strict=True):
        found = scored[f"q{q:g}"]
        assert abs(found["value"] - value) < 5 * found["standard_error"] + 1e-6 * value
        assert found["standard_error"] < 1e-3 * value


@pytest.mark.parametrize("options", [{}, {"exact_limit": 1}])
def test_molecules_that_all_share_as_much(options: dict[str, int]) -> None:
    # s bits in common, one of their own: K = (1 − c) I + c 11ᵀ with c = s / (s + 2).
    n, shared = 150, 3
    packed = _bits([[0, 1, 2, shared + i] for i in range(n)], shared + n)
    c = shared / (shared + 2)
    eigenvalues = np.array([1 - c + n * c, *[1 - c] * (n - 1)]) / n
    wanted = [hill_number(eigenvalues, q) for q in ORDERS]
    np.testing.assert_allclose(_values(packed, **options), wanted, rtol=2e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_equals_its_definition_and_ignores_order(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    packed = _families(n, seed)[random.integers(0, n, n)]
    eigenvalues = np.clip(np.linalg.eigvalsh(tanimoto(packed, packed).astype(float) / n), 0, None)
    found = vendi_score(packed, orders=(1, 2))
    for q, eps in ((1, 1e-6), (2, 1e-6)):
        # The definition as published: exp of the von Neumann entropy, Rényi's for order 2.
        if q == 1:
            some = eigenvalues[eigenvalues > 1e-12]
            wanted = math.exp(-(some * np.log(some)).sum())
        else:
            wanted = 1.0 / (eigenvalues**2).sum()
        assert found[f"q{q}"]["value"] == pytest.approx(wanted, rel=1e-4 if q == 1 else eps)
    assert 1 - 1e-6 <= found["q2"]["value"] <= found["q1"]["value"] + 1e-6 <= n + 1e-3
    assert vendi_score(packed[random.permutation(n)], orders=(1, 2)) == found


def test_the_approximation_keeps_its_stated_error() -> None:
    packed = _families(900)
    exact = vendi_score(packed)
    assert exact["exact"]
    misses = []
    for seed in range(10):
        rough = vendi_score(packed, exact_limit=100, seed=seed)
        assert not rough["exact"]
        assert rough["q2"]["value"] == pytest.approx(exact["q2"]["value"], rel=1e-4)
        assert 0 < rough["q1"]["standard_error"] < 0.01 * exact["q1"]["value"]
        misses.append((rough["q1"]["value"] - exact["q1"]["value"]) / rough["q1"]["standard_error"])
    assert np.sqrt(np.mean(np.square(misses))) < 2.0
    shuffled = packed[np.random.default_rng(1).permutation(len(packed))]
    assert vendi_score(shuffled, exact_limit=100) == vendi_score(packed, exact_limit=100)


def test_a_sample_scores_below_all_and_says_so() -> None:
    packed = _families(600)
    part = vendi_score(packed, exact_limit=200, sample_limit=300)
    assert part["n_molecules"] == 300
    assert "random sample of 300 of 600" in part["note"]
    assert part["q1"]["value"] < vendi_score(packed)["q1"]["value"]


def test_bad_input_says_so() -> None:
    with pytest.raises(DataError, match="no molecule"):
        vendi_score(np.zeros((0, 8), np.uint8))
    with pytest.raises(ConfigurationError, match=r"below 0\.5"):
        vendi_score(_families(50), orders=(0,), exact_limit=10)
    with pytest.raises(ConfigurationError, match="order q"):
        vendi_score(_families(50), orders=(-1,))
