"""Maps of sets: what a point is, samples, labels, files, refusals."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from ase.build import molecule as ase_molecule
from ase.calculators.singlepoint import SinglePointCalculator

from breadth.diversity import ConfigurationError, ConformerSet, DataError, write
from breadth.diversity.descriptors import CompactDescriptor, SoapDescriptor, atomic_features
from breadth.studies.comparing import set_names
from breadth.studies.maps import draw_map, map_sets
from breadth.studies.maps.points import choose, point_features

NAMES = ("CH3CH2OH", "CH3OCH3", "H3CNH2")


def make_set(
    names: tuple[str, ...] = NAMES, n: int = 8, seed: int = 0, labels: bool = True
) -> ConformerSet:
    """Return n displaced conformers of each molecule, with made-up energies and forces."""
    random = np.random.default_rng(seed)
    frames = []
    for i, name in enumerate(names):
        for j in range(n):
            atoms = ase_molecule(name)
            atoms.positions += random.normal(scale=0.08, size=atoms.positions.shape)
            atoms.info["molecule"] = name
            if labels and j != 1:
                forces = random.normal(size=atoms.positions.shape)
                atoms.calc = SinglePointCalculator(
                    atoms, energy=-100.0 * (i + 1) + random.random(), forces=forces
                )
            frames.append(atoms)
    return ConformerSet.from_ase(frames, level="made-up" if labels else None)


def options(**changed):
    return {
        "features_of": CompactDescriptor(),
        "descriptor": "compact",
        "method": "pca",
        **changed,
    }


@pytest.mark.parametrize("level", ["molecules", "structures", "environments"])
def test_the_order_of_records_changes_nothing(level) -> None:
    s = make_set()
    order = np.random.default_rng(1).permutation(len(s))
    for limit in (10_000, 7 if level != "molecules" else 2):
        one, shown = map_sets({"a": s}, level=level, limit=limit, **options())
        two, shuffled = map_sets({"a": s.select(order)}, level=level, limit=limit, **options())
        xr.testing.assert_identical(one, two)
        assert [row for _, row in shown] == [int(order[row]) for _, row in shuffled]
        assert one["id"].values.tolist() == [s.id[row].decode() for _, row in shown]
        n = {"molecules": 3, "structures": 24, "environments": s.n_atoms}[level]
        assert one.sizes["point"] == min(n, limit)
        assert ("of" in one.attrs["caption"]) == (limit < n)
    other, _ = map_sets({"a": s}, level="environments", limit=7, **options(seed=5))
    again, _ = map_sets({"a": s}, level="environments", limit=7, **options(seed=6))
    assert other["id"].values.tolist() != again["id"].values.tolist()


def test_features_of_points_are_means() -> None:
    s = make_set()
    every = atomic_features(s, CompactDescriptor())
    energy = np.full(len(s), np.nan)
    structures = np.stack([every[s.atoms_slice(i)].mean(0) for i in range(len(s))])
    for level, expected in (
        ("molecules", np.stack([structures[s.molecule == m].mean(0) for m in range(3)])),
        ("structures", structures),
        ("environments", every),
    ):
        chosen = choose(s, level, share=10_000, energy=energy, seed=0)
        found = point_features(s, chosen, level, CompactDescriptor())
        np.testing.assert_allclose(found, expected, atol=1e-5)
    some = choose(s, "environments", share=11, energy=energy, seed=0)
    found = point_features(s, some, "environments", CompactDescriptor())
    np.testing.assert_array_equal(found, every[s.offsets[some.rows] + some.atoms])


def test_sets_of_other_elements_share_their_columns() -> None:
    sets = {"a": make_set(("CH3OCH3",)), "b": make_set(("H3CNH2",)), "c": make_set(n=4)}
    points, _ = map_sets(
        sets,
        **options(features_of=SoapDescriptor(n_max=2, l_max=2), descriptor="soap"),
        limit=14,
    )
    assert points.attrs["n_points"] == [4, 5, 5]
    assert points.attrs["n_candidates"] == [8, 8, 12]
    assert set(points["set"].values.tolist()) == set("abc")


def test_energies_count_from_isolated_atoms_or_from_the_lowest() -> None:
    s = make_set()
    points, shown = map_sets({"a": s}, **options())
    rows = np.array([row for _, row in shown])
    labels = s.labels()
    assert "lowest" in points["energy"].attrs["long_name"]
    lowest = np.array(
        [labels.energy[(s.molecule == m) & labels.has_energy].min() for m in s.molecule]
    )
    expected = np.where(labels.has_energy, (labels.energy - lowest) / s.counts, np.nan)
    np.testing.assert_allclose(points["energy"], expected[rows])
    assert np.isnan(points["force_norm"]).sum() == 3
    norms = [np.linalg.norm(labels.forces[s.atoms_slice(i)], axis=1).mean() for i in rows]
    np.testing.assert_allclose(
        points["force_norm"], np.where(labels.has_forces[rows], norms, np.nan)
    )
    references = {1: -13.0, 6: -1000.0, 7: -1400.0, 8: -2000.0}
    known = s.with_level("made-up", replace(labels, reference_energies=references))
    points, shown = map_sets({"a": known, "bare": make_set(labels=False, seed=2)}, **options())
    assert "isolated atoms" in points["energy"].attrs["long_name"]
    for i, (name, row) in enumerate(shown):
        if name == "bare" or not labels.has_energy[row]:
            assert np.isnan(points["energy"][i])
            continue
        atoms = sum(references[int(z)] for z in s.numbers[s.atoms_slice(row)])
        assert points["energy"][i] == pytest.approx((labels.energy[row] - atoms) / s.counts[row])


def test_a_molecule_is_shown_by_its_lowest_and_named_without_doubt() -> None:
    s = make_set()
    points, shown = map_sets({"a": s}, level="molecules", **options())
    labels = s.labels()
    for _, row in shown:
        mates = (s.molecule == s.molecule[row]) & labels.has_energy
        assert labels.energy[row] == labels.energy[mates].min()
    names = points["molecule"].values.tolist()
    assert "CH5N" in names
    assert "C2H6O" not in names, "two isomers have this formula"
    assert len(set(names)) == 3


def test_what_is_drawn_and_written(tmp_path) -> None:
    sets = {"one.xyz": make_set(), "two.xyz": make_set(seed=1)}
    told = draw_map(sets, tmp_path / "map", method="pca")
    assert told["color"] == "set"
    assert told["n_points"] == {"one.xyz": 24, "two.xyz": 24}
    assert sorted(p.name for p in (tmp_path / "map").iterdir()) == ["map.nc", "map.pdf", "map.png"]
    with xr.open_dataset(tmp_path / "map" / "map.nc") as points:
        ids = {s.decode() for one in sets.values() for s in one.id}
        assert set(points["id"].values.tolist()) == ids
    assert draw_map({"a": make_set()}, tmp_path, method="pca")["color"] == "molecule"
    alone = {"a": make_set(NAMES[:1])}
    assert draw_map(alone, tmp_path, method="pca")["color"] == "energy"
    assert draw_map(alone, tmp_path, method="pca", level="environments")["color"] == "element"
    bare = {"a": make_set(NAMES[:1], labels=False)}
    assert draw_map(bare, tmp_path, method="pca")["color"] is None
    with pytest.raises(ConfigurationError, match="No point has a label"):
        draw_map(bare, tmp_path, method="pca", color="force_norm")
    with pytest.raises(ConfigurationError, match="--level environments"):
        draw_map(alone, tmp_path, method="pca", color="element")
    with pytest.raises(DataError, match=r"level 'dft'; there is made-up"):
        draw_map(alone, tmp_path, label_level="dft")
    with pytest.raises(ConfigurationError, match="at most 0 points"):
        draw_map(alone, tmp_path, limit=0)


def test_a_page_is_one_file(tmp_path) -> None:
    pytest.importorskip("chemiscope")
    sets = {"</script><b>.xyz": make_set(), "two.xyz": make_set(seed=1, labels=False)}
    for level, n_structures in (("molecules", 6), ("structures", 48), ("environments", 20)):
        draw_map(sets, tmp_path, method="pca", page=True, level=level, limit=48, color="set")
        page = (tmp_path / "map.html").read_text()
        assert len(page) < 4e6
        assert page.count("</script") == 3
        assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page[:2000])
        assert "default-src 'none'" in page
        data = re.search(r'id="dataset">(.*?)</script>', page, re.DOTALL)
        content = json.loads(data[1])
        assert n_structures <= len(content["structures"]) <= 48
        assert {"PC 1", "PC 2", "set", "molecule"} <= content["properties"].keys()
        lengths = {len(p["values"]) for p in content["properties"].values()}
        assert lengths == {6 if level == "molecules" else 48}


def test_without_chemiscope_the_message_names_the_extra(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "chemiscope", None)
    with pytest.raises(ConfigurationError, match=r"breadth\[explore\]"):
        draw_map({"a": make_set()}, tmp_path, page=True)
    assert not list(tmp_path.iterdir())


def test_a_file_named_twice(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="named twice"):
        set_names([tmp_path / "a.xyz", tmp_path / "a.xyz"])


def test_the_command(tmp_path, run_breadth) -> None:
    write(make_set(), tmp_path / "one.xyz")
    write(make_set(NAMES[:1], n=30, seed=3), tmp_path / "two.xyz")
    result = run_breadth(
        *("map", tmp_path / "one.xyz", tmp_path / "two.xyz", "--out", tmp_path / "map"),
        *("--max-points", "30", "--color", "energy", "--random-state", "1", "--json"),
        *("--method", "pca", "--descriptor", "soap"),
    )
    told = json.loads(result.stdout)
    assert (told["method"], told["descriptor"], told["color"]) == ("pca", "soap", "energy")
    assert 0 < sum(told["explained_variance"]) <= 1
    assert told["n_points"] == {"one.xyz": 15, "two.xyz": 15}
    assert told["n_candidates"] == {"one.xyz": 24, "two.xyz": 30}
    assert (tmp_path / "map" / "map.png").stat().st_size > 5000
    few = run_breadth(
        *("map", tmp_path / "one.xyz", "--level", "molecules", "--out", tmp_path / "few"),
        check=False,
    )
    assert few.returncode == 1
    assert "--method pca" in few.stderr
    none = run_breadth("map", "--out", tmp_path / "few", check=False)
    assert "at least one file" in none.stderr
    assert "Example" in run_breadth("map", "--help").stdout
