"""Names to objects: the only place where a wing's parts get their names."""

from __future__ import annotations

import importlib
from typing import Any

from ..diversity import ConfigurationError, LabelEngine

#: Label engines by level of theory.
LABEL_ENGINES: dict[str, str] = {
    "gfn2": "breadth.sampling.engines:Gfn2",
    "gfn1": "breadth.sampling.engines:Gfn1",
    "mmff94": "breadth.sampling.engines:Mmff94",
    "uff": "breadth.sampling.engines:Uff",
}


def resolve(path: str) -> Any:
    """Import what ``module:name`` points to."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def label_engine(name: str) -> LabelEngine:
    """Return a new label engine.

    Raises
    ------
    ConfigurationError
        If there is none of this name.
    """
    if name not in LABEL_ENGINES:
        known = ", ".join(LABEL_ENGINES)
        raise ConfigurationError(f"There is no label engine {name!r}. Label engines: {known}.")
    engine: LabelEngine = resolve(LABEL_ENGINES[name])()
    return engine
