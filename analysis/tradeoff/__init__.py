"""Errors of designs, their intervals and what was learned, from a study's predictions."""

from .measure_relation import BestMeasure, best_measures, relate_measures
from .parity import parity_points
from .predictions import check_predictions
from .results import measure_errors
from .summary import Comparison, DesignError, summarise

__all__ = [
    "BestMeasure",
    "Comparison",
    "DesignError",
    "best_measures",
    "check_predictions",
    "measure_errors",
    "parity_points",
    "relate_measures",
    "summarise",
]
