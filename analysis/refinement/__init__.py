"""What refinement wins back: errors, gains and intervals from a study's predictions."""

from .errors import refinement_errors
from .groups import group_means
from .layout import check_refinement

__all__ = ["check_refinement", "group_means", "refinement_errors"]
