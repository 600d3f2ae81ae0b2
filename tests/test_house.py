"""The shape of the house: arrows point down, front doors are short, the package is whole."""

import builtins
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = ("diversity", "sampling", "training", "analysis", "studies")


def test_import_contracts_hold():
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("wing", WINGS)
def test_links_are_relative_and_point_to_the_folder(wing):
    link = ROOT / "src" / "breadth" / wing
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / wing


@pytest.mark.parametrize("wing", WINGS)
def test_front_doors_are_one_screen(wing):
    assert len((ROOT / wing / "__init__.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("wing", WINGS)
def test_a_room_is_one_idea(wing):
    for path in (ROOT / wing).rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 420, path
        assert path.stem not in {"utils", "helpers", "common", "misc"}


def test_installed_version_is_the_source_version():
    import breadth

    assert metadata.version("breadth") == breadth.__version__


def test_no_module_shadows_a_builtin():
    # A package's own names would be shadowed with it: `map` in __init__.py, once map.py is loaded.
    found = [path for wing in WINGS for path in (ROOT / wing).rglob("*.py")]
    assert [str(path) for path in found if path.stem in dir(builtins)] == []
