"""Sphinx configuration: `make docs` builds the site from these pages and from the code itself."""

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sphinx.application import Sphinx

import breadth
import breadth.studies

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
# This door enters its rooms when a name is first used, and autodoc asks only what is there.
vars(breadth.studies).update({n: getattr(breadth.studies, n) for n in breadth.studies.__all__})

project = "breadth"
release = version = breadth.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "equations",
    "figures",
    "reference",
]
exclude_patterns = ["_build", "extensions"]

myst_enable_extensions = ["deflist", "dollarmath"]
# Sections are linked as GitHub links them: `measures.md#the-partition`.
myst_heading_anchors = 4

# Names in single backticks are code, and links where the reference has an object of this name.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections tell types and shapes
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "breadth"
html_show_sphinx = False
html_show_copyright = False  # nor any date: equal sources make equal pages
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"


def _is_left_out(
    sphinx: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members that every estimator, configuration or named tuple has."""
    routing = (name.startswith("set_") and name.endswith("_request")) or name == "model_config"
    unsaid = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    return True if routing or unsaid else None


def _signature(
    sphinx: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Leave out the signature of a configuration: every default of every section stands in it."""
    return ("", "") if isinstance(obj, type) and issubclass(obj, BaseModel) else None


def _bars_are_bars(
    sphinx: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Keep |ΔE| what it is: between bars reStructuredText looks for a substitution."""
    lines[:] = [re.sub(r"(?<![\w`|\\])\|(?=[^\s|`][^|`]*\|)", r"\\|", line) for line in lines]


def setup(sphinx: Sphinx) -> None:
    """Connect what chooses and mends the members of the Python reference."""
    sphinx.connect("autodoc-skip-member", _is_left_out)
    sphinx.connect("autodoc-process-signature", _signature)
    sphinx.connect("autodoc-process-docstring", _bars_are_bars)
