"""The plan of the arms: equal frames, labels and simulated time; what is equal is run once."""

import dataclasses
import json

import pytest

from breadth.diversity import ConfigurationError
from breadth.studies.configuration import load
from breadth.studies.finetuning import FinetuningConfiguration, estimate
from breadth.studies.finetuning.arms import Place, plan_arms, unit_counts
from breadth.studies.finetuning.starting import named, tuning_of
from breadth.training.refinement import FINE_TUNING, UNIVERSAL_TUNING


def planned(*overrides):
    asked = load(FinetuningConfiguration, preset="smoke", study="finetuning", overrides=overrides)
    return asked, plan_arms(asked)


def exploring(work, place):
    """Return the units of the runs behind a model's training frames."""
    units = {unit.key: unit for unit in work.units()}
    read = [
        (role, key)
        for unit in work.training(place)
        for role, key in unit.inputs.items()
        if role.startswith("run/")
    ]
    return [units[key] for _, key in read]


def test_every_arm_has_equal_frames_labels_and_simulated_time():
    asked, work = planned("n_frames=[3, 6, 9]")
    of_iteration = asked.dynamics.n_steps * asked.dynamics.timestep
    for place in work.fits:
        added = work.training(place)
        assert sum(unit.parameters["n"] for unit in added) == asked.n_frames[place.iteration - 1]
        spans = {
            (unit.inputs[f"run/{role}"], *window)
            for unit in added
            for role, window in unit.parameters["windows"].items()
        }
        assert len(spans) == place.iteration
        assert {end - begin for _, begin, end in spans} == {of_iteration}


def test_arms_differ_in_what_drives_their_runs():
    _, work = planned("n_frames=[3, 6, 9]")
    kinds = {
        arm: [unit.inputs.get("fit") for unit in exploring(work, Place(arm, 3, 1))]
        for arm in ("naive", "periodic", "nonperiodic")
    }
    assert kinds["naive"] == [None] * 3
    assert kinds["periodic"] == [None, *(work.fits[Place("periodic", i, 1)].key for i in (1, 2))]
    assert kinds["nonperiodic"] == [None] * 3
    runs = {arm: {u.key for u in exploring(work, Place(arm, 3, 1))} for arm in kinds}
    assert [len(runs[arm]) for arm in ("naive", "periodic", "nonperiodic")] == [3, 3, 1]
    # Chosen frames come from what the naive runs visited.
    assert {u.key for u in exploring(work, Place("chosen", 3, 1))} == runs["naive"]
    # Runs of one number start with equal velocities, whichever model drives them.
    streams = [u.parameters["stream"] for u in exploring(work, Place("periodic", 3, 1))]
    assert streams == [0, 1, 2]


def test_the_first_model_is_that_of_all_arms_and_replicates_share_no_run():
    asked, work = planned()
    for replicate in range(asked.replicates):
        first = {work.fits[Place(arm, 1, replicate)].key for arm in asked.arms}
        assert len(first) == 1
        assert len({work.evaluated[Place(arm, 1, replicate)].key for arm in asked.arms}) == 1
    of = [{work.runs[place].key for place in work.fits if place.replicate == r} for r in (0, 1)]
    assert not of[0] & of[1]
    # 2 replicates × (1 shared + 4 arms) models.
    assert unit_counts(work)["fine_tuned"] == 10


def test_no_frame_of_a_test_run_is_ever_trained_on():
    _, work = planned()
    trained = {
        key
        for unit in work.added.values()
        for role, key in unit.inputs.items()
        if role.startswith("run/")
    }
    tested = {key for unit in work.tests.values() for role, key in unit.inputs.items()}
    assert not trained & tested


def test_a_plan_is_the_same_each_time_and_arms_do_not_change_each_other():
    _, one = planned()
    _, two = planned()
    assert {unit.key for unit in one.units()} == {unit.key for unit in two.units()}
    _, alone = planned("arms=[nonperiodic]")
    for place, unit in alone.fits.items():
        assert unit.key == one.fits[place].key


def test_the_estimate_counts_what_is_planned():
    asked, work = planned()
    told = estimate(asked, workers=2)
    assert told["fits"] == 10
    steps = {
        unit.key: unit.parameters["settings"]["n_steps"]
        for unit in work.units()
        if unit.kind == "exploration" and "engine" not in unit.parameters
    }
    assert told["steps_of_models"] == sum(steps.values())
    # (long run of two iterations + one naive + one periodic) and six own runs, in each replicate.
    assert told["steps_of_models"] == 2 * (4 * 60 + 6 * 40)
    assert told["minutes"] > estimate(asked, workers=8)["minutes"]
    assert json.loads(json.dumps(told)) == told
    assert set(work.costs) >= {
        unit.key for unit in work.units() if unit.kind in ("exploration", "fine_tuned")
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("n_frames=[3, 3]", "sizes of sets that grow"),
        ("arms=[naive, naive]", "each once"),
        ("n_frames=[30, 60]", "whose second half has 6"),
        ("test.n_frames=10", "more than the second half"),
        ("dynamics.n_stesp=10", "did you mean 'dynamics.n_steps'"),
        ("arms=[best]", "arms"),
        ("fine_tuning.training={rate: 1}", r"fine_tuning\.training: (.|\n)*rate"),
    ],
)
def test_what_cannot_be_is_told_at_once(override, message):
    with pytest.raises(ConfigurationError, match=message):
        planned(override)


def test_contents_of_a_model_s_folder_name_its_units(universal, configuration):
    asked = configuration()
    before = plan_arms(asked)
    weights = next(universal.glob("*.safetensors"))
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept + b"\0")
        after = plan_arms(asked)
    finally:
        weights.write_bytes(kept)
    place = next(iter(before.fits))
    assert before.fits[place].key != after.fits[place].key
    assert dataclasses.asdict(before.start) == dataclasses.asdict(after.start)


def test_units_hold_all_settings_of_training_and_teachers_are_named_by_their_contents(
    universal, configuration
):
    asked = configuration()
    fit = next(iter(plan_arms(asked).fits.values()))
    expected = FINE_TUNING.model_dump(mode="json") | asked.fine_tuning.training
    assert fit.parameters["training"] == expected
    assert tuning_of(FinetuningConfiguration()) == UNIVERSAL_TUNING
    heads = tuning_of(FinetuningConfiguration(fine_tuning={"what": "heads"}))
    assert heads.learning_rate > UNIVERSAL_TUNING.learning_rate
    assert named("gfn2") == {"name": "gfn2"}
    assert named("model:so3lr") == {"name": "model:so3lr"}
    told = named(f"model:{universal}/")
    assert told["name"] == f"model:{universal}"
    assert told["digest"] == named(str(universal))["digest"]
