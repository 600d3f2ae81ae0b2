"""How to spend labels: response surfaces of a pilot, and the best molecules × conformers."""

from .answers import Advice, Alternative, ExpectedError
from .choosing import advise, candidates
from .cost import Cost
from .forms import EXPONENTS, FORMS, Fit, Form, fit_form
from .growing import Growth, advise_growth
from .support import reasons_against
from .surfaces import Cells, Surface, fit_surfaces, folds, read_cells

__all__ = [
    "EXPONENTS",
    "FORMS",
    "Advice",
    "Alternative",
    "Cells",
    "Cost",
    "ExpectedError",
    "Fit",
    "Form",
    "Growth",
    "Surface",
    "advise",
    "advise_growth",
    "candidates",
    "fit_form",
    "fit_surfaces",
    "folds",
    "read_cells",
    "reasons_against",
]
