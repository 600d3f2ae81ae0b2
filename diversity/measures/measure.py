"""All measures of a set together, and of several sets brought to one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rdkit import Chem

from ..conformers import ConformerSet
from ..descriptors import CompactDescriptor, bandwidth_for
from ..errors import ConfigurationError, ShortageError
from ..html import Report
from ..protocols import Featurizer
from ..randomness import generator
from ..scaffolds import scaffold
from ..topology import molecular_graphs
from .conformational import conformational_measures
from .environments import CURVE, compare_environments, environment_measures
from .partition import bandwidth_curve, partition
from .rarefaction import rarefied, rarefied_partition
from .structural import structural_measures

Progress = Callable[[str], None]


def measure(
    conformers: ConformerSet,
    *,
    featurizer: Featurizer | None = None,
    bandwidth: float | None = None,
    exact: bool | None = None,
    level: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Say how broad and how deep a set is.

    Parameters
    ----------
    conformers : ConformerSet
    featurizer : Featurizer, optional
        Of atomic environments; `CompactDescriptor` by default.
    bandwidth : float, optional
        Of environments, in the descriptor's units; its own by default. Whole structures, whose
        features are means, are always compared at the descriptor's own.
    exact : bool, optional
        Whether entropies are computed from all pairs of environments; by default up to 20,000
        environments. Sampled ones carry a standard error.
    level : str, optional
        Level of theory of energies and forces; of the first that has them by default.
    seed : int, optional
        Of all samples.
    progress : callable, optional
        Called with the name of each part before it is computed.

    Returns
    -------
    Report
        A dictionary that notebooks show. ``n_molecules``, ``n_conformers``, ``n_environments``, and
        a part each for ``structural``, ``conformational``, ``environments`` and ``partition``; see
        `structural_measures`, `conformational_measures`, `environment_measures` and `partition`
        (with ``curve``, the terms over bandwidths, and ``structures``, the partition of whole
        structures).
    """
    featurizer = featurizer or CompactDescriptor()
    h = bandwidth_for(featurizer, conformers) if bandwidth is None else float(bandwidth)
    tell = progress or (lambda part: None)
    tell("structural")
    structural = structural_measures(conformers, seed=seed)
    tell("conformational")
    conformational = conformational_measures(conformers, level=level, seed=seed)
    tell("environments")
    environments = environment_measures(
        conformers, featurizer=featurizer, bandwidth=h, exact=exact, seed=seed
    )
    tell("partition")
    options: dict[str, Any] = {"featurizer": featurizer, "exact": exact, "seed": seed}
    divided = partition(conformers, bandwidth=h, **options).as_dict()
    divided["curve"] = bandwidth_curve(
        conformers, featurizer=featurizer, bandwidths=[m * h for m in CURVE], seed=seed
    )
    divided["structures"] = partition(conformers, level="structures", **options).as_dict()
    return Report(
        {
            "n_molecules": conformers.n_molecules,
            "n_conformers": conformers.n_conformers,
            "n_environments": conformers.n_atoms,
            "structural": structural,
            "conformational": conformational,
            "environments": environments,
            "partition": divided,
        }
    )


def compare(
    sets: Mapping[str, ConformerSet],
    *,
    featurizer: Featurizer | None = None,
    bandwidth: float | None = None,
    level: str | None = None,
    n_molecules: int | None = None,
    n_conformers: int | None = None,
    repeats: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Compare sets: what they share, and how diverse equally large parts of them are.

    Larger sets look more diverse by most measures, so each set is cut to the same number of
    molecules with the same number of conformers, several times at random, and the mean is given.

    Parameters
    ----------
    sets : mapping of str to ConformerSet
        Two or more, by name.
    featurizer, bandwidth, level, seed, progress
        As in `measure`; the bandwidth is one for all sets, by default the first's.
    n_molecules, n_conformers : int, optional
        The common size. By default the smallest of the sets' median numbers of conformers, and as
        many molecules as every set has with so many.
    repeats : int, optional
        Random parts of each set.

    Returns
    -------
    Report
        A dictionary that notebooks show. ``rarefied_to`` (``n_molecules``, ``n_conformers``,
        ``repeats``); ``sets``: by name the full counts and the mean measures of the parts
        (``structural``, ``conformational``, ``partition``); ``shared``: by pair of names, numbers
        of conformers, molecules and scaffolds in both; ``environments``: by pair, overlap and
        novelty of the whole sets.

    Raises
    ------
    ShortageError
        If a set has too few molecules with so many conformers.
    """
    if len(sets) < 2:
        raise ConfigurationError("Give at least two sets to compare.")
    if repeats < 1:
        raise ConfigurationError(f"repeats = {repeats}: at least 1 random part of each set.")
    featurizer = featurizer or CompactDescriptor()
    tell = progress or (lambda part: None)
    first = next(iter(sets.values()))
    h = bandwidth_for(featurizer, first) if bandwidth is None else float(bandwidth)
    m, c = _common_size(sets, n_molecules, n_conformers)
    described: dict[str, Any] = {}
    for name, conformers in sets.items():
        tell(name)
        parts = [
            rarefied(
                conformers,
                n_molecules=m,
                n_conformers=c,
                seed=int(generator(seed, "compare", k).integers(2**31)),
            )
            for k in range(repeats)
        ]
        described[name] = {
            "n_molecules": conformers.n_molecules,
            "n_conformers": conformers.n_conformers,
            "structural": _mean([structural_measures(part, seed=seed) for part in parts]),
            "conformational": _mean(
                [conformational_measures(part, level=level, seed=seed) for part in parts]
            ),
            "partition": rarefied_partition(
                conformers,
                n_molecules=m,
                n_conformers=c,
                repeats=repeats,
                featurizer=featurizer,
                bandwidth=h,
                seed=seed,
            ).as_dict(),
        }
    names = list(sets)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    shared, environments = [], []
    for a, b in pairs:
        tell(f"{a} and {b}")
        shared.append({"sets": [a, b], **shared_records(sets[a], sets[b])})
        found = compare_environments(
            sets[a], sets[b], featurizer=featurizer, bandwidth=h, seed=seed
        )
        environments.append({"sets": [a, b], **found})
    return Report(
        {
            "rarefied_to": {"n_molecules": m, "n_conformers": c, "repeats": repeats},
            "sets": described,
            "shared": shared,
            "environments": environments,
        }
    )


def shared_records(a: ConformerSet, b: ConformerSet) -> dict[str, int | None]:
    """Count conformers, molecules and scaffolds that two sets share.

    Returns
    -------
    dict
        ``conformers`` by content id, ``molecules`` by constitution, ``scaffolds`` (None where a
        molecule's structure is not known).
    """
    scaffolds: list[set[str]] = []
    for one in (a, b):
        mols = [graph.mol for graph in molecular_graphs(one)]
        if any(mol is None for mol in mols):
            break
        scaffolds.append({scaffold(Chem.MolToSmiles(mol)) for mol in mols})
    return {
        "conformers": len(np.intersect1d(a.id, b.id)),
        "molecules": len(np.intersect1d(a.molecules.constitution, b.molecules.constitution)),
        "scaffolds": len(scaffolds[0] & scaffolds[1]) if len(scaffolds) == 2 else None,
    }


def _common_size(
    sets: Mapping[str, ConformerSet], n_molecules: int | None, n_conformers: int | None
) -> tuple[int, int]:
    counts = {
        name: np.bincount(one.molecule, minlength=one.n_molecules) for name, one in sets.items()
    }
    middle = int(min(np.median(count) for count in counts.values()))
    c = middle if n_conformers is None else n_conformers
    enough = {name: int((count >= c).sum()) for name, count in counts.items()}
    fewest = min(enough, key=lambda name: enough[name])
    m = enough[fewest] if n_molecules is None else n_molecules
    if not 1 <= m <= enough[fewest] or c < 1:
        raise ShortageError(
            f"Sets are to be compared at {m} molecules with {c} conformers each, and {fewest} has "
            f"{enough[fewest]} such molecules. Ask for fewer, and for 1 at least."
        )
    return m, c


def _mean(reports: Sequence[Any]) -> Any:
    """Average numbers leaf by leaf; what is no number is taken from the first."""
    first = reports[0]
    if isinstance(first, dict):
        return {
            key: _mean([report[key] for report in reports])
            for key in first
            if all(key in report for report in reports)
        }
    if isinstance(first, int | float) and not isinstance(first, bool):
        numbers = [r for r in reports if isinstance(r, int | float)]
        return float(np.mean(numbers)) if len(numbers) == len(reports) else None
    return first
