"""What the documentation shows is there: examples run, commands parse, links lead somewhere."""

import ast
import importlib
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.diversity import DataError, read
from breadth.diversity.formats import FORMATS
from breadth.sampling.testing import SelectorContract
from breadth.studies.cli.app import app
from breadth.training import POTENTIALS
from breadth.training.testing import PotentialContract

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


# -- how to extend --------------------------------------------------------------------------------


@cache
def folder_of_examples() -> Path:
    """Write the files of the page on extending into a folder that Python imports from."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for code in blocks(ROOT / "docs" / "extending.md", "python"):
        if named := re.match(r"# file: (\w+\.py)\n", code):
            (folder / named[1]).write_text(code)
    sys.path.insert(0, str(folder))
    return folder


def example(name: str):
    """Import a file of the page on extending."""
    folder_of_examples()
    return importlib.import_module(name)


class TestPotentialOfThePage(PotentialContract):
    @pytest.fixture(autouse=True)
    def _registered(self, monkeypatch):
        monkeypatch.setitem(POTENTIALS, "pair_sum", example("pair_sum").PairSum)

    def build(self, levels=("default",)):
        return example("test_pair_sum").TestPairSum().build(levels)


class TestSelectorOfThePage(SelectorContract):
    @property
    def selector(self):
        return example("test_outermost").TestOutermost.selector


def test_extending_runs_as_it_stands(tmp_path, monkeypatch):
    folder_of_examples()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(POTENTIALS, "pair_sum", None)
    monkeypatch.setitem(FORMATS, "jsonl", FORMATS["native"])
    # The only thing that the page takes from elsewhere is a study's results.
    monkeypatch.setattr(xr, "open_dataset", lambda *place, **options: _results())
    names: dict = {}
    for code in blocks(ROOT / "docs" / "extending.md", "python"):
        if not code.startswith("# file: "):
            exec(compile(code, "extending.md", "exec"), names)
    assert names["result"].potential.levels == ("repulsion",)
    assert len(names["chosen"]) == 4
    assert names["h2"].labels("fci").energy[0] == pytest.approx(-1.17 * 27.211386, abs=1e-4)
    assert (tmp_path / "spread.pdf").stat().st_size > 1000
    _forces_are_minus_the_gradient(names["pool"].select([0]), example("repulsion").Repulsion())
    Path("bad.jsonl").write_text(
        Path("h2.jsonl").read_text() + '{"symbols": ["H"], "positions": [], "gradient": []}\n'
    )
    with pytest.raises(DataError, match=r"bad\.jsonl: record 1: 1 atoms"):
        read("bad.jsonl")


def _results() -> xr.Dataset:
    errors = np.array([[[0.20, 0.18]], [[0.15, 0.16]]])
    return xr.Dataset(
        {
            "force_mae": (("design", "test_set", "replicate"), errors),
            "n_molecules": ("design", [20, 60]),
            "n_conformers": ("design", [30, 10]),
        },
        coords={"test_set": ["unseen_molecules"]},
    )


def _forces_are_minus_the_gradient(one, engine) -> None:
    from dataclasses import replace

    forces, step = engine(one).forces, 1e-4
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            positions = np.array(one.positions)
            positions[2, axis] += sign * step
            energies.append(engine(replace(one, positions=positions)).energy[0])
        slope = (energies[0] - energies[1]) / (2 * step)
        assert forces[2, axis] == pytest.approx(-slope, abs=1e-6)


# -- every page -----------------------------------------------------------------------------------


def _commands(page: Path) -> list[str]:
    """Return the lines of a page that call breadth, continued ones joined."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [line for line in text.splitlines() if re.match(r"(\S*/)?breadth ", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page):
    for line in _commands(page):
        _, *tokens = shlex.split(line, comments=True)
        app.parse_args(tokens, print_error=False, exit_on_error=False)


def test_a_command_that_does_not_exist_would_be_found():
    with pytest.raises(Exception, match="radiuss"):
        app.parse_args(["refine", "radiuss"], print_error=False, exit_on_error=False)
    assert len(_commands(ROOT / "README.md")) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_imports_exist(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("breadth"):
                module = importlib.import_module(node.module)
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "reference/")):
            continue  # pages of the reference are made by the build, which checks them
        place, _, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        assert there.exists(), target
        if anchor:
            assert anchor in _anchors(there), target


# -- pages that the code writes -------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(ROOT / "docs" / "extensions"))
    try:
        yield importlib.import_module("reference")
    finally:
        sys.path.remove(str(ROOT / "docs" / "extensions"))


def test_every_command_that_takes_keys_has_them_listed(reference):
    pages = {name: reference.command_page(name) for name in reference._commands()}
    takes = {name for name, page in pages.items() if "`--set STR...`" in page}
    # The keys of select are each selector's own, and a sweep's stand in its file.
    assert takes - {"select"} == set(reference.KEYS) - {"sweep"}
    assert all("## Examples" in page for page in pages.values())


def test_defaults_and_presets_stand_in_the_page(reference):
    page = reference.configuration_page("study tradeoff")
    assert "| `fixed_budget.budget` | `600` | Labelled conformers of every design. |" in page
    assert "### `--preset demo`" in page
    assert r"\|ΔE\|" in page  # a bar would end the cell


def test_the_table_of_formats_tells_what_is_written(reference):
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (yes|–) \|", reference.formats_table(), re.M))
    assert rows.keys() == FORMATS.keys()
    assert {name for name, written in rows.items() if written == "yes"} == {
        *("native", "rmd17", "ase", "extxyz")
    }


def test_equations_become_mathml():
    docutils = pytest.importorskip("docutils.utils.math.latex2mathml")
    page = (ROOT / "docs" / "concepts.md").read_text()
    for equation in re.findall(r"\$\$\n(.*?)\n\$\$", page, re.DOTALL):
        assert docutils.tex2mathml(equation, as_block=True).startswith("<math")
