"""Detectors of rows unlike those of a reference, with scikit-learn's signs."""

from .base import Detector
from .density import Density
from .mahalanobis import Mahalanobis
from .neighbours import KNearestNeighbours
from .spread import CommitteeVariance, ZScore

__all__ = [
    "CommitteeVariance",
    "Density",
    "Detector",
    "KNearestNeighbours",
    "Mahalanobis",
    "ZScore",
]
