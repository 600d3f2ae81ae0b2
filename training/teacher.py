"""A potential as an engine of labels: a teacher, whose labels are predictions and no reference."""

from __future__ import annotations

from ..diversity.conformers import ConformerSet
from ..diversity.tables import Labels
from .potentials import Potential
from .prediction import predict


class Teacher:
    """A label engine that predicts with a potential, at the first of its levels.

    What learns from it can become as good as the teacher and no better, so its level of theory is
    called after it.

    Parameters
    ----------
    potential : Potential
    name : str
        Of the level of theory, such as ``model:sevennet-0``.
    """

    #: Energies of isolated atoms are no strength of a potential.
    has_atoms = False

    def __init__(self, potential: Potential, name: str) -> None:
        self.potential, self._name = potential, name

    @property
    def name(self) -> str:
        """The level of theory."""
        return self._name

    def __call__(self, conformers: ConformerSet) -> Labels:
        """Return energies and forces of all conformers.

        Raises
        ------
        DataError
            If the potential was not made for one of them.
        """
        return predict(self.potential, conformers)
