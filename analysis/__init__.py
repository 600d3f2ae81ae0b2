"""From predictions to errors, intervals, what was learned, and figures."""

from .relation import relation_table
from .tradeoff import (
    BestMeasure,
    Comparison,
    DesignError,
    best_measures,
    check_predictions,
    measure_errors,
    parity_points,
    relate_measures,
    summarise,
)

__all__ = [
    "BestMeasure",
    "Comparison",
    "DesignError",
    "best_measures",
    "check_predictions",
    "measure_errors",
    "parity_points",
    "relate_measures",
    "relation_table",
    "summarise",
]
