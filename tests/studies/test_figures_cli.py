"""`breadth figures`: what it hands to a study, where files go, and what it refuses."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from breadth.diversity import ConfigurationError
from breadth.studies import catalogue
from breadth.studies.cli.figures import figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path, dict[str, Any]]]:
    """Calls of a study's `draw_figures`: run, folder and options."""
    calls: list[tuple[Path, Path, dict[str, Any]]] = []

    def draw(run: Path, folder: Path, **options: Any) -> list[Path]:
        calls.append((run, folder, options))
        return [folder / "one.pdf"]

    study = SimpleNamespace(draw_figures=draw)
    monkeypatch.setattr(catalogue, "study_named", lambda name: study)
    return calls


def _run(folder: Path, study: str = "refinement") -> Path:
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"study": study}))
    return folder


def test_each_style_and_column_has_its_folder(drawn, tmp_path: Path, capsys) -> None:
    run = _run(tmp_path / "a")
    figures(run, json=True)
    figures(run / "results.nc", style="talk", column="double", format="PNG, svg", json=True)
    assert [call[:2] for call in drawn] == [
        (run, run / "figures"),
        (run, run / "figures" / "double" / "talk"),
    ]
    assert drawn[0][2] == {"column": "single", "style": "paper", "formats": ["pdf", "png"]}
    assert drawn[1][2] == {"column": "double", "style": "talk", "formats": ["png", "svg"]}
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"figures": [str(run / "figures" / "one.pdf")]}
    assert second == {"figures": [str(run / "figures" / "double" / "talk" / "one.pdf")]}


def test_several_studies_have_a_folder_each(drawn, tmp_path: Path, capsys) -> None:
    runs = [_run(tmp_path / "x" / "a"), _run(tmp_path / "x" / "b", "finetuning")]
    figures(*runs, out=tmp_path / "out")
    assert [call[1] for call in drawn] == [tmp_path / "out" / name for name in "ab"]
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / name / "one.pdf") for name in "ab"
    ]
    twin = _run(tmp_path / "y" / "a")
    with pytest.raises(ConfigurationError, match="named 'a'"):
        figures(runs[0], twin, out=tmp_path / "out")
    assert len(drawn) == 2


def test_what_cannot_be_drawn_is_refused_before_anything_is(drawn, tmp_path: Path) -> None:
    runs = [_run(tmp_path / "a"), _run(tmp_path / "b")]
    with pytest.raises(ConfigurationError, match="no format 'gif'"):
        figures(runs[0], format="pdf,gif")
    with pytest.raises(ConfigurationError, match="Name a folder"):
        figures()
    with pytest.raises(ConfigurationError, match="name only one"):
        figures(*runs, predictions=tmp_path / "mace.xyz")
    with pytest.raises(ConfigurationError, match="those of a file"):
        figures(runs[0], name="MACE")
    with pytest.raises(ConfigurationError, match="trade-off study"):
        figures(runs[0], predictions=tmp_path / "mace.xyz")
    with pytest.raises(ConfigurationError, match=r"swept is a sweep.*swept/points/\*"):
        figures(runs[0], _run(tmp_path / "swept", "sweep"))
    assert drawn == []
