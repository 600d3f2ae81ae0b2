"""Potentials by name. A new one is a file here, a line in `POTENTIALS` and a test class."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from ...diversity.errors import ConfigurationError
from .base import AtomicOutput, Potential, energy_and_forces, energy_forces_stress
from .factorised_painn import FactorisedPaiNN
from .painn import PaiNN
from .schnet import SchNet
from .tensornet import TensorNet

POTENTIALS: dict[str, type[Potential]] = {
    "factorised_painn": FactorisedPaiNN,
    "painn": PaiNN,
    "schnet": SchNet,
    "tensornet": TensorNet,
}

#: Universal potentials with pretrained weights, imported only when one is built.
PRETRAINED: dict[str, str] = {
    "chgnet": ".foundation.chgnet:CHGNet",
    "mace": ".foundation.mace:MACE",
    "sevennet-0": ".foundation.sevennet:SevenNet",
    "so3lr": ".foundation.so3lr:SO3LR",
}


def kind_of(name: str) -> type[Potential]:
    """Return the class of a potential by its name.

    Raises
    ------
    ConfigurationError
        If there is none of this name.
    """
    if name in PRETRAINED:
        module, _, kind = PRETRAINED[name].partition(":")
        found: type[Potential] = getattr(importlib.import_module(module, __package__), kind)
        return found
    if name not in POTENTIALS:
        raise ConfigurationError(
            f"There is no potential {name!r}; choose from {', '.join(sorted(POTENTIALS))}, or of "
            f"the pretrained {', '.join(sorted(PRETRAINED))}."
        )
    return POTENTIALS[name]


def build_potential(name: str = "factorised_painn", **hyper: Any) -> Potential:
    """Return a potential: fresh, or pretrained where it is a universal one.

    Initial weights of a fresh one come from torch's global generator.

    Parameters
    ----------
    name : {'factorised_painn', 'painn', 'schnet', 'tensornet', 'so3lr', 'sevennet-0',
        'chgnet', 'mace'}
    **hyper
        Hyper-parameters of the potential; see the classes.

    Raises
    ------
    ConfigurationError
        If the name or a hyper-parameter is not known, or the package with a universal
        potential's weights is not installed.
    """
    kind = kind_of(name)
    known = kind.defaults()
    for key in hyper:
        if key not in known:
            raise ConfigurationError(
                f"The potential {name!r} has no option {key!r}; it has {', '.join(known)}."
            )
    if name not in PRETRAINED:
        return kind(**hyper)
    with torch.random.fork_rng(devices=[]):  # packages draw weights that they then overwrite
        return kind(**hyper)


def name_of(potential: Potential) -> str:
    """Return the name under which a potential's kind is registered."""
    kind = type(potential)
    for name, known in POTENTIALS.items():
        if kind is known:
            return name
    for name, place in PRETRAINED.items():
        if f"{kind.__module__}:{kind.__name__}" == f"{__name__}{place}":
            return name
    raise TypeError(f"{kind.__name__} is not registered in POTENTIALS")


__all__ = [
    "POTENTIALS",
    "PRETRAINED",
    "AtomicOutput",
    "FactorisedPaiNN",
    "PaiNN",
    "Potential",
    "SchNet",
    "TensorNet",
    "build_potential",
    "energy_and_forces",
    "energy_forces_stress",
    "kind_of",
    "name_of",
]
