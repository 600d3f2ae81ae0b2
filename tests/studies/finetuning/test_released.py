"""Fine-tuning on released sets: who trains on what, and who is tested on what."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from breadth.analysis.finetuning import check_finetuning
from breadth.diversity import ConfigurationError, read
from breadth.studies.finetuning import (
    FinetuningConfiguration,
    estimate,
    released,
    released_frames,
    run_finetuning,
)
from breadth.studies.finetuning.released_frames import ReleasedSection, read_released
from breadth.training import build_potential, load_potential, predict, save_potential

SHARED = Path(__file__).resolve().parents[3] / "../shared/data/umlip_bias"


def frame(seed):
    """Return a periodic frame of three atoms with labels."""
    rng = np.random.default_rng(seed)
    atoms = Atoms("OH2", [[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]], cell=[5.0] * 3, pbc=True)
    atoms.positions += 0.1 * rng.normal(size=(3, 3))
    atoms.calc = LennardJones(sigma=0.9, rc=2.4)
    atoms.calc = SinglePointCalculator(
        atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
    )
    return atoms


def write_set(path, seeds):
    alone = [Atoms(symbol, cell=[9.0] * 3, pbc=True) for symbol in "OH"]
    for atoms in alone:
        atoms.info["config_type"] = "IsolatedAtom"
        atoms.calc = SinglePointCalculator(atoms, energy=0.1, forces=np.zeros((1, 3)))
    path.parent.mkdir(exist_ok=True)
    frames = [*alone, *(frame(seed) for seed in seeds)]
    for atoms in frames:
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
    write(path, frames, format="extxyz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three arms; the first frames of the periodic one are frames of the naive one."""
    root = tmp_path_factory.mktemp("released")
    write_set(root / "choline_naive" / "5.xyz", [2, 1, 0, 3, 4])
    write_set(root / "choline_naive" / "10.xyz", range(10))
    write_set(root / "choline_periodic" / "ft1.xyz", [3, 4, 5, 6, 7])
    write_set(root / "choline_periodic" / "ft2.xyz", [3, 4, 5, *range(20, 26)])
    write_set(root / "choline_nonperiodic" / "9.xyz", range(30, 39))
    write_set(root / "choline_nonperiodic" / "4.xyz", range(30, 34))
    return root


@pytest.fixture(scope="module")
def asked(folder, tmp_path_factory):
    universal = build_potential("painn", n_features=8, n_layers=1, cutoff=2.4, levels=("own",))
    references = {1: 0.0, 8: 0.0}
    universal.set_level("own", references=references, scale=1.0, anchored=[1, 8])
    where = tmp_path_factory.mktemp("universal")
    save_potential(where, universal)
    return FinetuningConfiguration(
        potential=str(where),
        engine="REF",
        replicates=2,
        n_components=2,
        released={"path": folder, "iterations": (2,), "n_tested": 5},
        fine_tuning={"training": {"n_updates": 4, "batch_size": 3}},
    )


@pytest.fixture(scope="module")
def study(asked, tmp_path_factory):
    """Run in this process: spawned workers would take longer to start than to work."""
    out = tmp_path_factory.mktemp("study") / "out"
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "breadth.studies.finetuning.run.draw_figures",
            lambda run, to, *, column: drawn.append(column),
        )
        with ThreadPoolExecutor(1) as executor:
            results = run_finetuning(asked, out, executor=executor)
    assert sorted(drawn) == ["double", "single"]
    from breadth.studies.results import load

    return out, results, load(out / "predictions.nc")


def test_predictions_have_the_layout(study):
    _, results, predictions = study
    check_finetuning(predictions)
    models = list(zip(*(predictions[n].values for n in ("arm", "replicate")), strict=True))
    arms = ("naive", "periodic", "nonperiodic")
    assert models == [("universal", -1), *((a, r) for r in (0, 1) for a in arms)]
    assert predictions["n_frames"].values.tolist() == [0, 10, 9, 9, 10, 9, 9]
    assert predictions["frame"].values.tolist() == [*range(5)] * 3
    assert predictions["test_run"].values.tolist() == [a for a in arms for _ in range(5)]
    off = predictions["energy"].values[0] - predictions["energy_reference"].values
    assert abs(off.mean()) < 1e-9 < off.std()
    error = results["force_mae"].sel(arm="naive", iteration=2, test_run="nonperiodic")
    assert (error > 0).all()
    assert np.isnan(results["force_mae"].sel(arm="naive", iteration=2, test_run="naive")).all()


def test_no_model_is_tested_on_what_it_trained_on(study, folder):
    _, _, predictions = study
    files = {"naive": "10", "periodic": "ft2", "nonperiodic": "9"}
    trained = {
        arm: set(read(folder / f"choline_{arm}" / f"{name}.xyz").id.astype(str).tolist())
        for arm, name in files.items()
    }
    ids = predictions["conformer_id"].values.astype(str)
    assert len(set(ids.tolist())) == len(ids) == 15
    for m, arm in enumerate(predictions["arm"].values.tolist()):
        seen = np.array([i in trained.get(arm, ()) for i in ids])
        np.testing.assert_array_equal(np.isnan(predictions["energy"].values[m]), seen)
        atoms = np.repeat(seen, predictions["n_atoms"].values)
        np.testing.assert_array_equal(np.isnan(predictions["forces"].values[m]).all(-1), atoms)
        np.testing.assert_array_equal(
            np.isnan(predictions["score"].sel(detector="q").values[m]),
            atoms if arm != "universal" else np.ones(len(atoms), dtype=bool),
        )
    # A frame that two arms hold tests no one.
    assert not trained["naive"] & trained["periodic"] & set(ids.tolist())


def test_predictions_are_those_of_the_fitted_models(study, asked, folder):
    out, _, predictions = study
    plan = released.plan_released(asked)
    model = next(m for m in plan.models if (m.arm, m.replicate) == ("naive", 1))
    fitted, _ = load_potential(out / "units" / model.fit.key / "potential")
    data = read(folder / "choline_nonperiodic" / "9.xyz", level="REF")
    found = predict(fitted, data, level="REF")
    row = 1 + 3  # the universal model, and three arms of the first seed
    ids = predictions["conformer_id"].values.astype(str).tolist()
    starts = np.cumsum([0, *predictions["n_atoms"].values])
    compared = 0
    for i, name in enumerate(data.id.astype(str).tolist()):
        if name in ids:
            at = ids.index(name)
            forces = predictions["forces"].values[row, starts[at] : starts[at + 1]]
            np.testing.assert_allclose(forces, found.forces[data.atoms_slice(i)], atol=1e-5)
            compared += 1
    assert compared == 5
    seeds = predictions["forces"].values[[1, 4]]
    assert np.nanmax(np.abs(seeds[0] - seeds[1])) > 1e-5


def test_a_finished_study_is_read(study, asked, monkeypatch):
    out, results, _ = study
    monkeypatch.setattr(released, "given_or_pool", None)
    again = run_finetuning(asked, out)
    np.testing.assert_array_equal(again["force_mae"].values, results["force_mae"].values)


def test_printed(study, capsys):
    from breadth.studies.cli.finetuning import show

    show(study[1])
    printed = capsys.readouterr().out
    for arm in ("naive", "periodic", "nonperiodic"):
        assert f"on unseen frames of the arm {arm}" in printed


def test_dry_run(asked):
    told = estimate(asked, workers=2)
    assert told["fits"] == 6
    assert told["updates"] == 24
    assert told["tested_frames"] == {"naive": 5, "periodic": 5, "nonperiodic": 5}


def test_replay_is_refused(folder):
    with pytest.raises(ValueError, match="none with released sets"):
        FinetuningConfiguration(released={"path": folder}, fine_tuning={"replay": 4})


def test_sets_that_are_not_there(folder, tmp_path):
    with pytest.raises(ConfigurationError, match=r"choline_ARM.*released\.path"):
        read_released(ReleasedSection(path=tmp_path), level="REF")
    with pytest.raises(ConfigurationError, match="2 sets, and no iteration 5"):
        read_released(ReleasedSection(path=folder, iterations=(2, 5)), level="REF")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_choice_of_frames_hangs_on_the_seed_alone(folder, seed):
    sets = read_released(ReleasedSection(path=folder, iterations=(2,)), level="REF")
    assert [one.iteration for one in sets] == [1, 2] * 3
    assert [len(one.ids) for one in sets] == [5, 10, 5, 9, 4, 9]
    every = released_frames.tested_frames(sets, n_tested=None, seed=seed)
    some = released_frames.tested_frames(sets, n_tested=4, seed=seed)
    # 3, 4 and 5 are of both arms, and so are 6 and 7, of the first set of the periodic one.
    assert {arm: len(ids) for arm, ids in every.items()} == {
        "naive": 5,
        "periodic": 6,
        "nonperiodic": 9,
    }
    for arm, ids in some.items():
        assert len(ids) == 4
        assert [i for i in every[arm] if i in ids] == list(ids)
    assert some == released_frames.tested_frames(sets, n_tested=4, seed=seed)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data of ../shared/data are absent")
def test_the_released_sets_of_choline():
    sets = read_released(ReleasedSection(path=SHARED), level="REF")
    assert [len(one.ids) for one in sets] == [10, 21, 31, 40, 50] * 3
    last = {one.arm: set(one.ids) for one in sets if one.iteration == 5}
    # All of ft1 is in choline_naive/50, as the set's own notes say.
    assert len(last["naive"] & last["periodic"]) == 10
    every = released_frames.tested_frames(sets, n_tested=None, seed=0)
    assert [len(ids) for ids in every.values()] == [40, 40, 50]
