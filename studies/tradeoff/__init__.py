"""Structural against conformational diversity, at a fixed budget and at fixed molecules."""

from .outside import add_outside, with_outside
from .question import TradeoffConfiguration
from .run import check, draw_figures, estimate, run_tradeoff

__all__ = [
    "TradeoffConfiguration",
    "add_outside",
    "check",
    "draw_figures",
    "estimate",
    "run_tradeoff",
    "with_outside",
]
