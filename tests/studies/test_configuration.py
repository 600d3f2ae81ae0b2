"""Configurations: presets, YAML files, overrides, and errors that name the key."""

import pytest
from ruamel.yaml import YAML

from breadth.diversity import ConfigurationError
from breadth.studies.configuration import dump, load
from breadth.studies.plan import open_plan
from breadth.studies.tradeoff import TradeoffConfiguration
from breadth.studies.tradeoff.cells import choose_molecules
from breadth.studies.tradeoff.selecting import check_selectors, level_read


@pytest.mark.parametrize("preset", ["smoke", "demo", "selectors", "paper"])
def test_presets_load_and_survive_a_round_trip(preset, tmp_path):
    asked = load(TradeoffConfiguration, preset=preset)
    path = tmp_path / "again.yaml"
    path.write_text(dump(asked))
    assert load(TradeoffConfiguration, path=path) == asked
    chosen = choose_molecules(asked)
    assert len({m.canonical for m in chosen}) == len(chosen) > asked.pool.n_molecules


def test_the_demo_is_what_the_issue_asks():
    asked = load(TradeoffConfiguration, preset="demo")
    designs = asked.designs()
    for experiment in ("fixed_budget", "fixed_molecules"):
        sizes = [d.n_conformers for d in designs if d.experiment == experiment]
        assert len(sizes) >= 4
        assert min(sizes) <= 2
    assert asked.replicates >= 3
    assert asked.pool.engine == "gfn2"


def test_the_selectors_preset_is_the_demo_with_selectors_alone():
    asked = load(TradeoffConfiguration, preset="selectors")
    demo = load(TradeoffConfiguration, preset="demo")
    for name in ("pool", "hold_outs", "potential", "replicates"):
        assert getattr(asked, name) == getattr(demo, name)
    # Its recorded run is older than Muon.
    assert asked.training == demo.training.model_copy(update={"optimizer": "adamw"})
    designs = asked.designs()
    assert {d.experiment for d in designs} == {"molecule_selectors", "conformer_selectors"}
    assert len({d[1:3] for d in designs}) == 1
    for experiment in ("molecule_selectors", "conformer_selectors"):
        first, *others = [d for d in designs if d.experiment == experiment]
        assert first.cell[2:] == ("random", "random")
        assert len(others) >= 4
    check_selectors(asked)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("selectors={molecules: [maxmim]}", "no selector 'maxmim'"),
        ("selectors={molecules: [boltzmann]}", "Boltzmann cannot choose molecules"),
        ("selectors={conformers: [maxmin]}", "MaxMin cannot choose conformers"),
        ("selectors={descriptor: sope}", "no featurizer 'sope'"),
    ],
)
def test_selectors_that_cannot_be_used_are_told_before_any_work(override, message):
    asked = load(TradeoffConfiguration, preset="smoke", overrides=[override])
    with pytest.raises(ConfigurationError, match=message):
        check_selectors(asked)


def test_reference_labels_are_read_only_where_the_budget_is_charged():
    free = ["selectors={conformers: [boltzmann]}"]
    asked = load(TradeoffConfiguration, preset="smoke", overrides=free)
    check_selectors(asked)
    assert level_read(asked) == "mmff94"
    without = load(TradeoffConfiguration, preset="smoke", overrides=[*free, "pool.prior=null"])
    with pytest.raises(ConfigurationError, match="'boltzmann' reads reference labels"):
        check_selectors(without)
    charged = load(
        TradeoffConfiguration, preset="smoke", overrides=[*free, "selectors.charge_labels=true"]
    )
    check_selectors(charged)
    assert level_read(charged) == "gfn2"
    geometric = load(
        TradeoffConfiguration, preset="smoke", overrides=["selectors={conformers: [fps]}"]
    )
    assert level_read(geometric) is None
    assert level_read(load(TradeoffConfiguration, preset="smoke")) is None


def test_file_over_preset_and_override_over_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("training:\n  n_updates: 7\n  batch_size: 3\n")
    asked = load(
        TradeoffConfiguration, preset="smoke", path=path, overrides=["training.n_updates=9"]
    )
    assert (asked.training.n_updates, asked.training.batch_size) == (9, 3)
    assert asked.pool == load(TradeoffConfiguration, preset="smoke").pool


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.n_update=5", "no key 'training.n_update'; did you mean 'training.n_updates'"),
        ("budgte=5", "no key 'budgte'"),
        ("fixed_budget.budgte=5", "did you mean 'fixed_budget.budget'"),
        ("training.n_updates=many", "training.n_updates: Input should be a valid integer"),
        ("replicates=1", "greater than or equal to 2"),
        ("training.patience=3", "unequal numbers of updates"),
        ("selectors={molecules: [random], conformers: []}", "name a selector of molecules"),
        ("selectors={conformer: [fps]}", "did you mean 'selectors.conformers'"),
        ("training.n_updates", "not of the form KEY=VALUE"),
    ],
)
def test_a_wrong_key_is_named(override, message):
    with pytest.raises(ConfigurationError, match=message):
        load(TradeoffConfiguration, preset="smoke", overrides=[override])


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no preset 'demmo'; did you mean 'demo'"):
        load(TradeoffConfiguration, preset="demmo")
    with pytest.raises(ConfigurationError, match="Cannot read the configuration"):
        load(TradeoffConfiguration, path=tmp_path / "absent.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("pool: [1, 2")
    with pytest.raises(ConfigurationError, match=r"bad\.yaml is not valid YAML"):
        load(TradeoffConfiguration, path=bad)
    bad.write_text("- 1\n")
    with pytest.raises(ConfigurationError, match="holds list where keys are needed"):
        load(TradeoffConfiguration, path=bad)


def test_every_field_is_documented():
    def undocumented(model, prefix=""):
        for name, info in model.model_fields.items():
            inner = [info.annotation, *getattr(info.annotation, "__args__", ())]
            sections = [k for k in inner if hasattr(k, "model_fields")]
            for section in sections:
                yield from undocumented(section, f"{prefix}{name}.")
            if not sections and not info.description:
                yield prefix + name

    assert list(undocumented(TradeoffConfiguration)) == []


def test_a_folder_holds_one_study(tmp_path):
    asked = load(TradeoffConfiguration, preset="smoke")
    open_plan(tmp_path, "tradeoff", asked)
    open_plan(tmp_path, "tradeoff", asked)
    other = load(TradeoffConfiguration, preset="smoke", overrides=["training.n_updates=11"])
    with pytest.raises(ConfigurationError, match=r"differs in training\.n_updates: \d+ there, 11"):
        open_plan(tmp_path, "tradeoff", other)
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"holds no study \(thesis\.tex"):
        open_plan(strange, "tradeoff", asked)
    assert YAML(typ="safe").load(dump(asked))["replicates"] == asked.replicates
