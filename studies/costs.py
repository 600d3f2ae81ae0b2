"""What labels cost: a law for each kind of engine, and its calibration on the machine at hand.

The time of a label is ``start + factor · size**power`` seconds of one core. The size is the number
of basis functions for levels that name a basis set, else of electrons. The laws were measured once
(`LAWS`); they put work in order and into chunks of like size, so that these never depend on a
clock. For times that are shown, a few small molecules are labelled first.
"""

from __future__ import annotations

import functools
import heapq
import math
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from ..diversity import ConformerSet, DataError, LabelEngine
from ..sampling.geometries import sample_geometries
from ..sampling.labels import label_chunk
from ..sampling.molecules import Molecule


class Law(NamedTuple):
    """Seconds of one core for a label: ``start + factor · size**power``."""

    start: float
    factor: float
    power: float


#: Measured on one core of a server of 2023 on molecules of 10 to 274 electrons (18 to 90 basis
#: functions of B3LYP-D3BJ/6-31G*); fitted in logarithms, each within a factor of 1.35.
LAWS = {
    "gfn2": Law(1.6e-3, 3.7e-7, 2.32),
    "gfn1": Law(1.6e-3, 9.5e-7, 2.18),
    "mmff94": Law(2.1e-4, 4.0e-6, 0.91),
    "uff": Law(2.4e-4, 2.0e-7, 1.43),
}
_BY_BASIS = Law(0.40, 1.04e-4, 2.70)
#: What starting a program for each label takes, in seconds.
_PROCESS = 0.05
#: Basis functions for each electron where the basis set is not known here: 6-31G*'s.
_PER_ELECTRON = 2.0
#: Probes, smallest first, and the seconds after which no further one is begun.
PROBES = {"water": "O", "methanol": "CO", "ethanol": "CCO", "phenol": "Oc1ccccc1"}
PROBING = 5.0
#: Seconds that a chunk of labels should take by the law: what is lost if a worker is killed.
CHUNK = 30.0
#: Chunks that even a small set is cut into, so that several workers have some.
FEWEST = 8


def law(level: str) -> Law:
    """Return the law of a level of theory; levels that have none are taken for GFN2-xTB's."""
    program, _, inner = level.rpartition(":")
    if "/" in inner:
        return _BY_BASIS
    found = LAWS.get(inner, LAWS["gfn2"])
    return found._replace(start=found.start + _PROCESS) if program else found


def size(level: str, numbers: np.ndarray) -> float:
    """Return the size of a molecule that the law of a level is about."""
    inner = level.rpartition(":")[2]
    if "/" not in inner:
        return float(np.sum(numbers))
    basis = inner.partition("/")[2]
    elements, counts = np.unique(numbers, return_counts=True)
    return float(sum(_functions(basis, int(z)) * n for z, n in zip(elements, counts, strict=True)))


def seconds(level: str, numbers: np.ndarray) -> float:
    """Return the seconds of one label by the law alone: the same on every machine."""
    start, factor, power = law(level)
    return start + factor * size(level, numbers) ** power


@functools.cache
def _functions(basis: str, z: int) -> float:
    """Return how many functions a basis set has for an element."""
    try:
        from pyscf import gto

        with warnings.catch_warnings(action="ignore"):
            atom = gto.M(atom=[(chemical_symbols[z], (0, 0, 0))], basis=basis, spin=None, verbose=0)
    except Exception:  # no PySCF, or a basis set or element that it does not know
        return _PER_ELECTRON * z
    return float(atom.nao)


@dataclass(frozen=True)
class CostModel:
    """The law of a level on this machine: ``exp(shift) · law**power``.

    Parameters
    ----------
    level : str
    shift, power : float
        Of a line through logarithms of measured seconds over those of the law. The power is 1
        where the law is the engine's own.
    measured : dict of str to float
        Seconds of one label of each probe.
    """

    level: str
    shift: float
    power: float
    measured: dict[str, float]

    @classmethod
    def calibrate(
        cls, level: str, engine: LabelEngine, *, clock: Callable[[], float] | None = None
    ) -> CostModel:
        """Label small molecules, until `PROBING` seconds are spent, and fit a line.

        Parameters
        ----------
        level : str
        engine : LabelEngine
        clock : callable, optional
            Returns seconds; those of this process's cores, and of programs that it ran.

        Raises
        ------
        DataError
            If no probe could be labelled.
        """
        clock = clock or core_seconds
        found: dict[str, float] = {}
        expected: list[float] = []
        why, begun, warm = "no probe", clock(), False
        for name, smiles in PROBES.items():
            if found and clock() - begun > PROBING:
                break
            probe = _probe(smiles)
            reference = seconds(level, probe.numbers[probe.atoms_slice(0)])
            cheap = reference < 0.02
            if cheap and not warm:  # what is loaded with the first label is not its cost
                label_chunk(probe, engine)
                warm = True
            asked = probe if cheap else probe.select([0])
            start = clock()
            labels = label_chunk(asked, engine)
            spent = (clock() - start) / len(asked)
            if not labels.has_energy.all():
                why = next(iter(labels.faults.values()), "no label")
                continue
            found[name] = spent
            expected.append(reference)
        if not found:
            raise DataError(f"{level} labels none of {', '.join(PROBES)}: {why}.")
        x, y = np.log(expected), np.log(np.maximum(list(found.values()), 1e-6))
        # How an engine of `LAWS` scales was measured over a wider range than that of the probes.
        if len(found) < 3 or level.rpartition(":")[2] in LAWS:
            return cls(level, float(np.mean(y - x)), 1.0, found)
        power = float(np.clip(np.polyfit(x, y, 1)[0], 0.7, 1.5))
        return cls(level, float(np.mean(y - power * x)), power, found)

    def seconds(self, numbers: np.ndarray) -> float:
        """Return the seconds that one label of a molecule takes on one core."""
        return float(math.exp(self.shift) * seconds(self.level, numbers) ** self.power)


def chunks(
    level: str, conformers: ConformerSet, *, whole_molecules: bool = False
) -> list[list[str]]:
    """Divide conformers into chunks of like cost by the law; the order of records is nothing.

    Parameters
    ----------
    level : str
    conformers : ConformerSet
        Each geometry once.
    whole_molecules : bool, optional
        Keep conformers of a molecule together.

    Returns
    -------
    list of list of str
        Conformer ids, sorted within each chunk; at most twice `CHUNK` seconds each unless one
        item takes longer.
    """
    names = conformers.id.astype("U32").tolist()
    members: dict[int, list[str]] = {}
    for i in sorted(range(len(conformers)), key=names.__getitem__):
        members.setdefault(int(conformers.molecule[i]), []).append(names[i])
    first = dict(zip(*np.unique(conformers.molecule, return_index=True), strict=True))
    price = {
        m: seconds(level, conformers.numbers[conformers.atoms_slice(int(first[m]))])
        for m in members
    }
    total = sum(price[m] * len(those) for m, those in members.items())
    n = max(FEWEST, math.ceil(total / CHUNK))
    items: list[tuple[float, list[str]]] = []
    for m, those in members.items():
        # Geometries of one molecule together, as far as chunks stay even: engines set up once.
        most = len(those) if whole_molecules else max(1, int(total / (8 * n) / price[m]))
        cut = [those[i : i + most] for i in range(0, len(those), most)]
        items += [(price[m] * len(piece), piece) for piece in cut]
    n = min(n, len(items))
    loads: list[tuple[float, int]] = [(0.0, k) for k in range(n)]
    filled: list[list[str]] = [[] for _ in range(n)]
    # Dearest first, each into the chunk with the least: none is much longer than another.
    for cost, piece in sorted(items, key=lambda item: (-item[0], item[1])):
        load, k = heapq.heappop(loads)
        filled[k] += piece
        heapq.heappush(loads, (load + cost, k))
    return [sorted(chunk) for chunk in filled]


def set_seconds(level: str, conformers: ConformerSet) -> float:
    """Return the seconds by the law of labelling a whole set."""
    first = np.unique(conformers.molecule, return_index=True)[1]
    of = {
        int(conformers.molecule[i]): seconds(level, conformers.numbers[conformers.atoms_slice(i)])
        for i in first.tolist()
    }
    return float(sum(of[int(m)] for m in conformers.molecule))


def summary(per_label: Sequence[float], labels_each: int, model: CostModel) -> dict[str, Any]:
    """Return what `--dry-run` says of the labels of some molecules.

    Parameters
    ----------
    per_label : sequence of float
        Seconds of one label of each molecule.
    labels_each : int
        Labels of each.
    model : CostModel
    """
    least, middle, most = np.quantile(per_label, [0.0, 0.5, 1.0]).tolist()
    return {
        "seconds_per_label": {"least": least, "median": middle, "most": most},
        "seconds_per_molecule": {
            "least": least * labels_each,
            "median": middle * labels_each,
            "most": most * labels_each,
        },
        "core_hours": float(np.sum(per_label)) * labels_each / 3600,
        "probes": model.measured,
    }


@functools.cache
def _probe(smiles: str) -> ConformerSet:
    return sample_geometries([Molecule(smiles, smiles)], n_conformers=5, seed=0)[0]


def core_seconds() -> float:
    """Return the seconds that cores spent on this process and on programs that it ran."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + spent.ru_utime + spent.ru_stime
