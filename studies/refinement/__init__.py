"""Distribution shift and test-time refinement: what fails, and how much of it can be won back."""

from .estimating import estimate
from .question import RefinementConfiguration
from .run import check, draw_figures, run_refinement

__all__ = ["RefinementConfiguration", "check", "draw_figures", "estimate", "run_refinement"]
