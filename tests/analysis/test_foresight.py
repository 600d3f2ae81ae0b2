"""What scores foresee: known relations, blocks, and intervals that hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from breadth.analysis.blocks import blocks_of_frames
from breadth.analysis.foresight import foresee_atoms, foresee_frames
from breadth.diversity.errors import DataError


def made(n_frames=60, seed=0, strength=1.0):
    """Atoms of two elements whose errors differ by two orders, and scores with them."""
    rng = np.random.default_rng(seed)
    elements = np.tile([1, 1, 1, 27], n_frames)
    frame = np.repeat(np.arange(n_frames), 4)
    score = rng.normal(size=len(frame))
    error = np.exp(strength * score + rng.normal(size=len(frame))) * np.where(elements == 1, 1, 100)
    return {"q": np.exp(score), "noise": rng.normal(size=len(frame))}, error, elements, frame


def test_values_within_an_element_are_those_of_scipy_and_sklearn():
    score, error, elements, frame = made()
    found = foresee_atoms(score, error, elements, frame, n_resamples=50)
    for z, symbol in ((1, "H"), (27, "Co")):
        of = elements == z
        for name in score:
            one = found.sel(element=symbol, detector=name)
            want = stats.spearmanr(score[name][of], error[of]).statistic
            assert float(one["spearman"]) == pytest.approx(want)
            failed = error[of] > np.quantile(error[of], 0.9)
            want = roc_auc_score(failed, score[name][of])
            assert float(one["auroc"].sel(worst=0.1)) == pytest.approx(want)
            low, high = one["spearman_interval"].values
            assert low < float(one["spearman"]) < high
    assert float(found["risk_random"].sel(element="H")) == pytest.approx(
        error[elements == 1].mean()
    )
    np.testing.assert_allclose(found["risk"].sel(kept=1.0)[0], found["risk_random"][0])
    assert found["n_blocks"].values.tolist() == [20, 20]
    # Between elements the noise would look as if it knew nothing, and the element everything.
    assert float(found["spearman_interval"].sel(element="H", detector="noise", bound="lower")) < 0


def test_the_error_itself_is_the_oracle():
    _, error, elements, frame = made(120)
    found = foresee_atoms({"error": error}, error, elements, frame, n_resamples=20)
    np.testing.assert_allclose(found["won"], 1.0)
    np.testing.assert_allclose(found["risk"].squeeze("detector"), found["risk_oracle"])
    np.testing.assert_allclose(found["auroc"], 1.0)
    # Six failures of cobalt in a row promise less than certainty.
    assert found["auroc_interval"].sel(element="Co", worst=0.05, bound="lower") < 0.7


def test_blocks_widen_intervals_where_frames_repeat():
    """Forty frames that are copies of four tell no more than four do."""
    score, error, elements, _ = made(4)
    rows = np.arange(16).reshape(4, 4)[np.repeat(np.arange(4), 10)].ravel()
    args = ({"q": score["q"][rows]}, error[rows], elements[rows], np.repeat(np.arange(40), 4))

    def width(n_blocks):
        found = foresee_atoms(*args, n_blocks=n_blocks, n_resamples=100)
        return np.ptp(found["spearman_interval"].sel(element="H").values)

    assert width(4) > 1.3 * width(20)


@pytest.mark.slow
def test_intervals_hold_the_truth():
    """Atoms of a frame share half of their noise; 95 % intervals should know."""
    truth = stats.spearmanr(*_correlated(np.random.default_rng(0), 20_000)[:2]).statistic
    held = []
    for seed in range(200):
        score, error, frame = _correlated(np.random.default_rng(seed + 1), 40)
        found = foresee_atoms({"s": score}, error, np.ones(len(error), int), frame, n_resamples=200)
        low, high = found["spearman_interval"].values[0, 0]
        held.append(low < truth < high)
    assert 0.9 < np.mean(held) < 0.99


def _correlated(rng, n_frames):
    frame = np.repeat(np.arange(n_frames), 8)
    score = rng.normal(size=(2, n_frames))[0][frame] + rng.normal(size=len(frame))
    noise = rng.normal(size=n_frames)[frame] + rng.normal(size=len(frame))
    return score, np.exp(0.5 * score + noise), frame


def test_frames_are_asked_without_the_constant_offset():
    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(80), 30)
    away = rng.normal(size=80)
    score = np.abs(away)[frame] * rng.uniform(0.5, 1.5, size=len(frame))
    found = foresee_frames({"q": score}, away + 1000.0, frame, n_resamples=50)
    assert found["spearman"].sel(detector="q", summary="mean") > 0.9
    assert found["spearman_interval"].sel(summary="max", bound="lower").item() > 0.7
    lost = foresee_frames({"q": score}, np.where(np.arange(80) == 3, np.nan, away), frame)
    assert lost.attrs["n_frames"] == 79
    assert lost["spearman"].sel(detector="q", summary="mean") > 0.9
    few = foresee_frames({"q": score[:300]}, away[:10], frame[:300])
    assert np.isnan(few["spearman"]).all()
    assert few.attrs["reason"] == "10 frames; fewer than 20 support no relation"


def test_what_cannot_be_asked_is_told():
    score, error, elements, frame = made(6)
    found = foresee_atoms(score, error, elements, frame)
    assert found["reason"].values.tolist()[1] == "6 atoms; fewer than 20 support no relation"
    with pytest.raises(DataError, match="one of each for every atom"):
        foresee_atoms(score, error[1:], elements, frame)
    with pytest.raises(DataError, match="atom 3 is NaN"):
        foresee_atoms(score, np.where(np.arange(24) == 3, np.nan, error), elements, frame)
    with pytest.raises(DataError, match="other frames than"):
        foresee_frames(score, np.zeros(5), frame)


def test_atoms_that_a_detector_does_not_know_are_left_out_for_all():
    score, error, elements, frame = made(40)
    score["noise"][:40] = np.nan
    found = foresee_atoms(score, error, elements, frame, n_resamples=20)
    rows = (elements == 1) & (np.arange(160) >= 40)
    assert found["n_atoms"].values.tolist() == [90, 30]
    want = stats.spearmanr(score["q"][rows], error[rows]).statistic
    assert float(found["spearman"].sel(element="H", detector="q")) == pytest.approx(want)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 12), st.integers(1, 3))
def test_blocks_hold_whole_frames_of_one_run(lengths, n_blocks, n_atoms):
    frame = np.concatenate([np.repeat(np.arange(n), n_atoms) for n in lengths])
    run = np.repeat(np.arange(len(lengths)), np.array(lengths) * n_atoms)
    block = blocks_of_frames(frame, n_blocks, run=run)
    np.testing.assert_array_equal(np.unique(block), np.arange(block.max() + 1))
    assert (np.diff(block) >= 0).all()
    for b in range(block.max() + 1):
        assert len(np.unique(run[block == b])) == 1
    pairs = np.unique(np.stack([run, frame, block]), axis=1)
    assert pairs.shape[1] == sum(lengths)
