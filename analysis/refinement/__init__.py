"""What refinement wins back: errors, gains and intervals from a study's predictions."""

from .breadth import LeftToWin, left_to_win
from .errors import refinement_errors
from .fine_tuning import labels_needed
from .groups import group_means
from .layout import check_refinement
from .scores import error_by_score, error_in_and_out, with_scores

__all__ = [
    "LeftToWin",
    "check_refinement",
    "error_by_score",
    "error_in_and_out",
    "group_means",
    "labels_needed",
    "left_to_win",
    "refinement_errors",
    "with_scores",
]
