"""A report as one HTML page: no script, no request, light and dark, narrow, wide and printed."""

from __future__ import annotations

import math
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from .blocks import Change, Report

#: Width and height of the drawing of an interval, in its own units.
_WIDTH, _HEIGHT = 120.0, 14.0


def report_page(report: Report) -> str:
    """Return the page of a report, whole.

    All texts are escaped: names of molecules and files come from outside.
    """
    return _template().render(report=report)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = anchor
    environment.globals["drawn"] = drawn
    return environment.get_template("page.html.jinja")


def anchor(title: str) -> str:
    """Return what a link to a section calls it.

    >>> anchor("What was asked")
    'what-was-asked'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def drawn(change: Change, reach: float) -> dict[str, float]:
    """Return where a drawing of an interval has its ends, its value and zero.

    Parameters
    ----------
    change : Change
    reach : float
        Half the width of the scale.
    """

    def place(value: float) -> float:
        # What lies beyond the scale runs into its edge.
        return round(_WIDTH / 2 * (1 + max(-1.0, min(1.0, value / reach))), 2)

    known = math.isfinite(change.value)
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "zero": _WIDTH / 2,
        "middle": _HEIGHT / 2,
        "value": place(change.value) if known else -9.0,
        "lower": place(change.lower) if change.known else -9.0,
        "upper": place(change.upper) if change.known else -9.0,
    }
