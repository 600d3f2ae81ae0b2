"""The chain rule on kernel densities: closed forms, an ecologist's package, and coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from breadth.diversity.measures.chain_rule import TERMS, Points, Term
from breadth.diversity.measures.chain_rule import divide as divide_at


def _points(
    molecule: np.ndarray,
    site: np.ndarray | None = None,
    kind: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Points:
    molecule = np.asarray(molecule)
    return Points(
        molecule=molecule,
        site=molecule if site is None else np.asarray(site),
        kind=np.zeros(len(molecule), dtype=int) if kind is None else np.asarray(kind),
        group=molecule if group is None else np.asarray(group),
        across=group is None,
    )


def divide(
    blocks: list[np.ndarray],
    points: Points,
    queries: np.ndarray,
    x: np.ndarray,
    *,
    bandwidth: float,
) -> tuple[dict[str, Term], float]:
    return divide_at(blocks, points, queries, x, bandwidths=[bandwidth])[0]


def _values(x: np.ndarray, points: Points, h: float = 0.5) -> dict[str, float]:
    terms, error = divide([x], points, np.arange(len(x)), x, bandwidth=h)
    assert error < 1e-9
    return {name: term.value for name, term in terms.items()}


def test_equals_the_double_loop() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    molecule = rng.integers(0, 4, 60)
    kind = rng.integers(0, 2, 60)
    site = molecule * 10 + kind * 3 + rng.integers(0, 2, 60)
    found = _values(x, _points(molecule, site, kind), h=0.8)
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * 0.8**2))
    kernel *= kind[:, None] == kind[None]
    everything = kernel.mean(1)
    same = molecule[:, None] == molecule[None]
    inside = (kernel * same).sum(1) / same.sum(1)
    same = site[:, None] == site[None]
    here = (kernel * same).sum(1) / same.sum(1)
    wanted = {
        "conformational": -np.log(here).mean(),
        "intramolecular": np.log(here / inside).mean(),
        "structural": np.log(inside / everything).mean(),
        "total": -np.log(everything).mean(),
    }
    for name in TERMS:
        assert found[name] == pytest.approx(wanted[name], abs=1e-6)


@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")
def test_agrees_with_the_similarity_sensitive_partition_of_ecology() -> None:
    greylock = pytest.importorskip("greylock")  # in the dev extra
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    molecule = np.sort(rng.integers(0, 4, 40))
    site = molecule * 2 + rng.integers(0, 2, 40)
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * 0.7**2))
    found = _values(x, _points(molecule, site), h=0.7)

    def community(of: np.ndarray, measure: str) -> float:
        counts = (of[:, None] == np.unique(of)[None]).astype(float)
        whole = greylock.Metacommunity(counts, similarity=kernel)
        return float(np.log(whole.metacommunity_diversity(viewpoint=1, measure=measure)))

    assert found["total"] == pytest.approx(community(molecule, "gamma"), abs=1e-6)
    assert found["structural"] == pytest.approx(community(molecule, "normalized_beta"), abs=1e-6)
    assert found["conformational"] == pytest.approx(community(site, "normalized_alpha"), abs=1e-6)
    assert found["conformational"] + found["intramolecular"] == pytest.approx(
        community(molecule, "normalized_alpha"), abs=1e-6
    )


def test_points_without_overlap_reach_every_ceiling() -> None:
    # 3 molecules × 2 sites × 4 conformers, all far apart.
    x = 100.0 * np.arange(24, dtype=float)[:, None]
    molecule, site = np.repeat(np.arange(3), 8), np.repeat(np.arange(6), 4)
    terms, _ = divide([x], _points(molecule, site), np.arange(24), x, bandwidth=0.5)
    wanted = {
        "conformational": np.log(4),
        "intramolecular": np.log(2),
        "structural": np.log(3),
        "total": np.log(24),
    }
    for name, term in terms.items():
        assert term.value == pytest.approx(wanted[name])
        assert term.ceiling == pytest.approx(wanted[name])
        assert term.at_ceiling == (name != "intramolecular")


def test_equal_points_have_no_diversity() -> None:
    x = np.zeros((12, 3))
    terms, _ = divide([x], _points(np.repeat([0, 1], 6)), np.arange(12), x, bandwidth=0.5)
    for term in terms.values():
        assert term.value == pytest.approx(0.0, abs=1e-12)
        assert not term.at_ceiling


def test_one_molecule_has_no_structural_and_lone_conformers_no_conformational_diversity() -> None:
    x = np.random.default_rng(2).normal(size=(30, 4))
    assert _values(x, _points(np.zeros(30, dtype=int)))["structural"] == pytest.approx(0, abs=1e-9)
    alone = _values(x, _points(np.arange(30)))
    assert alone["conformational"] == pytest.approx(0, abs=1e-9)
    assert alone["structural"] == pytest.approx(alone["total"])


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_terms_obey_their_bounds_and_ignore_order_and_blocks(
    seed: int, n_molecules: int, n_sites: int
) -> None:
    rng = np.random.default_rng(seed)
    n = 30
    x = rng.normal(size=(n, 3)).astype(np.float32)
    molecule = rng.integers(0, n_molecules, n)
    site = molecule * n_sites + rng.integers(0, n_sites, n)
    _, group = np.unique(molecule, return_inverse=True)
    points = Points(
        molecule=molecule, site=site, kind=np.zeros(n, dtype=int), group=group, across=True
    )
    terms, error = divide([x], points, np.arange(n), x, bandwidth=0.5)
    assert error < 1e-6
    for term in terms.values():
        assert -1e-6 <= term.value <= term.ceiling + 1e-6
    order = rng.permutation(n)
    turned = Points(
        molecule=molecule[order],
        site=site[order],
        kind=points.kind,
        group=group[order],
        across=True,
    )
    blocks = np.array_split(x[order], 4)
    again, _ = divide(blocks, turned, np.arange(n), x[order], bandwidth=0.5)
    for name in TERMS:
        assert again[name].value == pytest.approx(terms[name].value, abs=1e-5)
        if terms[name].interval is not None:
            assert again[name].interval == pytest.approx(terms[name].interval, abs=1e-4)


def test_some_queries_estimate_the_whole_without_bias() -> None:
    rng = np.random.default_rng(3)
    molecule = np.repeat(np.arange(20), 15)
    x = rng.normal(size=(20, 1, 2))[np.arange(20)].repeat(15, 1).reshape(-1, 2)
    x = x + 0.4 * rng.normal(size=x.shape)
    whole = _values(x, _points(molecule))
    for name in TERMS:
        drawn = []
        for _ in range(60):
            queries = np.sort(rng.choice(300, 60, replace=False))
            terms, _ = divide([x], _points(molecule), queries, x[queries], bandwidth=0.5)
            drawn.append(terms[name].value)
        error = np.std(drawn, ddof=1) / np.sqrt(60)
        assert abs(np.mean(drawn) - whole[name]) < 4 * error + 1e-9


def _nested(
    rng: np.random.Generator, m: int, c: int, between: float, within: float
) -> tuple[np.ndarray, np.ndarray]:
    centres = rng.normal(0, between, (m, 1))
    return (centres + rng.normal(0, within, (m, c))).reshape(-1, 1), np.repeat(np.arange(m), c)


def test_intervals_cover_a_value_known_by_quadrature() -> None:
    """Two conformers, Gaussian with SD s: E[−ln((1 + K) / 2)] over Δ ~ N(0, 2s²)."""
    s, h = 0.5, 0.5

    def integrand(delta: float) -> float:
        density = np.exp(-(delta**2) / (4 * s**2)) / np.sqrt(4 * np.pi * s**2)
        return float(-np.log((1 + np.exp(-(delta**2) / (2 * h**2))) / 2) * density)

    truth = quad(integrand, -10, 10)[0]
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(200):
        x, molecule = _nested(rng, 30, 2, 3.0, s)
        terms, _ = divide([x], _points(molecule), np.arange(60), x, bandwidth=h)
        low, high = terms["conformational"].interval or (np.nan, np.nan)
        hits += low <= truth <= high
    assert 0.89 <= hits / 200 <= 0.99  # 95 % ± 4 binomial standard errors


def test_intervals_cover_the_expected_structural_diversity() -> None:
    rng = np.random.default_rng(5)
    values, bounds = [], []
    for _ in range(300):
        x, molecule = _nested(rng, 25, 4, 1.0, 0.3)
        terms, _ = divide([x], _points(molecule), np.arange(100), x, bandwidth=0.3)
        values.append([terms[n].value for n in ("structural", "total")])
        bounds.append([terms[n].interval for n in ("structural", "total")])
    truth = np.mean(values, axis=0)  # known to 0.01 by 300 draws, intervals are wider by far
    inside = (np.array(bounds)[..., 0] <= truth) & (truth <= np.array(bounds)[..., 1])
    assert (inside.mean(0) > 0.90).all()
    assert (inside.mean(0) < 0.995).all()


def test_blocks_of_one_trajectory_cover_its_expected_diversity() -> None:
    rng = np.random.default_rng(6)
    values, bounds = [], []
    group = np.arange(100) * 20 // 100
    for _ in range(200):
        x = rng.normal(size=(100, 1))
        points = _points(np.zeros(100, dtype=int), group=group)
        terms, _ = divide([x], points, np.arange(100), x, bandwidth=0.3)
        values.append(terms["conformational"].value)
        bounds.append(terms["conformational"].interval)
    truth = np.mean(values)
    inside = (np.array(bounds)[:, 0] <= truth) & (truth <= np.array(bounds)[:, 1])
    assert 0.89 <= inside.mean() <= 0.995


def test_tends_to_the_closed_form_of_a_gaussian_hierarchy() -> None:
    """H of N(0, v) at bandwidth h is ½ ln((v + h²) / h²) + v / (2 (v + h²)) in one dimension."""
    h, between, within = 0.3, 1.0, 0.3

    def entropy(v: float) -> float:
        return 0.5 * np.log((v + h**2) / h**2) + v / (2 * (v + h**2))

    x, molecule = _nested(np.random.default_rng(7), 300, 40, between, within)
    queries = np.arange(0, len(x), 4)
    terms, _ = divide([x], _points(molecule), queries, x[queries], bandwidth=h)
    total, deep = entropy(between**2 + within**2), entropy(within**2)
    assert terms["total"].value == pytest.approx(total, abs=0.12)
    assert terms["conformational"].value == pytest.approx(deep, abs=0.03)
    assert terms["structural"].value == pytest.approx(total - deep, abs=0.12)


def test_no_interval_where_one_group_holds_all_queries() -> None:
    x = np.random.default_rng(3).normal(size=(30, 2))
    points = _points(np.repeat([0, 1], [1, 29]))
    terms, _ = divide([x], points, np.arange(5, 25), x[5:25], bandwidth=0.5)
    assert all(term.interval is None for term in terms.values())
    assert np.isfinite([term.value for term in terms.values()]).all()
