"""Selectors: which rows of a table to take, by distance, cluster, leverage, entropy or label."""

from .base import LEVELS, Random, Selector, round_robin
from .clusters import Direct
from .distances import FarthestPoint, ForceFarthestPoint, KennardStone, KMedoids
from .farthest import farthest
from .fingerprints import Butina, MaxMin
from .information import Cur, EntropyGreedy
from .strata import Boltzmann, DiverseMinima, EnergyStrata, ForceStrata, Scaffold

__all__ = [
    "LEVELS",
    "Boltzmann",
    "Butina",
    "Cur",
    "Direct",
    "DiverseMinima",
    "EnergyStrata",
    "EntropyGreedy",
    "FarthestPoint",
    "ForceFarthestPoint",
    "ForceStrata",
    "KMedoids",
    "KennardStone",
    "MaxMin",
    "Random",
    "Scaffold",
    "Selector",
    "farthest",
    "round_robin",
]
