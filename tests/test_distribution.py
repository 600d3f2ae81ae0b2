"""What is installed is whole: the wheel holds the package and nothing else; so does the source."""

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = ("diversity", "sampling", "training", "analysis", "studies")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The names in a wheel and in a source distribution, built from this tree, and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    program = (sys.executable, "-m", "hatchling", "build", "-d", str(folder))
    subprocess.run(program, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    with tarfile.open(source) as archive:
        files = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    return names, files, wheel


def test_the_wheel_holds_every_file_of_the_package_and_no_other(built):
    names, _, wheel = built
    ours = {"breadth/__init__.py"} | {
        f"breadth/{path.relative_to(ROOT)}"
        for wing in WINGS
        for path in (ROOT / wing).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".tmp"
    }
    packed = {name for name in names if not name.startswith("breadth-")}
    assert packed == ours
    assert any(name.startswith("breadth/studies/presets/") for name in packed)
    assert any(name.startswith("breadth/sampling/data/") for name in packed)
    assert wheel.stat().st_size < 3e6


def test_the_wheel_has_a_licence_an_entry_point_and_its_extras(built):
    names, _, wheel = built
    (about,) = (name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        licence = archive.read(f"{about}/licenses/LICENSE").decode()
        scripts = archive.read(f"{about}/entry_points.txt").decode()
        told = Parser().parsestr(archive.read(f"{about}/METADATA").decode())
    assert licence == (ROOT / "LICENSE").read_text()
    assert "breadth = breadth.studies.cli.app:main" in scripts
    assert (told["Name"], told["License-Expression"]) == ("breadth", "MIT")
    assert set(told.get_all("Provides-Extra")) >= {"cluster", "explore", "dft", "foundation"}
    # A wheel that is installed from a registry has no address of a repository to fall back on.
    assert not [need for need in told.get_all("Requires-Dist") if "@" in need]


def test_the_source_distribution_builds_the_same_package(built):
    names, files, _ = built
    inside = {name for name in names if name.startswith("breadth/")}
    assert {name.removeprefix("src/") for name in files if name.startswith("src/")} == inside
    assert files >= {"LICENSE", "README.md", "pyproject.toml"}
    assert not [name for name in files if name.startswith(("tests", "runs", "docs", "shared"))]


def test_constraints_pin_what_breadth_needs():
    import tomllib

    from packaging.requirements import Requirement
    from packaging.version import Version

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {name.lower().replace("_", "-").replace(".", "-"): v for name, v in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    wanted += [need for name in extras for need in extras[name] if name != "mace"]
    for need in map(Requirement, wanted):
        if need.name == "breadth":
            continue
        pinned = pins[need.name.lower().replace("_", "-").replace(".", "-")]
        assert need.specifier.contains(pinned, prereleases=True), need
        assert not Version(pinned).local, need  # of one platform
