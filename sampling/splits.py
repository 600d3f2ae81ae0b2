"""Hold-outs: what is kept from training, so that an error says what it claims to say.

Molecules are divided once into pools, by constitution, so that stereoisomers never stand on both
sides; trainable molecules then give some conformers, and some a whole minimum, to the hold-outs.
Every order is one of blake2b(seed ‖ key), whatever the order of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from sklearn.base import BaseEstimator

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, DataError, ShortageError
from ..diversity.html import table
from ..diversity.randomness import ordering
from ..diversity.scaffolds import scaffolds
from .disjoint import KEYS, check_disjoint
from .given import given_minima

#: Pools of molecules that no design trains on, each a hold-out by itself, in order of drawing.
MOLECULE_POOLS = ("unseen_elements", "larger_molecules", "unseen_scaffolds", "unseen_molecules")


@dataclass(frozen=True, eq=False)
class Partition:
    """Who may be trained on, and who is tested on.

    Parameters
    ----------
    pool : array of str, shape (M,)
        Of each molecule: ``trainable``, one of `MOLECULE_POOLS`, or ``unused`` (belongs to a
        hold-out that has enough, or has too few conformers).
    available : array of bool, shape (n,)
        Conformers that designs may use.
    tests : dict of str to array of int64
        Test conformers by hold-out; those of `MOLECULE_POOLS`, and under ``seen_conformers`` and
        ``unseen_minima`` those of all trainable molecules: ask `test_set` for some molecules'.
    """

    conformers: ConformerSet
    pool: np.ndarray
    available: np.ndarray
    tests: dict[str, np.ndarray]

    def _repr_html_(self) -> str:
        molecules, counts = np.unique(self.pool, return_counts=True)
        n_molecules = dict(zip(molecules.tolist(), counts.tolist(), strict=True))
        parts = {"trainable": int(self.available.sum())}
        parts |= {name: len(rows) for name, rows in self.tests.items()}
        rows = [
            [name.replace("_", " "), n_molecules.get(name, "of the trainable"), f"{n:,}"]
            for name, n in parts.items()
            if n or name in n_molecules
        ]
        return table(["hold-out", "molecules", "conformers"], rows)

    @property
    def trainable(self) -> np.ndarray:
        """Rows of the trainable molecules."""
        return np.flatnonzero(self.pool == "trainable")

    def test_set(self, name: str, molecules: np.ndarray | None = None) -> np.ndarray:
        """Return the test conformers of one hold-out.

        Parameters
        ----------
        name : str
            ``seen_conformers`` (a: for molecules that every design trains on), ``own_conformers``
            (a′: for one design's molecules), ``unseen_minima`` (a″), or one of `MOLECULE_POOLS`.
        molecules : array of int, optional
            Rows of the molecules trained on; needed for the first three, whose test conformers
            are those of these molecules.

        Returns
        -------
        array of int64
            Indices into the set; empty where the hold-out has no conformer.
        """
        if name in MOLECULE_POOLS:
            return self.tests[name]
        if name not in ("seen_conformers", "own_conformers", "unseen_minima"):
            raise ConfigurationError(
                f"No hold-out is called {name!r}; there are seen_conformers, own_conformers, "
                f"unseen_minima, {', '.join(MOLECULE_POOLS)}."
            )
        if molecules is None:
            raise ConfigurationError(f"{name}: say which molecules were trained on.")
        index = self.tests["unseen_minima" if name == "unseen_minima" else "seen_conformers"]
        return index[np.isin(self.conformers.molecule[index], molecules)]


class HoldOuts(BaseEstimator):
    """Divides a pool of conformers into what designs may use and what they are tested on.

    Parameters
    ----------
    n_unseen_molecules, n_unseen_scaffolds, n_larger : int
        Molecules of the hold-outs (b), (c) and (d).
    largest_trained : int or None
        Heavy atoms of the largest molecule that may be trained on; larger ones are hold-out (d).
    unseen_elements : sequence of str or int
        Every molecule that holds one of these is kept from training, and `n_unseen_elements` of
        them are tested on.
    n_unseen_elements : int
    n_test_conformers : int
        Test conformers of each molecule; a conformational energy needs 10.
    n_available : int
        Conformers that every trainable molecule must keep for designs. Molecules with fewer are
        not trainable, and a minimum is held out only where as many remain.
    hold_out_minima : bool
        Hold one minimum, never the lowest, out of trainable molecules that have several: (a″).
    random_state : int
    """

    def __init__(
        self,
        *,
        n_unseen_molecules: int = 0,
        n_unseen_scaffolds: int = 0,
        n_larger: int = 0,
        largest_trained: int | None = None,
        unseen_elements: Sequence[str | int] = (),
        n_unseen_elements: int = 0,
        n_test_conformers: int = 10,
        n_available: int = 1,
        hold_out_minima: bool = True,
        random_state: int = 0,
    ) -> None:
        self.n_unseen_molecules = n_unseen_molecules
        self.n_unseen_scaffolds = n_unseen_scaffolds
        self.n_larger = n_larger
        self.largest_trained = largest_trained
        self.unseen_elements = unseen_elements
        self.n_unseen_elements = n_unseen_elements
        self.n_test_conformers = n_test_conformers
        self.n_available = n_available
        self.hold_out_minima = hold_out_minima
        self.random_state = random_state

    def partition(self, conformers: ConformerSet, given: ConformerSet | None = None) -> Partition:
        """Divide a set.

        Parameters
        ----------
        conformers : ConformerSet
            Labels are not needed.
        given : ConformerSet, optional
            What is trained on in any case: no test set shares with it what its name forbids, and
            its conformers are neither available nor tested on.

        Returns
        -------
        Partition

        Raises
        ------
        ShortageError
            If a hold-out cannot have as many molecules as asked for, or nothing is trainable.
        ConfigurationError
            If an element is unknown, or larger molecules are asked for without a limit.
        """
        members = _members(conformers, self.random_state)
        minima_of: dict[int, set[int]] = {}
        if given is not None:
            minima_of = given_minima(conformers, given)
            members = [m[~np.isin(conformers.id[m], given.id)] for m in members]
        enough = np.array([len(m) for m in members]) >= self.n_test_conformers
        if given is not None:
            enough &= ~np.isin(conformers.molecules.constitution, given.molecules.constitution)
        pool = self._divide(conformers, enough, given)
        tests = {
            name: _join(
                [
                    members[row][: self.n_test_conformers]
                    for row in np.flatnonzero((pool == name) & enough)
                ]
            )
            for name in MOLECULE_POOLS
        }
        available = np.zeros(len(conformers), dtype=bool)
        seen, minima = [], []
        for row in np.flatnonzero(pool == "trainable"):
            taken = minima_of.get(int(row), set())
            unseen, reserved, rest = self._reserve(conformers, members[row], taken)
            if len(reserved) < self.n_test_conformers or len(rest) < self.n_available:
                pool[row] = "unused"
                continue
            minima.append(unseen[: self.n_test_conformers])
            seen.append(reserved)
            available[rest] = True
        if not available.any():
            raise ShortageError(
                f"No molecule is left to train on: {self.n_test_conformers} test conformers and "
                f"{self.n_available} to train on are asked of each, and the most that any molecule "
                f"has is {max((len(m) for m in members), default=0)}, in a pool of "
                f"{conformers.n_molecules} molecules."
            )
        tests["seen_conformers"], tests["unseen_minima"] = _join(seen), _join(minima)
        found = Partition(conformers, pool, available, tests)
        trained = np.flatnonzero(available)
        for name, test in tests.items():
            # Trainable molecules share nothing with a hold-out but what its name allows. One that
            # nobody asked for is empty, and needs no scaffolds, which files without SMILES lack.
            if len(test):
                check_disjoint(conformers, trained, test, by=KEYS[name], given=given)
        return found

    def _divide(
        self, conformers: ConformerSet, enough: np.ndarray, given: ConformerSet | None
    ) -> np.ndarray:
        molecules = conformers.molecules
        pool = np.full(len(molecules), "trainable", dtype="U20")
        elements = _element_numbers(self.unseen_elements)
        first = _first_conformers(conformers)
        atoms = [conformers.numbers[conformers.atoms_slice(i)] for i in first]

        if elements:
            foreign = np.array([bool(np.isin(numbers, elements).any()) for numbers in atoms])
            self._draw(pool, "unseen_elements", foreign, enough, molecules.constitution)
        if self.largest_trained is not None:
            heavy = np.array([np.count_nonzero(numbers > 1) for numbers in atoms])
            self._draw(
                pool,
                "larger_molecules",
                heavy > self.largest_trained,
                enough,
                molecules.constitution,
            )
        elif self.n_larger:
            raise ConfigurationError(
                f"n_larger = {self.n_larger} without largest_trained: say how many heavy atoms the "
                "molecules to train on may have."
            )
        if self.n_unseen_scaffolds:
            names = scaffolds(conformers)
            fresh = enough if given is None else enough & ~np.isin(names, scaffolds(given))
            self._draw_scaffolds(pool, names, fresh, molecules.constitution)
        if self.n_unseen_molecules:
            chosen = self._first_constitutions(
                pool, enough, molecules.constitution, self.n_unseen_molecules, "unseen_molecules"
            )
            pool[chosen] = "unseen_molecules"
        return pool

    def _draw(
        self,
        pool: np.ndarray,
        name: str,
        belongs: np.ndarray,
        enough: np.ndarray,
        constitution: np.ndarray,
    ) -> None:
        """Take all trainable molecules that belong; the ones beyond the count are unused."""
        count = {"unseen_elements": self.n_unseen_elements, "larger_molecules": self.n_larger}[name]
        mine = (pool == "trainable") & belongs
        pool[mine] = name
        chosen = self._first_constitutions(pool, enough, constitution, count, name, among=name)
        pool[mine] = "unused"
        pool[chosen] = name

    def _draw_scaffolds(
        self, pool: np.ndarray, scaffold: np.ndarray, enough: np.ndarray, constitution: np.ndarray
    ) -> None:
        """Take whole scaffolds until there are enough molecules.

        A scaffold with more than a quarter of them is passed over: one common scaffold would be
        the whole hold-out, and training would lose it.
        """
        wanted = self.n_unseen_scaffolds
        candidates = pool == "trainable"
        names, inverse = np.unique(scaffold, return_inverse=True)
        sizes = np.bincount(inverse[candidates], minlength=len(names))
        testable = np.flatnonzero(candidates & enough)
        testable = testable[np.unique(constitution[testable], return_index=True)[1]]
        usable = np.bincount(inverse[testable], minlength=len(names))
        order = ordering(f"{self.random_state} scaffolds", names.tolist())
        taken: list[int] = []
        found = 0
        for i in order:
            if found >= wanted:
                break
            if usable[i] and sizes[i] <= max(1, wanted // 4):
                taken.append(int(i))
                found += int(usable[i])
        if found < wanted:
            raise ShortageError(
                f"{wanted} molecules of unseen scaffolds are asked for, and the scaffolds with at "
                f"most {max(1, wanted // 4)} molecules have {found} that can be tested: "
                f"{wanted - found} are missing. Enlarge the pool or ask for fewer."
            )
        mine = candidates & np.isin(inverse, taken)
        pool[mine] = "unseen_scaffolds"
        chosen = self._first_constitutions(
            pool, enough, constitution, wanted, "unseen_scaffolds", among="unseen_scaffolds"
        )
        pool[mine] = "unused"
        pool[chosen] = "unseen_scaffolds"

    def _first_constitutions(
        self,
        pool: np.ndarray,
        enough: np.ndarray,
        constitution: np.ndarray,
        count: int,
        name: str,
        among: str = "trainable",
    ) -> np.ndarray:
        """Return the first molecules of a pool in its order, whole constitutions at a time."""
        candidates = np.unique(constitution[(pool == among) & enough])
        ordered = candidates[ordering(f"{self.random_state} {name}", candidates.tolist())]
        if len(ordered) < count:
            raise ShortageError(
                f"{name}: {count} molecules with {self.n_test_conformers} conformers each are "
                f"asked for and the pool has {len(ordered)}: {count - len(ordered)} are missing. "
                "Enlarge the pool, or ask for fewer."
            )
        return np.flatnonzero((pool == among) & np.isin(constitution, ordered[:count]))

    def _reserve(
        self, conformers: ConformerSet, members: np.ndarray, taken: set[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Split one molecule's conformers into those of an unseen minimum, test and the rest.

        Minima that are taken are seen; with −1 among them, any may be.
        """
        minimum = conformers.minimum[members]
        unseen = members[:0]
        known = np.unique(minimum[minimum >= 0])
        needed = self.n_test_conformers + self.n_available
        tell = -1 not in taken and (minimum >= 0).all()
        if self.hold_out_minima and len(known) > 1 and tell:
            key = conformers.molecules.key[conformers.molecule[members[0]]]
            order = ordering(f"{self.random_state} minimum {key}", map(str, known[1:].tolist()))
            for held in known[1:][order]:
                mine = minimum == held
                if held in taken:
                    continue
                if mine.sum() >= self.n_test_conformers and (~mine).sum() >= needed:
                    unseen, members = members[mine], members[~mine]
                    break
        return unseen, members[: self.n_test_conformers], members[self.n_test_conformers :]


def _members(conformers: ConformerSet, random_state: int) -> list[np.ndarray]:
    """Return the conformers of each molecule in the hold-outs' order, each geometry once."""
    ids = conformers.id
    single = np.sort(np.unique(ids, return_index=True)[1])
    ordered = single[ordering(f"{random_state} hold-outs", ids[single].tolist())]
    rows = conformers.molecule[ordered]
    by_molecule = ordered[np.argsort(rows, kind="stable")]
    counts = np.bincount(rows, minlength=conformers.n_molecules)
    return np.split(by_molecule, np.cumsum(counts)[:-1])


def _first_conformers(conformers: ConformerSet) -> np.ndarray:
    present, first = np.unique(conformers.molecule, return_index=True)
    if len(present) != conformers.n_molecules:
        raise DataError("The set lists molecules without a conformer; select from it first.")
    return first


def _element_numbers(elements: Sequence[str | int]) -> list[int]:
    numbers = []
    for element in elements:
        number = element if isinstance(element, int) else atomic_numbers.get(str(element), 0)
        if not 1 <= number < len(chemical_symbols):
            raise ConfigurationError(f"unseen_elements: {element!r} is no chemical element.")
        numbers.append(number)
    return numbers


def _join(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
