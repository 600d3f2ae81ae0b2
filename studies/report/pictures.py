"""The figures of a run as pictures inside the page, each with words for those who see none."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from ...diversity import DataError
from ...diversity.html import words
from .blocks import Picture
from .opening import Run

#: Pixels of a figure for each pixel of the page: sharp on screens of twice the resolution.
_DENSITY = 2.0
#: Greatest width of a picture, in pixels of the page.
_WIDEST = 860

#: What each figure shows; one whose name ends in an experiment or a test run is found by its start.
CAPTIONS: Mapping[str, str] = {
    "error_against_molecules": "Error on each test set over the number of training molecules, at a "
    "fixed number of labels.",
    "error_against_conformers": "Error on each test set over conformations per molecule, the "
    "molecules being the same.",
    "error_surface": "Error over molecules and conformations per molecule, with lines of equal "
    "cost.",
    "selectors": "Force error of each selector less that of random choice, paired, with intervals.",
    "map": "The designs on the plane of molecules and conformations, coloured by force error, with "
    "published sets.",
    "measures": "Rank correlation of measures of the training sets with the error.",
    "parity": "Predicted against reference energies and forces.",
    "pool": "Sizes, flexibility, forces and elements of the pool.",
    "training_curves": "Force error on monitored structures over the updates of every fit.",
    "breadth": "Error, shift and gain over the number of training molecules at a fixed budget.",
    "gain_against_shift": "What each method wins over how far out the systems lie.",
    "error_with_refinement": "Distribution of force errors over systems out of distribution, "
    "method by method.",
    "error_against_shift": "Error without refinement over each measure of shift.",
    "error_bins": "Error over force norm and over the spectrum of the molecular graph.",
    "fine_tuning": "Error after fine-tuning on n labelled structures, against methods that need "
    "none.",
    "spectra": "Eigenvalues of graph Laplacians of training and test structures.",
    "surfaces": "Potential energy over displacements along two eigenvectors: the reference and "
    "each model.",
    "dynamics": "Temperature of runs over time, and how long each stayed stable.",
    "distances": "Distribution of interatomic distances in runs, against the reference's.",
    "foresight": "How measures known beforehand go with the errors.",
    "frame_foresight": "How scores of a frame go with the error of its energy.",
    "applicability": "Error of the systems that are kept by their shift, and how often promised "
    "bounds held.",
    "energy_residuals": "Energy residuals of every model on its own run.",
    "energy_histograms": "Reference energies of each run, with the residuals of each bin.",
    "errors": "Force error as the training sets grow, and how long runs lasted.",
    "cross_tests": "Error of each way's last model on the runs of every way.",
    "arm_differences": "By how much the last models of two ways differ, pair by pair.",
    "element_errors": "Force error of each element.",
    "forgetting": "How far models move away from the universal one on other molecules.",
    "coverage": "Force error against what the training set covers.",
    "force_parity": "Predicted against reference force components.",
    "risk_coverage": "Error of the atoms that are kept when those of high scores are left out.",
    "components": "Frames of each way's sets among two principal components, and what they span.",
}


class Gallery:
    """The figures of a run, each given out once.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        folder = run.root / "figures"
        self._paths = {path.stem: path for path in sorted(folder.glob("*.png"))}
        wide = folder / "double"
        self._paths |= {p.stem: p for p in sorted(wide.glob("*.png")) if p.stem in self._paths}

    def take(self, *names: str) -> list[Picture]:
        """Return the figures of these names, or whose names start so; none that is not there."""
        found = []
        for name in names:
            for stem in [s for s in self._paths if s == name or s.startswith(f"{name}_")]:
                if _caption(stem)[0] == name:
                    found.append(picture(self._paths.pop(stem)))
        return found

    def take_of(self, ending: str, *names: str) -> list[Picture]:
        """Return the figures of these names that end so, such as in an experiment."""
        stems = [f"{name}_{ending}" for name in names]
        return [picture(self._paths.pop(stem)) for stem in stems if stem in self._paths]

    def rest(self) -> list[Picture]:
        """Return all figures that nobody took."""
        found = [picture(path) for path in self._paths.values()]
        self._paths.clear()
        return found


def picture(path: Path) -> Picture:
    """Return a PNG file as a picture, its colours in a palette: a third of the bytes.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    name, caption = _caption(path.stem)
    of = words(path.stem.removeprefix(name).strip("_"))
    content = BytesIO()
    try:
        with Image.open(path) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(content, "PNG")
            size = image.size
    except (OSError, SyntaxError, ValueError) as error:
        wide = path.parent.name == "double"
        again = f"{path.parents[2]} --column double" if wide else path.parents[1]
        raise DataError(
            f"{path} is damaged ({error}). Draw it again with breadth figures {again}."
        ) from None
    width = min(_WIDEST, round(size[0] / _DENSITY))
    table = path.with_suffix(".csv")
    numbers = f" Its numbers stand in {table.name} beside its file." if table.exists() else ""
    return Picture(
        source=f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}",
        alt=f"Figure {words(path.stem)}: {caption}{numbers}",
        caption=f"{caption}{f' Here: {of}.' if of else ''}",
        width=width,
        height=round(width * size[1] / size[0]),
    )


def _caption(stem: str) -> tuple[str, str]:
    """Return the name of a figure without its ending, and what it shows."""
    starts = [n for n in CAPTIONS if stem == n or stem.startswith(f"{n}_")]
    name = max(starts, key=len, default=stem)
    return name, CAPTIONS.get(name, f"{words(stem).capitalize()}.")
