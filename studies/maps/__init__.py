"""Maps of data sets: points, where they stand, the figure and the page."""

from .drawing import draw_map
from .mapping import map_sets

__all__ = ["draw_map", "map_sets"]
