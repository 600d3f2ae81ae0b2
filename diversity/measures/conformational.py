"""Conformational diversity: how far the conformers of a molecule differ in shape and energy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..errors import DataError
from ..randomness import ordering
from ..rmsd import symmetry_rmsd
from ..tables import Labels
from ..topology import MolecularGraph, molecular_graphs, sites
from ..torsions import (
    BANDWIDTH,
    dihedral_angles,
    torsion_basins,
    torsion_coverage,
    torsion_entropy,
    torsion_fingerprint_deviation,
    torsions,
)
from .chain_rule import CEILING_SHARE
from .hill import hill_number

#: Conformers of one molecule that are looked at, at most: a random sample beyond.
MAX_CONFORMERS = 10_000
#: Half the range of bond lengths (Å) and angles (degrees) about their means, and its bins.
BOND_RANGE, ANGLE_RANGE, N_BINS = 0.2, 20.0, 20
#: Symmetries of a molecular graph above which no RMSD is taken.
_SYMMETRIES = 1000
_NO_ORDERS = "torsions: no bond orders fit the graph"

#: What is told of each molecule, by place in the report.
MEASURES = (
    "rmsd.all",
    "rmsd.within_basin",
    "rmsd.across_basins",
    "share_of_pairs_within_basin",
    "torsion_fingerprint_deviation",
    "torsions.n_rotatable",
    "torsions.entropy",
    "torsions.entropy_ceiling",
    "torsions.share_at_ceiling",
    "torsions.coverage",
    "basins.q0",
    "basins.q1",
    "basins.q2",
    "bonds.sd",
    "bonds.coverage",
    "angles.sd",
    "angles.coverage",
    "energies.sd",
    "energies.range",
    "forces.mean_norm",
    "forces.sd_norm",
    "n_minima",
)


def conformational_measures(
    conformers: ConformerSet,
    *,
    level: str | None = None,
    max_pairs_conformers: int = 50,
    seed: int = 0,
    per_molecule: bool = False,
) -> dict[str, Any]:
    """Measure how conformers of the same molecule differ, and average over molecules.

    Time and memory grow in proportion to conformers: a molecule's pairs are those of at most
    `max_pairs_conformers` of its conformers, and nothing looks at more than `MAX_CONFORMERS`, both
    random samples. Molecules with one conformer and periodic structures are left out.

    Parameters
    ----------
    conformers : ConformerSet
    level : str, optional
        Level of theory of energies and forces; of the first that has them by default.
    max_pairs_conformers : int, optional
        At least 2.
    seed : int, optional
        Of the samples.
    per_molecule : bool, optional
        Whether to give each molecule's values too.

    Returns
    -------
    dict
        ``n_molecules``, ``n_molecules_used``, ``left_out`` (molecules by reason), the settings,
        and for each measure ``mean``, ``q25`` and ``q75`` over the ``n_molecules`` that have it;
        with none, ``mean`` is None and ``reason`` says why. They are

        - ``rmsd`` (Å; heavy atoms, over symmetries): mean over ``all`` pairs, pairs
          ``within_basin`` (vibration) and ``across_basins`` (torsional change), and
          ``share_of_pairs_within_basin``;
        - ``torsion_fingerprint_deviation``, mean over pairs;
        - ``torsions``: number of rotatable bonds, and means over these of the circular entropy
          (nats, kernel of ``torsion_bandwidth`` degrees), its ceiling, whether it is above 90 % of
          that, and the share of 30° bins visited;
        - ``basins``: Hill numbers (q = 0, 1, 2) of torsional basins, rings included;
        - ``bonds`` (Å), ``angles`` (degrees): mean standard deviation, and share of 20 bins
          visited within ±0.2 Å or ±20° of the own mean;
        - ``energies`` (eV): standard deviation and range; ``forces`` (eV/Å): mean and standard
          deviation of |F| over atoms, at ``level``;
        - ``n_minima``: minima that the conformers are known to come from.

        With `per_molecule`, ``per_molecule`` has lists in the order of ``conformers.molecules``:
        ``key``, ``n_conformers``, ``left_out`` and each of `MEASURES`; None where there is none.

    Raises
    ------
    DataError
        If there is no such level, or atoms of a molecule's conformers cannot be matched.
    """
    if max_pairs_conformers < 2:
        raise DataError(
            f"Pairs need 2 conformers, not max_pairs_conformers={max_pairs_conformers}."
        )
    name, labels = _labels(conformers, level)
    found: list[dict[str, float]] = []
    left_out: list[str | None] = []
    reasons: Counter[str] = Counter()
    for graph, rows, positions, atoms in molecule_frames(conformers, seed):
        found.append({})
        left_out.append(
            "single conformer" if len(rows) < 2 else "periodic" if graph.origin == "none" else None
        )
        if left_out[-1] is None:
            lacking = _shape(found[-1], graph, positions, max_pairs_conformers)
            reasons.update(lacking)
            if labels is not None:
                _label_spread(found[-1], labels, rows, atoms)
            minima = np.unique(conformers.minimum[rows])
            if minima[-1] >= 0:
                found[-1]["n_minima"] = float((minima >= 0).sum())
    report: dict[str, Any] = {
        "n_molecules": conformers.n_molecules,
        "n_conformers": conformers.n_conformers,
        "n_molecules_used": left_out.count(None),
        "left_out": dict(Counter(reason for reason in left_out if reason)),
        "not_told": dict(reasons),
        "level": name,
        "torsion_bandwidth": BANDWIDTH,
        "max_pairs_conformers": max_pairs_conformers,
        "max_conformers": MAX_CONFORMERS,
    }
    for measure in MEASURES:
        values = np.array([one[measure] for one in found if measure in one])
        place = report
        *parts, last = measure.split(".")
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = _summary(values, _why_none(measure, report))
    if per_molecule:
        report["per_molecule"] = {
            "key": conformers.molecules.key.tolist(),
            "n_conformers": np.bincount(conformers.molecule).tolist(),
            "left_out": left_out,
            **{measure: [one.get(measure) for one in found] for measure in MEASURES},
        }
    return report


def molecule_frames(
    conformers: ConformerSet, seed: int
) -> Iterator[tuple[MolecularGraph, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield graph, sampled conformers (C,), positions (C, N, 3) and atoms (C, N) of each molecule.

    Atoms are in the graph's order, conformers in a random one that depends on contents alone.
    """
    if not len(conformers):
        return
    site = sites(conformers)
    by_molecule = np.argsort(conformers.molecule, kind="stable")
    counts = np.bincount(conformers.molecule, minlength=conformers.n_molecules)
    stops = np.cumsum(counts)
    for graph, start, stop in zip(molecular_graphs(conformers), stops - counts, stops, strict=True):
        rows = by_molecule[start:stop]
        if len(rows) > 1:
            order = ordering(f"{seed} conformational", conformers.id[rows].tolist())
            rows = rows[order[:MAX_CONFORMERS]]
        span = np.arange(len(graph.numbers))
        atoms = conformers.offsets[rows][:, None] + span
        # Conformers of one molecule have the same sites, in whatever order.
        atoms = np.take_along_axis(atoms, np.argsort(site[atoms], axis=1), axis=1)
        yield graph, rows, conformers.positions[atoms].astype(np.float64), atoms


def _shape(
    found: dict[str, float], graph: MolecularGraph, positions: np.ndarray, most: int
) -> list[str]:
    """Add what positions tell of one molecule; return why some of it is not told."""
    lacking = []
    pairs = np.triu_indices(min(most, len(positions)), 1)
    ends = graph.bonds[:, :2].astype(np.int64)
    for name, values, reach in (
        ("bonds", _lengths(positions, ends), BOND_RANGE),
        ("angles", _bends(positions, ends), ANGLE_RANGE),
    ):
        if values.shape[1]:
            found[f"{name}.sd"] = float(values.std(axis=0, ddof=1).mean())
            found[f"{name}.coverage"] = _coverage(values, reach)
    basin = _torsional(found, graph, positions, pairs)
    if basin is None:
        lacking.append(_NO_ORDERS)
    try:
        apart = symmetry_rmsd(
            graph.numbers, graph.bonds, positions[: min(most, len(positions))], limit=_SYMMETRIES
        )[pairs]
    except DataError:
        lacking.append(f"rmsd: more than {_SYMMETRIES} symmetries")
        return lacking
    found["rmsd.all"] = float(apart.mean())
    if basin is not None:
        alike = basin[pairs[0]] == basin[pairs[1]]
        for name, which in (("within_basin", alike), ("across_basins", ~alike)):
            if which.any():
                found[f"rmsd.{name}"] = float(apart[which].mean())
    return lacking


def _torsional(
    found: dict[str, float],
    graph: MolecularGraph,
    positions: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> np.ndarray | None:
    """Add what torsions tell of one molecule; return each conformer's basin if that is known."""
    mol = graph.mol_with_atoms
    if mol is None:
        return None
    known = torsions(mol)
    angles = dihedral_angles(positions, known.atoms)
    rotatable = ~known.ring
    found["torsions.n_rotatable"] = float(rotatable.sum())
    if rotatable.any():
        free, fold = angles[:, rotatable], known.fold[rotatable]
        entropy, ceiling = torsion_entropy(free, fold)
        found["torsions.entropy"] = float(entropy.mean())
        found["torsions.entropy_ceiling"] = float(ceiling.mean())
        found["torsions.share_at_ceiling"] = float((entropy > CEILING_SHARE * ceiling).mean())
        found["torsions.coverage"] = float(torsion_coverage(free, fold).mean())
    basin = torsion_basins(angles, known.fold)
    counts = np.bincount(basin)
    for q in (0, 1, 2):
        found[f"basins.q{q}"] = hill_number(counts, q)
    alike = basin[pairs[0]] == basin[pairs[1]]
    found["share_of_pairs_within_basin"] = float(alike.mean())
    deviation = torsion_fingerprint_deviation(mol, positions[: int(pairs[1].max()) + 1])
    if deviation is not None:
        found["torsion_fingerprint_deviation"] = float(deviation[pairs].mean())
    return basin


def _label_spread(
    found: dict[str, float], labels: Labels, rows: np.ndarray, atoms: np.ndarray
) -> None:
    energy = labels.energy[rows[labels.has_energy[rows]]]
    if len(energy) > 1:
        found["energies.sd"] = float(energy.std(ddof=1))
        found["energies.range"] = float(np.ptp(energy))
    there = labels.has_forces[rows]
    if there.any():
        forces = labels.forces[atoms[there]].astype(np.float64)
        norms = np.sqrt((forces * forces).sum(axis=2))
        found["forces.mean_norm"] = float(norms.mean())
        found["forces.sd_norm"] = float(norms.std())


def _labels(conformers: ConformerSet, level: str | None) -> tuple[str | None, Labels | None]:
    if level is not None:
        return level, conformers.labels(level)
    for name, labels in conformers.levels.items():
        if labels.has_energy.any() or labels.has_forces.any():
            return name, labels
    return None, None


def _lengths(positions: np.ndarray, ends: np.ndarray) -> np.ndarray:
    apart = positions[:, ends[:, 1]] - positions[:, ends[:, 0]]
    return np.sqrt((apart * apart).sum(axis=2))


def _bends(positions: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the bond angles in degrees, shape (n, K)."""
    near: dict[int, list[int]] = {}
    for i, j in ends.tolist():
        near.setdefault(i, []).append(j)
        near.setdefault(j, []).append(i)
    triples = [
        (a, middle, b) for middle, others in near.items() for a in others for b in others if a < b
    ]
    a, middle, b = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    left, right = positions[:, a] - positions[:, middle], positions[:, b] - positions[:, middle]
    across = np.cross(left, right)
    # The arctangent keeps its digits near 180°, where the arccosine does not.
    sine = np.sqrt((across * across).sum(axis=2))
    return np.degrees(np.arctan2(sine, (left * right).sum(axis=2)))


def _coverage(values: np.ndarray, reach: float) -> float:
    """Return the mean share of bins visited within `reach` of each column's own mean."""
    bins = np.floor((values - values.mean(axis=0) + reach) / (2 * reach) * N_BINS).astype(np.int64)
    conformer, column = np.nonzero((bins >= 0) & (bins < N_BINS))
    visited = np.zeros((values.shape[1], N_BINS), dtype=bool)
    visited[column, bins[conformer, column]] = True
    return float(visited.mean())


def _why_none(measure: str, report: dict[str, Any]) -> str:
    if not report["n_molecules_used"]:
        return "no molecule with two or more conformers that is not periodic"
    if measure.startswith(("energies", "forces")):
        return "no labels" if report["level"] is None else f"no such labels at {report['level']}"
    if measure == "n_minima":
        return "the minima are not known"
    if measure.startswith(("bonds", "angles")):
        return f"no molecule with {measure.split('.')[0]}"
    if measure != "rmsd.all" and report["not_told"].get(_NO_ORDERS) == report["n_molecules_used"]:
        return "no molecule whose torsions are known"
    if measure == "rmsd.across_basins":
        return "all pairs lie within one torsional basin"
    if measure == "rmsd.within_basin":
        return "no pair lies within one torsional basin"
    if measure.startswith("torsions") and measure != "torsions.n_rotatable":
        return "no molecule with a rotatable bond"
    return "no molecule has what it needs"


def _summary(values: np.ndarray, why_none: str) -> dict[str, Any]:
    if not len(values):
        return {"mean": None, "q25": None, "q75": None, "n_molecules": 0, "reason": why_none}
    low, high = np.percentile(values, [25, 75])
    return {
        "mean": float(values.mean()),
        "q25": float(low),
        "q75": float(high),
        "n_molecules": len(values),
    }
