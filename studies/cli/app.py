"""`breadth`: commands by group, each group imported only when one of its commands is used."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Annotated

from cyclopts import App, Parameter

from ... import __version__
from .commands import COMMANDS, RESUMED
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
    suppress_keyboard_interrupt=False,  # `launch` says what is kept
)
study = App(name="study", help="Run a study: designs, fits, evaluations and figures.")
refine = App(name="refine", help="Refine a potential for systems unlike those that it learnt.")
jobs = App(name="jobs", help="Label by programs that run elsewhere: write inputs, collect results.")

#: Commands that stand in a group; all others stand by themselves.
GROUPS = {
    "tradeoff": study,
    "refinement": study,
    "finetuning": study,
    "test-time": refine,
    "radius": refine,
    "write": jobs,
    "collect": jobs,
}

for name, (module, text) in COMMANDS.items():
    place = f"{__package__}.{module}" if ":" in module else f"{__package__}.{module}:{name}"
    GROUPS.get(name, app).command(place, name=name, help=inspect.cleandoc(text))
app.command(jobs)
app.command(refine)
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
        fail(_stopped(tokens), 130)
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


def _stopped(tokens: tuple[str, ...]) -> str:
    """Say what is left of a command that was interrupted."""
    words = [token for token in tokens if not token.startswith("-")]
    if not RESUMED.isdisjoint(words[1:2] if words[:1] == ["study"] else words[:1]):
        return "Stopped. What was finished is kept; the same command goes on from there."
    return "Stopped. The same command starts again from the beginning."


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
