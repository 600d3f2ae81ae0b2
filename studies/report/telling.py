"""What tells of the results of each study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import xarray as xr

from . import finetuning, refinement, tradeoff
from .blocks import Block, Cell, Section
from .opening import Run
from .pictures import Gallery


class Telling(Protocol):
    """A module that makes the sections of a study's report."""

    TITLE: str

    def facts(self, run: Run, results: xr.Dataset) -> list[tuple[str, str]]:
        """Return the few numbers that stand at the top."""

    def glance(self, run: Run, results: xr.Dataset) -> list[Block]:
        """Return in sentences what was found."""

    def headline(self, run: Run, results: xr.Dataset) -> Mapping[str, dict[str, Cell]]:
        """Return the first numbers by caption, as a sweep sets them beside those of others."""

    def data_section(self, run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
        """Return where the data come from, and what is in them."""

    def designs_section(self, run: Run, results: xr.Dataset) -> Section:
        """Return what was compared."""

    def results_section(self, run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
        """Return what was measured, with intervals, and figures."""

    def warnings(self, results: xr.Dataset) -> list[Block]:
        """Return what to know before the numbers are believed."""


TOLD: dict[str, Telling] = {
    "tradeoff": tradeoff,
    "refinement": refinement,
    "finetuning": finetuning,
}
