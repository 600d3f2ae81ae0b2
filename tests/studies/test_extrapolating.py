"""`breadth extrapolation`: the golden figures, sets of other elements, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breadth.analysis.extrapolation import ExtrapolationModel
from breadth.diversity import ConformerSet, DataError, Molecules, ShortageError, write
from breadth.diversity.descriptors import SoapDescriptor
from breadth.studies.cli.extrapolation import extrapolation
from breadth.studies.extrapolating import extrapolate, score_sets

SHARED = Path(__file__).parents[3] / "shared" / "data" / "umlip_bias"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets in ../shared/data")

METHANOL = np.array(
    [[0.0, 0, 0], [1.4, 0, 0], [-0.4, 1.0, 0], [-0.4, -0.5, 0.9], [-0.4, -0.5, -0.9], [1.7, 0.9, 0]]
)


def made_up(n, *, seed, sigma=0.05, numbers=(6, 8, 1, 1, 1, 1)):
    """Methanols, or what has its shape, whose atoms are displaced at random."""
    displaced = np.random.default_rng(seed).normal(scale=sigma, size=(n, 6, 3))
    return ConformerSet(
        molecules=Molecules(key=np.array([f"{numbers}"])),
        molecule=np.zeros(n, dtype=int),
        numbers=np.tile(numbers, n),
        positions=(METHANOL + displaced).reshape(-1, 3),
        offsets=6 * np.arange(n + 1),
        source=np.full(n, "made.xyz"),
    )


@pytest.fixture(scope="module")
def cold():
    return made_up(60, seed=0)


def test_cold_frames_lie_inside_and_warm_ones_outside(cold):
    alike, _ = extrapolate([cold], [made_up(40, seed=1)])
    low, high = alike["outside"]["q"]["interval"]
    assert low < 0.05 < high
    assert "were it of the reference's kind" in alike["verdict"]
    warm, _ = extrapolate([cold], [made_up(40, seed=1, sigma=0.12)])
    assert warm["outside"]["q"]["interval"][0] > 0.3
    assert "it reaches outside the reference" in warm["verdict"]
    for symbol in "HCO":
        one = warm["elements"][symbol]["q"]
        assert one["reference"]["mean"] < one["held_out"]["mean"] < one["evaluation"]["mean"]
        assert one["limits"]["quantile"]["limit"] == pytest.approx(one["held_out"]["limit"])
    assert set(warm["elements"]["H"]["t2"]["limits"]) == {"quantile", "chi2", "f"}


def test_several_sets_are_one(cold):
    parts = [cold.select(np.arange(25)), cold.select(np.arange(25, 60))]
    other = made_up(10, seed=1)
    whole, _ = extrapolate([cold], [other])
    split, _ = extrapolate(parts, [other.select(np.arange(3)), other.select(np.arange(3, 10))])
    assert split["sets"] == whole["sets"]
    np.testing.assert_allclose(
        split["explained_variance_ratio"], whole["explained_variance_ratio"], atol=1e-4
    )
    for symbol in "HCO":
        ours, theirs = (c["elements"][symbol]["q"]["evaluation"]["mean"] for c in (split, whole))
        assert ours == pytest.approx(theirs, rel=0.01)


def test_elements_that_the_reference_lacks(cold):
    thiol = made_up(6, seed=1, numbers=(6, 16, 1, 1, 1, 1))
    with pytest.raises(DataError, match=r"Frame 0 of made.xyz has atoms of S.*only of H, C, O"):
        extrapolate([cold], [cold, thiol])
    found, _ = extrapolate([cold], [thiol], unknown="outside")
    assert found["elements"]["S"]["q"]["evaluation"]["outside"] == 1.0
    assert found["elements"]["S"]["q"]["reference"] is None
    assert found["elements"]["S"]["reason"] == "the reference has no such atom"
    assert found["elements"]["O"]["q"]["evaluation"] is None
    assert found["elements"]["O"]["reason"] == "the evaluation has no such atom"


def test_copies_are_held_out_together(cold):
    """Each frame's copy, in another block, would make held-out frames look like fitted ones."""
    once, _ = extrapolate([cold], [cold])
    twice, _ = extrapolate([cold, cold], [cold])
    assert twice["sets"]["reference"]["n_distinct"] == 60
    for symbol in "HCO":
        ours, theirs = (c["elements"][symbol]["q"]["held_out"]["mean"] for c in (once, twice))
        assert theirs == pytest.approx(ours, rel=0.01)


def test_fewer_frames_than_components_are_told(cold):
    with pytest.raises(ShortageError, match="4 frames, too few for 5 components"):
        extrapolate([cold.select(np.arange(4))], [cold])


def test_the_command_prints_saves_and_warns(cold, run_breadth, tmp_path, capsys):
    write(cold, tmp_path / "cold.xyz")
    write(replace(cold, positions=cold.positions + 1e-3), tmp_path / "moved.xyz")
    where = ("--reference", tmp_path / "cold.xyz", "--evaluation")
    result = run_breadth(
        "extrapolation", *where, tmp_path / "cold.xyz", "--json", "--out", tmp_path / "model"
    )
    found = json.loads(result.stdout)
    assert "60 frames are in both" in result.stderr
    assert len(found["explained_variance_ratio"]) == 5
    model = ExtrapolationModel.load(tmp_path / "model")
    soap = SoapDescriptor(elements=model.metadata["descriptor"]["elements"])
    again = score_sets(model, [cold], soap)
    assert again.q[cold.numbers == 6].mean() == pytest.approx(
        found["elements"]["C"]["q"]["evaluation"]["mean"], rel=1e-4
    )
    extrapolation(
        reference=[tmp_path / "cold.xyz"], evaluation=[tmp_path / "moved.xyz"], components=3
    )
    text = capsys.readouterr().out
    assert "3 components of soap" in text
    for word in ("Q-residual", "jackson–mudholkar", "held out", "have a Q beyond"):
        assert word in text


@shared
@pytest.mark.slow
def test_golden_figures_of_the_choline_sets(run_breadth):
    """arXiv:2603.10159, recomputed from its data: all 100 frames, isolated atoms left out."""
    reference = [SHARED / "choline_naive" / "50.xyz", SHARED / "choline_periodic" / "ft5.xyz"]
    found = json.loads(
        run_breadth(
            *("extrapolation", "--reference", *reference, "--evaluation"),
            *(SHARED / "choline_nonperiodic" / "50.xyz", "--descriptor", "soap"),
            *("--components", "5", "--json"),
        ).stdout
    )
    np.testing.assert_allclose(
        found["explained_variance_ratio"], [0.2300, 0.1882, 0.1164, 0.0859, 0.0686], atol=1e-4
    )
    # All of ft1 is in naive/50.
    assert found["sets"]["reference"] == {
        "n_frames": 100,
        "n_distinct": 90,
        "n_environments": 19700,
    }
    assert set(found["elements"]) == {"H", "Li", "C", "N", "O", "Cl", "Co"}
    for one in found["elements"].values():
        for name in ("q", "t2"):
            for portion in ("reference", "held_out", "evaluation"):
                assert {"mean", "sd", "limit"} <= set(one[name][portion])
