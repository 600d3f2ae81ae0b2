"""From predictions to errors, intervals, what was learned, and figures."""

from .parity import parity_points
from .predictions import check_predictions
from .results import measure_errors
from .summary import Comparison, DesignError, summarise

__all__ = [
    "Comparison",
    "DesignError",
    "check_predictions",
    "measure_errors",
    "parity_points",
    "summarise",
]
