"""A figure that notebooks show as it is: no magic line, no state of pyplot."""

from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

_PIXELS = 130
"""Of a notebook for an inch of a paper's figure: 7 pt are then as large as the text around."""
_DENSITY = 2
"""Pixels of the picture for each of the notebook's: screens show finer ones than they say."""
_WIDEST = 910
"""Pixels that a page leaves: a slide is shown smaller."""


class InlineFigure(Figure):
    """A figure that shows itself at the end of a notebook's cell, on white in any theme."""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        from .style import styled  # which makes these

        width = min(round(_PIXELS * self.get_figwidth()), _WIDEST)
        drawn = BytesIO()
        with styled():
            self.savefig(drawn, format="png", dpi=_DENSITY * width / self.get_figwidth())
        return drawn.getvalue(), {"width": width}
