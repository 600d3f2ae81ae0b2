"""Structural against conformational diversity, at a fixed budget and at fixed molecules."""

from .question import TradeoffConfiguration
from .run import draw_figures, estimate, run_tradeoff

__all__ = ["TradeoffConfiguration", "draw_figures", "estimate", "run_tradeoff"]
