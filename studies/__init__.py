"""The roof: studies, their units and store, the registry of names, and the command line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import STUDIES, Study, study_in, study_named
    from .evaluating import evaluate_predictions, measure_errors
    from .pooling import PoolConfiguration, make_pool
    from .progress import progress_bar
    from .registry import featurizer, label_engine, potential, selector
    from .shifting import shift_sets

#: Names by room. Rooms are entered when a name is first used: the command line comes in through
#: this door too, and sets the number of threads before numeric libraries load.
_ROOMS = {
    "catalogue": ("STUDIES", "Study", "study_in", "study_named"),
    "evaluating": ("evaluate_predictions", "measure_errors"),
    "pooling": ("PoolConfiguration", "make_pool"),
    "progress": ("progress_bar",),
    "registry": ("featurizer", "label_engine", "potential", "selector"),
    "shifting": ("shift_sets",),
}

__all__ = [
    "STUDIES",
    "PoolConfiguration",
    "Study",
    "evaluate_predictions",
    "featurizer",
    "label_engine",
    "make_pool",
    "measure_errors",
    "potential",
    "progress_bar",
    "selector",
    "shift_sets",
    "study_in",
    "study_named",
]


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f".{room}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
