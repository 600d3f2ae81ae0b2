"""Potentials by name. A new one is a file here, a line in `POTENTIALS` and a test class."""

from __future__ import annotations

from typing import Any

from ...diversity.errors import ConfigurationError
from .base import AtomicOutput, Potential, energy_and_forces, energy_forces_stress
from .painn import PaiNN
from .schnet import SchNet

POTENTIALS: dict[str, type[Potential]] = {"painn": PaiNN, "schnet": SchNet}


def build_potential(name: str = "painn", **hyper: Any) -> Potential:
    """Return a fresh potential; its initial weights come from torch's global generator.

    Parameters
    ----------
    name : {'painn', 'schnet'}
    **hyper
        Hyper-parameters of the potential; see :class:`PaiNN` and :class:`SchNet`.

    Raises
    ------
    ConfigurationError
        If the name or a hyper-parameter is not known.
    """
    if name not in POTENTIALS:
        raise ConfigurationError(
            f"There is no potential {name!r}; choose from {', '.join(sorted(POTENTIALS))}."
        )
    known = POTENTIALS[name].defaults()
    for key in hyper:
        if key not in known:
            raise ConfigurationError(
                f"The potential {name!r} has no option {key!r}; it has {', '.join(known)}."
            )
    return POTENTIALS[name](**hyper)


__all__ = [
    "POTENTIALS",
    "AtomicOutput",
    "PaiNN",
    "Potential",
    "SchNet",
    "build_potential",
    "energy_and_forces",
    "energy_forces_stress",
]
