"""Potentials by name. A new one is a file here, a line in `POTENTIALS` and a test class."""

from __future__ import annotations

from typing import Any

from ...diversity.errors import ConfigurationError
from .base import AtomicOutput, Potential, energy_and_forces, energy_forces_stress
from .factorised_painn import FactorisedPaiNN
from .painn import PaiNN
from .schnet import SchNet

POTENTIALS: dict[str, type[Potential]] = {
    "factorised_painn": FactorisedPaiNN,
    "painn": PaiNN,
    "schnet": SchNet,
}


def build_potential(name: str = "factorised_painn", **hyper: Any) -> Potential:
    """Return a fresh potential; its initial weights come from torch's global generator.

    Parameters
    ----------
    name : {'factorised_painn', 'painn', 'schnet'}
    **hyper
        Hyper-parameters of the potential; see the classes.

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


def name_of(potential: Potential) -> str:
    """Return the name under which a potential's kind is registered."""
    for name, kind in POTENTIALS.items():
        if type(potential) is kind:
            return name
    raise TypeError(f"{type(potential).__name__} is not registered in POTENTIALS")


__all__ = [
    "POTENTIALS",
    "AtomicOutput",
    "FactorisedPaiNN",
    "PaiNN",
    "Potential",
    "SchNet",
    "build_potential",
    "energy_and_forces",
    "energy_forces_stress",
    "name_of",
]
