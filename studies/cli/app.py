"""`breadth`: commands by group, each group imported only when one of its commands is used."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from cyclopts import App, Parameter

from ... import __version__
from .console import fail

# Read by numeric libraries when they load: one thread unless the user says otherwise, since worker
# processes fill the cores and tblite slows down with more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

app = App(
    name="breadth",
    help="Measure and design the training data of machine-learned interatomic potentials.",
    help_epilogue="Start with: breadth study tradeoff --preset smoke --out runs/smoke",
    version=__version__,
    result_action="return_value",
)
study = App(name="study", help="Run a study: designs, fits, evaluations and figures.")

_here = __package__
for name, module, help_text in (
    ("pool", "pool", "Generate geometries of molecules and label them."),
    ("convert", "data", "Convert a data set from one format to another."),
    ("describe", "data", "Say what is in a data set."),
    ("design", "pool", "Choose a training set of exact size: molecules × conformers."),
    ("train", "potentials", "Fit a potential."),
    ("evaluate", "potentials", "Measure a potential's errors on a data set."),
    ("figures", "study", "Draw the figures of a finished study again."),
):
    app.command(f"{_here}.{module}:{name}", name=name, help=help_text)
study.command(
    f"{_here}.study:tradeoff",
    name="tradeoff",
    help="Structural against conformational diversity, at fixed budget and at fixed molecules.",
)
app.command(study)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)], debug: bool = False
) -> None:
    """Run a command.

    Parameters
    ----------
    debug
        Show the traceback of an error.
    """
    from ...diversity.errors import BreadthError

    try:
        app(tokens)
    except KeyboardInterrupt:
        fail("Stopped. What was finished is kept; the same command goes on from there.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (BreadthError, OSError, MemoryError) as error:
        if debug:
            raise
        fail(str(error) if isinstance(error, BreadthError) else _plain(error))
    except Exception as error:
        if debug:
            raise
        fail(
            f"Something went wrong that breadth did not foresee: {type(error).__name__}: {error}. "
            "Run the command again with --debug to see where, and please report it."
        )


def _plain(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "The machine's memory does not suffice. Use a smaller set, batch or worker count."
    name = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or str(error)
    return f"{name}: {reason}." if name else f"{reason}."


def main() -> None:
    """Entry point of the `breadth` script."""
    app.meta()


if __name__ == "__main__":
    main()
