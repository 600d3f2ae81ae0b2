"""Detectors of rows unlike those of a reference, with scikit-learn's signs."""

from .base import Detector
from .density import Density
from .last_layer import LastLayer
from .mahalanobis import Mahalanobis
from .neighbours import KNearestNeighbours
from .principal import PrincipalComponents
from .residuals import HotellingT2, QResidual
from .spread import CommitteeVariance, ZScore

__all__ = [
    "CommitteeVariance",
    "Density",
    "Detector",
    "HotellingT2",
    "KNearestNeighbours",
    "LastLayer",
    "Mahalanobis",
    "PrincipalComponents",
    "QResidual",
    "ZScore",
]
