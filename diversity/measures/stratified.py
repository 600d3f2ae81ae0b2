"""Random samples of atoms, of each element its share, and what they say of all atoms."""

from __future__ import annotations

import numpy as np

from ..conformers import ConformerSet
from ..errors import ConfigurationError
from ..randomness import generator
from ..tables import ragged_index

#: Atoms of an element that are sampled at least, so that their mean has a standard error.
FEWEST = 30


def allotted(counts: np.ndarray, size: int) -> np.ndarray:
    """Return how many atoms of each element are sampled.

    Parameters
    ----------
    counts : array of int, shape (elements,)
        Atoms of each.
    size : int
        Atoms to sample in all; rare elements may take it a little beyond.

    Returns
    -------
    array of int64, shape (elements,)
        In proportion, but `FEWEST` of each or all that there are.

    Raises
    ------
    ConfigurationError
        If none shall be sampled.
    """
    if size < 1:
        raise ConfigurationError(f"At least one environment must be sampled, not {size}.")
    shares = np.rint(size * counts / counts.sum()).astype(np.int64)
    return np.minimum(counts, np.maximum(shares, FEWEST))


def stratified_sample(conformers: ConformerSet, size: int, seed: int, stream: str) -> np.ndarray:
    """Return a random sample of atoms, drawn without replacement within each element.

    Parameters
    ----------
    conformers : ConformerSet
        The order of its records does not matter.
    size : int
        Atoms to sample; see `allotted`.
    seed : int
    stream : str
        Names the random stream.

    Returns
    -------
    array of int64, shape (q,)
        Ascending.
    """
    elements, counts = np.unique(conformers.numbers, return_counts=True)
    shares = allotted(counts, size)
    if (shares == counts).all():
        return np.arange(conformers.n_atoms)
    atoms, _ = ragged_index(conformers.offsets, np.argsort(conformers.id, kind="stable"))
    numbers = conformers.numbers[atoms]
    random = generator(seed, stream)
    drawn = [
        random.choice(atoms[numbers == z], q, replace=False)
        for z, q in zip(elements, shares, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def stratified_mean(
    values: np.ndarray, kinds: np.ndarray, population: np.ndarray
) -> tuple[float, float]:
    """Return the mean over a population of which a sample of each element is known, and its error.

    Parameters
    ----------
    values : array, shape (q,)
        Of the sampled atoms.
    kinds : array of int, shape (q,)
        Their elements.
    population : array of int, shape (n,)
        Elements of all atoms.

    Returns
    -------
    mean, standard_error : float
        The error has the finite-population correction: 0 where all are known.

    Examples
    --------
    >>> stratified_mean(np.array([1.0, 4.0]), np.array([1, 6]), np.array([1, 6]))
    (2.5, 0.0)
    """
    mean = variance = 0.0
    for z, count in zip(*np.unique(population, return_counts=True), strict=True):
        own = values[kinds == z]
        share = count / len(population)
        mean += share * own.mean()
        if len(own) < count:
            variance += share**2 * (1 - len(own) / count) * own.var(ddof=1) / len(own)
    return float(mean), float(np.sqrt(variance))
