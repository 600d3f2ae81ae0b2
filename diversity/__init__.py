"""The ground: what a labelled set of conformers is, its files, shared kernels and measures."""

from .concat import concat
from .conformers import ConformerSet
from .errors import BreadthError, ConfigurationError, DataError, ShortageError
from .formats import read, write
from .protocols import Featurizer, LabelEngine, Observer, SetAside, Verdict
from .tables import Extra, Labels, Molecules

__all__ = [
    "BreadthError",
    "ConfigurationError",
    "ConformerSet",
    "DataError",
    "Extra",
    "Featurizer",
    "LabelEngine",
    "Labels",
    "Molecules",
    "Observer",
    "SetAside",
    "ShortageError",
    "Verdict",
    "concat",
    "read",
    "write",
]
