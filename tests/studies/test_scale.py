"""What the page on large sets shows runs as it stands, shard by shard."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from breadth.diversity import read
from breadth.diversity.formats import native
from breadth.sampling import bundled_molecules, sample_geometries
from breadth.training import build_potential, load_potential, predict, save_potential

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
RECIPES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder with a native set of three shards, `large`, and a potential."""
    folder = tmp_path_factory.mktemp("scale")
    conformers, _ = sample_geometries(bundled_molecules()[:6], n_conformers=8, seed=0)
    for chunk in conformers.iter_chunks(20):
        native.append(folder / "large", chunk)
    torch.manual_seed(0)
    save_potential(folder / "models/mine", build_potential(n_features=8, levels=("mine",)))
    return folder


def run(recipe, smaller=None):
    """Run the recipe that writes a folder, at a size that fits."""
    (code,) = (code for code in RECIPES if f'"{recipe}"' in code)
    for shown, here in (smaller or {}).items():
        assert shown in code
        code = code.replace(shown, here)
    exec(compile(code, f"{PAGE}: {recipe}", "exec"), {})
    return read(recipe)


def test_a_set_is_predicted_shard_by_shard(large, monkeypatch):
    monkeypatch.chdir(large)
    found, whole = run("predicted"), read("large")
    assert found.id.tolist() == whole.id.tolist()
    potential, _ = load_potential("models/mine")
    expected = predict(potential, whole).forces
    np.testing.assert_allclose(found.labels("mine").forces, expected, atol=1e-4)


def test_a_random_part_has_its_share_of_every_shard(large, monkeypatch):
    monkeypatch.chdir(large)
    part = run("part", {"100_000": "24"})
    whole = read("large")
    assert len(set(part.id)) == 24
    assert np.isin(part.id, whole.id).all()
    shares = [np.isin(shard.id, part.id).sum() for shard in native.open_native("large")]
    assert shares == [10, 10, 4]


def test_a_choice_is_made_in_two_stages(large, monkeypatch):
    monkeypatch.chdir(large)
    chosen = run("chosen", {"1_000": "5"})
    assert len(set(chosen.id)) == 5
    assert np.isin(chosen.id, read("large").id).all()
