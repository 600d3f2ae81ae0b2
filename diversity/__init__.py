"""The ground: what a labelled set of conformers is, its files, shared kernels and measures."""

from .concat import concat
from .conformers import ConformerSet, Extra, Labels, Molecules
from .errors import BreadthError, ConfigurationError, DataError, ShortageError
from .protocols import Featurizer, LabelEngine, Observer, SetAside, Verdict

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
]
