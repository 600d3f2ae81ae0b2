"""How much a set's atomic environments hold, and what another set adds to them.

The quantities are those of Schwalbe-Koda et al. (QUESTS), arXiv:2404.12367, with a Gaussian kernel
K of bandwidth h on descriptors x of environments; environments of different elements share nothing
(K = 0 between them). With s_i = Σ_j K(x_i, x_j) over the n environments of a set, i included:

* entropy H = −1/n Σ_i ln(s_i / n), between 0 (all equal) and ln n (all apart), in nats;
* diversity D = ln Σ_i 1/s_i, the logarithm of the number of distinct environments;
* novelty of y against a set X: δH(y | X) = −ln Σ_j K(y, x_j), positive where X lacks y;
* overlap: the share of environments y with δH ≤ 0, which X knows already.

Small sets are computed exactly. In large ones a random sample of environments, of each element its
share, is compared with all environments, which pass by a chunk at a time: s_i is exact for each
sampled i, the mean over them is unbiased, and its standard error follows from their spread (with
the finite-population correction; by the delta method for the logarithm in D).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ..conformers import ConformerSet
from ..descriptors import (
    CompactDescriptor,
    atomic_features,
    bandwidth_for,
    bound,
    feature_chunks,
    some_features,
)
from ..errors import ConfigurationError, DataError
from ..kernel_density import SINGLE_PRECISION_ERROR, kernel_sums, self_kernel_sums
from ..protocols import Featurizer
from .chain_rule import CEILING_SHARE
from .stratified import allotted, stratified_mean, stratified_sample

#: Up to so many environments all pairs are computed unless asked otherwise.
EXACT_LIMIT = 20_000
#: Environments that are sampled above it.
N_QUERIES = 4096
#: Environments that a curve over bandwidths samples.
CURVE_QUERIES = 512
#: Multiples of the bandwidth that the curve goes through.
CURVE = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)
#: Novelty in nats beyond which an environment is not more new; so is one of an unknown element.
NOVELTY_CAP = 50.0


def environment_pairs(
    conformers: ConformerSet, *, exact: bool | None = None, n_queries: int = N_QUERIES
) -> int:
    """Return how many kernel values `environment_measures` computes, without its curve.

    One core computes some 2e8 a second with 56 features.

    Parameters
    ----------
    conformers : ConformerSet
    exact, n_queries : optional
        As there.
    """
    counts = np.unique(conformers.numbers, return_counts=True)[1]
    if _is_exact(exact, conformers.n_atoms):
        return int((counts * (counts + 1) // 2).sum())
    return int((counts * allotted(counts, n_queries)).sum())


def environment_measures(
    conformers: ConformerSet,
    *,
    featurizer: Featurizer | None = None,
    bandwidth: float | None = None,
    exact: bool | None = None,
    n_queries: int = N_QUERIES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return entropy and diversity of a set's environments, of all and by element.

    Exact: n²/2 kernel values and memory for all features. Sampled: `n_queries`·n kernel values,
    the features of all environments are computed once and memory holds those of the sample.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer, optional
        `CompactDescriptor` by default.
    bandwidth : float, optional
        h in the descriptor's units; by default the descriptor's own, or what a vibration changes.
    exact : bool, optional
        Compute all pairs; by default up to 20,000 environments. See `environment_pairs`.
    n_queries : int, optional
        Environments sampled otherwise; at least 30 of each element are.
    seed : int, optional
        Of the sample; the order of records does not matter.

    Returns
    -------
    dict
        ``descriptor``, ``bandwidth``, ``exact``; ``n_environments``, ``n_queries``, ``entropy`` and
        ``diversity`` (``value`` and ``standard_error`` in nats, 0 if exact), ``ceiling`` (ln n) and
        ``at_ceiling``, where the entropy says little more than the number of environments;
        ``by_element`` with the same for each element's symbol; ``bandwidth_curve`` with lists
        ``bandwidth``, ``entropy`` and ``standard_error`` from a sample of 512.

    Raises
    ------
    DataError
        If the set is empty or a feature is NaN.
    ConfigurationError
        If the bandwidth is not positive.
    """
    featurizer, h = _settled(featurizer, bandwidth, conformers)
    everything = _is_exact(exact, conformers.n_atoms)
    numbers, n = conformers.numbers, conformers.n_atoms
    if everything:
        queries = np.arange(n)
        features = atomic_features(conformers, featurizer)
        sums = np.empty(n)
        for z in conformers.elements:
            mine = np.flatnonzero(numbers == z)
            sums[mine] = self_kernel_sums(features[mine], bandwidth=h)
    else:
        queries = stratified_sample(conformers, n_queries, seed, "environments")
        features = some_features(conformers, featurizer, queries)
        sums = _kernel_sums(conformers, featurizer, features, numbers[queries], [h])[0]

    few = stratified_sample(conformers, CURVE_QUERIES, seed, "bandwidth curve")
    of_few = features[few] if everything else some_features(conformers, featurizer, few)
    widths = [m * h for m in CURVE]
    over_widths = _kernel_sums(conformers, featurizer, of_few, numbers[few], widths)
    whole = _entropies(sums, numbers[queries], numbers)
    curve = [_entropies(row, numbers[few], numbers)["entropy"] for row in over_widths]
    curve[CURVE.index(1.0)] = whole["entropy"]
    return {
        "descriptor": _name(featurizer),
        "bandwidth": h,
        "exact": everything,
        **whole,
        "by_element": {
            chemical_symbols[z]: _entropies(
                sums[numbers[queries] == z],
                numbers[queries][numbers[queries] == z],
                numbers[numbers == z],
            )
            for z in conformers.elements.tolist()
        },
        "bandwidth_curve": {
            "bandwidth": widths,
            "entropy": [one["value"] for one in curve],
            "standard_error": [one["standard_error"] for one in curve],
        },
    }


def compare_environments(
    a: ConformerSet,
    b: ConformerSet,
    *,
    featurizer: Featurizer | None = None,
    bandwidth: float | None = None,
    exact: bool | None = None,
    n_queries: int = N_QUERIES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what each of two sets holds of the other's environments and what is new.

    Parameters
    ----------
    a, b : ConformerSet
    featurizer, bandwidth : optional
        As in `environment_measures`; a bandwidth that depends on a set is that of `a`.
    exact : bool, optional
        Ask for all environments; by default where both sets have at most 20,000.
    n_queries : int, optional
        Environments of each set that are sampled otherwise.
    seed : int, optional

    Returns
    -------
    dict
        ``descriptor``, ``bandwidth``, ``exact``, and for both ways, ``b_in_a`` (environments of b
        against those of a) and ``a_in_b``: ``n_environments``, ``n_queries``, ``pooled`` and
        ``by_element``, each with ``overlap`` (share known), ``novel`` (share not known) and
        ``novelty`` (mean of δH in nats, each at most 50), with ``value`` and ``standard_error``.

    Raises
    ------
    DataError
        If a set is empty or a feature is NaN.
    ConfigurationError
        If the bandwidth is not positive.
    """
    featurizer, h = _settled(featurizer, bandwidth, a, b)
    everything = _is_exact(exact, max(a.n_atoms, b.n_atoms))
    found: dict[str, Any] = {"descriptor": _name(featurizer), "bandwidth": h, "exact": everything}
    for way, known, asked in (("b_in_a", a, b), ("a_in_b", b, a)):
        if everything:
            queries = np.arange(asked.n_atoms)
        else:
            queries = stratified_sample(asked, n_queries, seed, "compare")
        kinds = asked.numbers[queries]
        features = some_features(asked, featurizer, queries)
        sums = _kernel_sums(known, featurizer, features, kinds, [h])[0]
        found[way] = {
            "n_environments": asked.n_atoms,
            "n_queries": len(queries),
            "pooled": _novelty(sums, kinds, asked.numbers),
            "by_element": {
                chemical_symbols[z]: _novelty(
                    sums[kinds == z], kinds[kinds == z], asked.numbers[asked.numbers == z]
                )
                for z in asked.elements.tolist()
            },
        }
    return found


def _settled(
    featurizer: Featurizer | None, bandwidth: float | None, *sets: ConformerSet
) -> tuple[Featurizer, float]:
    for one in sets:
        if not len(one):
            raise DataError("An empty set has no environments.")
    featurizer = bound(featurizer or CompactDescriptor(), *sets)
    h = bandwidth_for(featurizer, sets[0]) if bandwidth is None else float(bandwidth)
    if not (np.isfinite(h) and h > 0):
        raise ConfigurationError(f"A kernel's bandwidth must be positive, not {h}.")
    return featurizer, h


def _name(featurizer: Featurizer) -> str:
    return str(getattr(featurizer, "name", type(featurizer).__name__))


def _is_exact(exact: bool | None, n: int) -> bool:
    return n <= EXACT_LIMIT if exact is None else exact


def _kernel_sums(
    conformers: ConformerSet,
    featurizer: Featurizer,
    queries: np.ndarray,
    kinds: np.ndarray,
    bandwidths: list[float],
) -> np.ndarray:
    """Return the sums of the kernel over a set's atoms of the query's element, by bandwidth."""
    sums, begin = np.zeros((len(bandwidths), len(queries))), 0
    asked = {int(z): np.flatnonzero(kinds == z) for z in np.unique(kinds)}
    for features, _ in feature_chunks(conformers, featurizer):
        numbers = conformers.numbers[begin : begin + len(features)]
        begin += len(features)
        for z, mine in asked.items():
            points = features[numbers == z]
            for row, h in zip(sums, bandwidths, strict=True):
                row[mine] += kernel_sums(queries[mine], points, bandwidth=h)
    return sums


def _entropies(sums: np.ndarray, kinds: np.ndarray, population: np.ndarray) -> dict[str, Any]:
    n = len(population)
    # Rounding may take an environment's own kernel value just below 1.
    sums = np.maximum(sums, 1.0)
    logarithm, error = stratified_mean(np.log(sums), kinds, population)
    weight, weight_error = stratified_mean(1 / sums, kinds, population)
    entropy, ceiling = float(np.log(n)) - logarithm, float(np.log(n))
    return {
        "n_environments": n,
        "n_queries": len(sums),
        "entropy": {"value": entropy, "standard_error": error},
        "diversity": {
            "value": float(np.log(n * weight)),
            "standard_error": weight_error / weight,
        },
        "ceiling": ceiling,
        "at_ceiling": bool(ceiling > 0 and entropy > CEILING_SHARE * ceiling),
    }


def _novelty(sums: np.ndarray, kinds: np.ndarray, population: np.ndarray) -> dict[str, Any]:
    novelty = -np.log(np.maximum(sums, np.exp(-NOVELTY_CAP)))
    # An environment that the other set has itself is known, whatever the kernel's rounding.
    known = (sums >= 1.0 - SINGLE_PRECISION_ERROR).astype(np.float64)
    overlap, overlap_error = stratified_mean(known, kinds, population)
    mean, error = stratified_mean(novelty, kinds, population)
    return {
        "overlap": {"value": overlap, "standard_error": overlap_error},
        "novel": {"value": 1.0 - overlap, "standard_error": overlap_error},
        "novelty": {"value": mean, "standard_error": error},
    }
