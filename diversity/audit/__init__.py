"""The audit of labelled sets: what is wrong with a file, and what files share.

Each check is a function from a set to a dict; none changes the set, and a record that a check
cannot judge is not blamed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..conformers import ConformerSet
from .findings import Entries
from .frames import energy_forces, near_duplicates
from .labels import missing_labels, net_force, net_torque
from .leakage import leakage
from .outliers import energy_outliers
from .states import changed_bonds, exact_duplicates, spin_parity
from .torsional import torsional_regions
from .units import guessed_units

__all__ = ["CHECKS", "audit", "leakage", "torsional_regions"]

#: The checks, in the order of their entries; one may make two entries.
CHECKS: tuple[Callable[[ConformerSet], Any], ...] = (
    missing_labels,
    guessed_units,
    energy_outliers,
    energy_forces,
    net_force,
    net_torque,
    exact_duplicates,
    near_duplicates,
    spin_parity,
    changed_bonds,
)


def audit(conformers: ConformerSet, *, progress: Callable[[str], None] | None = None) -> Entries:
    """Check a set for faults of labels, geometries and states.

    Parameters
    ----------
    conformers : ConformerSet
    progress : callable, optional
        Called with the name of each check before it starts.

    Returns
    -------
    Entries
        A list of dictionaries that notebooks show as a table. An entry for each check, as
        :func:`breadth.diversity.audit.findings.report` makes it: ``missing_labels``, ``units``,
        ``energy_outliers``, ``energy_forces``, ``net_force``, ``net_torque``, ``exact_duplicates``,
        ``near_duplicates``, ``conflicting_labels``, ``spin_parity``, ``changed_bonds``.
    """
    tell = progress or (lambda check: None)
    entries = Entries()
    for check in CHECKS:
        tell(check.__name__.replace("_", " "))
        made = check(conformers)
        entries += made if isinstance(made, tuple) else [made]
    return entries
