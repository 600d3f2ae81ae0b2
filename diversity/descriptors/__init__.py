"""Descriptors of atomic environments, and the bandwidth at which to compare them."""

from .bandwidth import bandwidth_for, displacement_bandwidth
from .compact import CompactDescriptor
from .rows import (
    atomic_features,
    bound,
    feature_chunks,
    some_features,
    structure_chunks,
    structure_features,
)
from .soap import SoapDescriptor

__all__ = [
    "CompactDescriptor",
    "SoapDescriptor",
    "atomic_features",
    "bandwidth_for",
    "bound",
    "displacement_bandwidth",
    "feature_chunks",
    "some_features",
    "structure_chunks",
    "structure_features",
]
