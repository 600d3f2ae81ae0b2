"""Shift between sets, of structures and of systems, from arrays."""

from .between import MEASURES, available, hold_out_quantile, shift, structure_shift, system_scores
from .structure_rows import StructureRows

__all__ = [
    "MEASURES",
    "StructureRows",
    "available",
    "hold_out_quantile",
    "shift",
    "structure_shift",
    "system_scores",
]
