"""How shift, error and gain go together over systems, and how far errors can be bounded."""

from .conformal import ConformalBound
from .correlation import relate
from .risk import detect_failures
from .table import best_foresight, relation_table

__all__ = [
    "ConformalBound",
    "best_foresight",
    "detect_failures",
    "relate",
    "relation_table",
]
