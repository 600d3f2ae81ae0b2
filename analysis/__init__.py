"""From predictions to errors, intervals, what was learned, and figures."""

from .advice import Advice, Cost, advise
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
    "Advice",
    "BestMeasure",
    "Comparison",
    "Cost",
    "DesignError",
    "advise",
    "best_measures",
    "check_predictions",
    "measure_errors",
    "parity_points",
    "relate_measures",
    "relation_table",
    "summarise",
]
