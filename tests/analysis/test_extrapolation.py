"""The model of a reference set: folds, limits, unknown elements, files, and the golden figures."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from breadth.analysis.extrapolation import ExtrapolationModel
from breadth.diversity.errors import ConfigurationError, DataError, ShortageError

KINDS = np.array([1, 1, 1, 6, 6, 8])


def made(n_frames, seed=0, scale=1.0):
    """Environments of three elements of different means and spreads, frames near in time alike."""
    rng = np.random.default_rng(seed)
    elements = np.tile(KINDS, n_frames)
    means = {z: np.random.default_rng(z).normal(size=20) * 3 for z in np.unique(KINDS)}
    axes = np.random.default_rng(99).normal(size=(20, 20)) / (1 + np.arange(20))[:, None]
    rows = scale * rng.normal(size=(len(elements), 20)) @ axes
    rows += np.stack([means[z] for z in elements])
    return (
        rows * np.where(elements == 8, 2.0, 1.0)[:, None],
        elements,
        np.repeat(np.arange(n_frames), len(KINDS)),
    )


@pytest.fixture(scope="module")
def fitted():
    rows, elements, frame = made(120)
    return ExtrapolationModel.fit(np.array_split(rows, 4), elements, frame, n_components=3)


def test_folds_are_those_of_components_fitted_anew(fitted):
    rows, _, frame = made(120)
    block = frame * 5 // 120
    for b in range(5):
        other = PCA(3, svd_solver="full").fit(rows[block != b])
        along = other.transform(rows[block == b])
        left = rows[block == b] - other.inverse_transform(along)
        np.testing.assert_allclose(
            fitted.held_out.q[block == b], (left**2).sum(1), rtol=1e-3, atol=1e-3
        )
        np.testing.assert_allclose(
            fitted.held_out.t2[block == b], (along**2 / other.explained_variance_).sum(1), rtol=1e-3
        )


def test_own_statistics_are_those_of_scoring_the_rows_again(fitted):
    rows, elements, _ = made(120)
    again = fitted.score(rows, elements)
    np.testing.assert_allclose(fitted.reference.q, again.q, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fitted.reference.t2, again.t2, rtol=1e-3)
    one = fitted.limits[8]
    assert one.n == 120
    assert one.mean["q"] == pytest.approx(again.q[elements == 8].mean(), rel=1e-3)
    assert one.sd["t2"] == pytest.approx(again.t2[elements == 8].std(), rel=1e-3)


def test_held_out_limits_hold_for_new_frames_of_the_same_kind(fitted):
    rows, elements, _ = made(400, seed=7)
    scores = fitted.score(rows, elements)
    for z in (1, 6, 8):
        of = elements == z
        for statistic in ("q", "t2"):
            share = fitted.beyond(scores, elements, statistic)[of].mean()
            assert 0.01 < share < 0.11, (z, statistic)
        assert 0.0 < fitted.limits[z].q_false_alarms["quantile"] < 0.12


def test_wider_rows_are_beyond(fitted):
    rows, elements, _ = made(50, seed=3, scale=4.0)
    assert fitted.beyond(fitted.score(rows, elements), elements).mean() > 0.7


def test_an_unknown_element_is_an_error_or_outside(fitted):
    rows, elements, _ = made(2)
    elements = np.where(elements == 8, 17, elements)
    with pytest.raises(DataError, match="atoms of Cl, and the reference only H, C, O"):
        fitted.score(rows, elements)
    scores = fitted.score(rows, elements, unknown="outside")
    assert fitted.beyond(scores, elements)[elements == 17].all()
    assert np.isfinite(scores.q).all()


def test_a_model_comes_back_from_its_files(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    back = ExtrapolationModel.load(tmp_path / "model")
    assert back.limits == fitted.limits
    rows, elements, _ = made(5, seed=2)
    ours, theirs = fitted.score(rows, elements), back.score(rows, elements)
    np.testing.assert_allclose(ours.q, theirs.q)
    np.testing.assert_allclose(ours.t2, theirs.t2)
    np.testing.assert_allclose(ours.scores, theirs.scores)


def test_files_of_another_format_are_told(fitted, tmp_path):
    with pytest.raises(DataError, match="no extrapolation model"):
        ExtrapolationModel.load(tmp_path)
    fitted.save(tmp_path)
    content = json.loads((tmp_path / "extrapolation.json").read_text())
    (tmp_path / "extrapolation.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        ExtrapolationModel.load(tmp_path)
    fitted.save(tmp_path)
    (tmp_path / "extrapolation.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match="no extrapolation model"):
        ExtrapolationModel.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"n_components": 7}, ShortageError, "6 frames, too few for 7 components"),
        ({"n_folds": 7}, ShortageError, "7 blocks"),
        ({"level": 1.0}, ConfigurationError, "between 0 and 1"),
        ({"n_components": 0}, ConfigurationError, "one component"),
    ],
)
def test_what_cannot_be_fitted_is_told(options, kind, message):
    rows, elements, frame = made(6)
    with pytest.raises(kind, match=message):
        ExtrapolationModel.fit([rows], elements, frame, **options)


def test_rows_elements_and_columns_must_fit(fitted):
    rows, elements, frame = made(6)
    with pytest.raises(DataError, match="36 rows with 35 elements"):
        ExtrapolationModel.fit([rows], elements[1:], frame[1:])
    with pytest.raises(DataError, match="20 features"):
        fitted.score(rows[:, :5], elements)
    with pytest.raises(ConfigurationError, match="quantile, chi2, f"):
        fitted.limit_of(elements, "t2", method="jackson_mudholkar")
