"""Measures of a set: between molecules, within molecules, of environments, and their partition."""

from .conformational import conformational_measures
from .environments import compare_environments, environment_measures
from .measure import compare, measure
from .partition import bandwidth_curve, partition
from .rarefaction import rarefied, rarefied_partition
from .structural import structural_measures

__all__ = [
    "bandwidth_curve",
    "compare",
    "compare_environments",
    "conformational_measures",
    "environment_measures",
    "measure",
    "partition",
    "rarefied",
    "rarefied_partition",
    "structural_measures",
]
