"""Universal potentials: weights from the packages that publish them, one file for each."""

from .edges import Edges, edges
from .pretrained import Domain, PretrainedPotential

__all__ = ["Domain", "Edges", "PretrainedPotential", "edges"]
