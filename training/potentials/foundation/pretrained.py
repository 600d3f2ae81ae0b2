"""What every universal potential has beside a potential's own: a domain, and pretrained heads."""

from __future__ import annotations

import contextlib
import copy
import importlib
import pickle
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from ....diversity.conformers import ConformerSet
from ....diversity.errors import ConfigurationError, DataError
from ...batches import Batch, Neighbours
from ..base import AtomicOutput, Potential


@dataclass(frozen=True)
class Domain:
    """What a universal potential was made for.

    Parameters
    ----------
    elements : frozenset of int
        Atomic numbers of its training set.
    charges : tuple of int or None
        Total charges that it can treat; None is any.
    periodic : {'any', 'never', 'always'}
        Whether structures may, must not or must be periodic.
    closed_shell : bool
        Whether it is for structures without unpaired electrons. Those trained on crystals, which
        may be magnetic, are not.
    """

    elements: frozenset[int]
    charges: tuple[int, ...] | None
    periodic: Literal["any", "never", "always"] = "any"
    closed_shell: bool = True


class PretrainedPotential(Potential):
    """A universal potential with the weights of its package.

    Heads are copies of the pretrained readout, one for each level, with a scale of 1 eV.
    Reference energies of its own level are the package's atomic shifts, so that total energies
    are the package's; those of other levels are unseen until `set_level`. Neighbours come as
    flat edges at call time, so that potentials cannot be stacked under `vmap`.

    Parameters
    ----------
    cutoff : float
        The model's own, in Å; no other can be asked for.
    levels : sequence of str
    readout : Module
        The pretrained readout, (A, F) features and (A,) atomic numbers to (A,) energies in eV.
        Each level gets a copy.
    n_features : int
    shifts : mapping of int to float
        The package's atomic energies in eV, by atomic number; elements without one have 0.
    """

    #: Level of theory of the pretraining.
    own_level: ClassVar[str]
    #: What it was made for.
    domain: Domain

    def __init__(
        self,
        *,
        cutoff: float,
        levels: Sequence[str],
        readout: nn.Module,
        n_features: int,
        shifts: dict[int, float],
    ) -> None:
        super().__init__(cutoff=cutoff, levels=levels, n_features=n_features)
        self.heads = nn.ModuleList(copy.deepcopy(readout) for _ in self.levels)
        if self.own_level in self.levels:
            elements = sorted(self.domain.elements)
            # Energies of its own level compare between molecules of its elements.
            self.set_level(
                self.own_level,
                references={z: shifts.get(z, 0.0) for z in elements},
                scale=1.0,
                anchored=elements,
            )

    @abstractmethod
    def evaluate(self, batch: Batch, place: int) -> AtomicOutput:
        """Return energies above the references and features, by the head at a place."""

    def atomic(
        self, batch: Batch, cutoff: float | None = None, level: str | None = None
    ) -> AtomicOutput:
        """Return per-atom energies and features; see :meth:`Potential.atomic`.

        Raises
        ------
        ConfigurationError
            If the cutoff is not the model's own.
        """
        if cutoff is not None and abs(cutoff - self.cutoff) > 1e-6:
            raise ConfigurationError(
                f"{type(self).__name__} has a cutoff of {self.cutoff:g} Å, with which it was "
                f"trained; {cutoff:g} Å cannot be asked for."
            )
        return self.evaluate(batch, self.level_index(level))

    forward = atomic

    def represent(self, batch: Batch, pairs: Neighbours, cutoff: float) -> Tensor:
        """Return the features; the model finds its own neighbours."""
        return self.atomic(batch, cutoff).features

    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""
        names = [name for name, _ in self.named_parameters()]
        return sorted(names, key=lambda name: name.startswith("heads."))

    def check(self, conformers: ConformerSet) -> None:
        """Raise where a conformer lies outside of the domain.

        Raises
        ------
        DataError
            With the first such conformer and what is outside: an element, the charge, unpaired
            electrons, or periodicity.
        """
        name, domain = type(self).__name__, self.domain
        known = np.zeros(256, dtype=bool)
        known[list(domain.elements)] = True
        if not (known[conformers.numbers]).all():
            atom = int(np.flatnonzero(~known[conformers.numbers])[0])
            row = int(conformers.atom_conformer[atom])
            symbols = ", ".join(chemical_symbols[z] for z in sorted(domain.elements))
            self._refuse(
                conformers,
                row,
                f"holds {chemical_symbols[int(conformers.numbers[atom])]}, and {name} was "
                f"trained on {symbols if len(domain.elements) < 20 else 'other elements'} alone",
            )
        if domain.charges is not None:
            allowed = ", ".join(f"{charge:+d}" if charge else "0" for charge in domain.charges)
            self._refuse_any(
                ~np.isin(conformers.charge, domain.charges),
                conformers,
                f"has another charge than {name} treats, {allowed}",
            )
        self._refuse_any(
            domain.closed_shell & (conformers.multiplicity != 1),
            conformers,
            f"has unpaired electrons, and {name} is for closed shells",
        )
        if domain.periodic == "never":
            why = f"is periodic, and {name} is for isolated molecules"
            self._refuse_any(conformers.pbc.any(axis=1), conformers, why)
        elif domain.periodic == "always":
            why = (
                f"is not periodic in three directions, and {name} is for crystals and liquids; "
                "put it into a cell"
            )
            self._refuse_any(~conformers.pbc.all(axis=1), conformers, why)

    def _refuse_any(self, bad: Any, conformers: ConformerSet, why: str) -> None:
        if np.any(bad):
            self._refuse(conformers, int(np.flatnonzero(bad)[0]), why)

    def _refuse(self, conformers: ConformerSet, row: int, why: str) -> None:
        source, record = str(conformers.source[row]), int(conformers.record[row])
        place = f" ({source}#{record})" if source else ""
        raise DataError(
            f"Conformer {row}{place}, {conformers.formula(row)}, {why}: leave it out, or choose "
            "another potential."
        )


def package(module: str, name: str) -> ModuleType:
    """Import a package that brings weights.

    Raises
    ------
    ConfigurationError
        If it is not installed; `name` is the potential asked for.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The potential {name!r} needs the package {module.partition('.')[0]!r} "
            f"({error}): pip install 'breadth[foundation]'."
        ) from None


def per_structure(values: Tensor, structure: Tensor, n: int) -> Tensor:
    """Return sums of what atoms carry, (A, …), over their structures, (B, …)."""
    return values.new_zeros(n, *values.shape[1:]).index_add(0, structure, values)


def trusted_load(path: str, name: str) -> object:
    """Unpickle weights of an installed package, or of a file that the user names as trusted.

    A pickle can run any code: never hand over a file from elsewhere.
    """
    with reading(path, name):
        return torch.load(path, map_location="cpu", weights_only=False)


@contextlib.contextmanager
def reading(path: str, name: str) -> Iterator[None]:
    """Tell what is wrong with weights, here or where a package reads its own.

    Raises
    ------
    ConfigurationError
        If they are missing, damaged, or of another version.
    """
    try:
        yield
    except FileNotFoundError:
        raise ConfigurationError(
            f"The weights of {name!r} are missing: {path} is not there."
        ) from None
    except (pickle.UnpicklingError, LookupError, TypeError, ValueError, AttributeError,
            ImportError, EOFError, RuntimeError) as error:  # fmt: skip
        raise ConfigurationError(
            f"The weights of {name!r} in {path} cannot be read: {error}. They are damaged, or of "
            "another version than the package installed."
        ) from error
