"""Reference energies of the elements, fitted to a training set at one level of theory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import DataError


@dataclass(frozen=True)
class References:
    """Reference energies and what they are good for.

    Parameters
    ----------
    energies : dict of int to float
        eV by atomic number, for every element of the training set.
    anchored : tuple of int
        Elements of the training set that have an isolated atom at the level. Only energies of
        structures made of these compare between molecules.
    """

    energies: dict[int, float]
    anchored: tuple[int, ...]


def reference_energies(
    data: ConformerSet,
    level: str,
    index: np.ndarray | None = None,
    *,
    shrinkage: float = 1.0,
    allow_relative: bool = False,
) -> References:
    """Fit ε(Z) so that Σ_i ε(Z_i) is near the training energies.

    Minimises Σ_c w_c (E_c − n_c·ε)² + shrinkage Σ_Z (ε_Z − ε_Z^atom)² over the distinct
    compositions c, where E_c is the mean energy of a composition and w_c its share of the
    conformers times the number of compositions. With isolated atoms of the level the problem is
    well-posed for any data: what compositions do not tell stays at the atoms. Elements without
    an isolated atom are fitted without shrinkage.

    Parameters
    ----------
    data : ConformerSet
    level : str
    index : array of int, optional
        Training conformers; all by default.
    shrinkage : float
        Weight of the isolated atoms, in compositions; above 0.
    allow_relative : bool
        Take the minimum-norm solution where the problem is ill-posed. It fits the compositions
        at hand and means nothing for others: benzene, uracil and aspirin determine naphthalene
        wrong by 828 eV.

    Returns
    -------
    found : References
        A set without energies gets the isolated atoms where there are some, zeros elsewhere.

    Raises
    ------
    DataError
        If elements without isolated atoms cannot be told apart by several compositions.

    Notes
    -----
    A single composition without isolated atoms gets its mean energy per atom for each element:
    exact for its own conformers and isomers, and flagged as not anchored like all others.
    """
    labels = data.labels(level)
    rows = np.arange(len(data)) if index is None else np.asarray(index, dtype=np.int64)
    numbers = [data.numbers[data.atoms_slice(int(i))] for i in rows]
    elements = np.unique(np.concatenate(numbers)) if numbers else np.array([], dtype=np.uint8)
    atoms = labels.reference_energies
    anchored = tuple(int(z) for z in elements if int(z) in atoms)
    start = np.array([atoms.get(int(z), 0.0) for z in elements])

    labelled = [(n, e) for n, e, i in zip(numbers, labels.energy[rows], rows, strict=True)
                if labels.has_energy[i]]  # fmt: skip
    if not labelled:
        return References(dict(zip(elements.tolist(), start.tolist(), strict=True)), anchored)
    counts = np.array([[np.count_nonzero(n == z) for z in elements] for n, _ in labelled], float)
    energies = np.array([e for _, e in labelled])
    compositions, which, sizes = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    above = energies - counts @ start
    means = np.bincount(which.ravel(), weights=above) / sizes
    weights = np.sqrt(sizes * (len(sizes) / sizes.sum()))

    free = np.array([int(z) not in atoms for z in elements])
    rank = np.linalg.matrix_rank(compositions[:, free]) if free.any() else 0
    if rank < free.sum() and len(compositions) > 1 and not allow_relative:
        symbols = _symbols(elements[free])
        raise DataError(
            f"Reference energies at level {level!r} are ill-posed: the {len(compositions)} "
            f"compositions of the training set have rank {rank}, too few to tell the energies of "
            f"{symbols} apart, and the level has no isolated atoms of them. Add isolated atoms "
            "to the data, train on more compositions, or set `relative_energies: true` to learn "
            "forces and conformational energies only."
        )
    if len(compositions) == 1 and free.all():
        shift = np.full(len(elements), means[0] / compositions[0].sum())
    else:
        pull = np.where(free, 0.0, np.sqrt(shrinkage))
        design = np.concatenate([compositions * weights[:, None], np.diag(pull)])
        target = np.concatenate([means * weights, np.zeros(len(elements))])
        shift = np.linalg.lstsq(design, target, rcond=1e-10)[0]
    fitted = start + shift
    return References(dict(zip(elements.tolist(), fitted.tolist(), strict=True)), anchored)


def _symbols(numbers: np.ndarray) -> str:
    from ase.data import chemical_symbols

    return ", ".join(chemical_symbols[int(z)] for z in numbers)
