"""A notebook stands in two files: a script that is checked, and a notebook without outputs."""

from pathlib import Path

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(NOTEBOOKS.glob("[0-9]*.py"))


def test_there_are_notebooks_and_every_one_is_a_pair():
    assert len(SCRIPTS) >= 5
    assert [s.stem for s in SCRIPTS] == sorted(n.stem for n in NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_both_of_a_pair_have_the_same_cells(script):
    """Put them in step again by: jupytext --sync notebooks/*.py."""
    cells = [
        [(cell.cell_type, cell.source) for cell in notebook.cells]
        for notebook in (jupytext.read(script), nbformat.read(script.with_suffix(".ipynb"), 4))
    ]
    assert cells[0] == cells[1]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_outputs_are_not_committed(script):
    notebook = nbformat.read(script.with_suffix(".ipynb"), 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_notebook_tells_a_story(script):
    cells = jupytext.read(script).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    # No more than two cells of code without a sentence between.
    kinds = [cell.cell_type for cell in cells]
    assert all("markdown" in kinds[i : i + 3] for i in range(len(kinds) - 2))
