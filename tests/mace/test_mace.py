"""MACE against the calculator of mace-torch, in an environment of its own: `make test-mace`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase.build import molecule

from breadth.diversity import ConfigurationError, ConformerSet, DataError, Labels
from breadth.studies.registry import potential_and_facts
from breadth.training import (
    PotentialCalculator,
    build_potential,
    load_potential,
    predict,
    save_potential,
)
from breadth.training.refinement import FINE_TUNING, blocks, fine_tune, late
from breadth.training.testing import PretrainedContract

pytest.importorskip("mace.modules")


def tiny(path, *, heads=("Default",), **changed):
    """Write a small model with random weights, by the package alone."""
    from e3nn import o3
    from mace import modules

    torch.manual_seed(7)
    options = {
        "r_max": 4.0,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        "interaction_cls_first": modules.interaction_classes["RealAgnosticInteractionBlock"],
        "num_interactions": 2,
        "num_elements": 4,
        "hidden_irreps": o3.Irreps("8x0e + 8x1o"),
        "MLP_irreps": o3.Irreps("4x0e"),
        "gate": torch.nn.functional.silu,
        "atomic_energies": np.array([[-13.6, -1029.0, -1485.5, -2042.2]] * len(heads)),
        "avg_num_neighbors": 6.0,
        "atomic_numbers": [1, 6, 7, 8],
        "correlation": 2,
        "radial_type": "bessel",
        "atomic_inter_scale": [0.8 + 0.1 * i for i in range(len(heads))],
        "atomic_inter_shift": [0.1 - 0.3 * i for i in range(len(heads))],
        "heads": list(heads),
    }
    model = modules.ScaleShiftMACE(**(options | changed))
    torch.save(model, path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(tiny(tmp_path_factory.mktemp("mace") / "tiny.model"))


@pytest.fixture(scope="module")
def contract_file(file):
    TestMACE.path = file


@pytest.mark.usefixtures("contract_file")
class TestMACE(PretrainedContract):
    path = ""

    def build(self, levels=("default",)):
        return build_potential("mace", path=self.path, levels=levels)


def structures():
    """Return molecules of several sizes, and crystals smaller than twice the cutoff."""
    found = [molecule(name) for name in ("H2O", "C6H6", "CH3CHO", "H2", "N2")]
    for cell in ([7.0, 7.5, 8.0], [[4.0, 0.2, 0], [0, 4.2, 0.3], [0.1, 0, 4.5]]):
        atoms = molecule("CH3OH")
        atoms.set_cell(cell)
        atoms.pbc = True
        found.append(atoms)
    for atoms in found:
        atoms.rattle(0.05, rng=np.random.default_rng(3))
    return found


def package_says(path, **options):
    from mace.calculators import MACECalculator

    loaded = torch.load(path, weights_only=False)
    calculator = MACECalculator(models=loaded, default_dtype="float64", **options)
    found = []
    for atoms in structures():
        atoms.calc = calculator
        stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
        found.append((atoms.get_potential_energy(), atoms.get_forces(), stress))
    torch.set_default_dtype(torch.float32)  # which the package changes for all
    return found


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"pair_repulsion": True, "distance_transform": "Agnesi"},
        {"num_interactions": 1},
        {"use_last_readout_only": True, "correlation": 3},
    ],
)
def test_double_precision_is_the_package(tmp_path, changed):
    torch.set_default_dtype(torch.float64)  # a file in double precision loses no digit
    path = str(tiny(tmp_path / "one.model", **changed))
    torch.set_default_dtype(torch.float32)
    calculator = PotentialCalculator(build_potential("mace", path=path).double())
    for atoms, (energy, forces, stress) in zip(structures(), package_says(path), strict=True):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6)
        if stress is not None:
            np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, atol=1e-8)


def test_one_padded_batch_is_the_package(file):
    data = ConformerSet.from_ase(structures())
    found = predict(build_potential("mace", path=file), data)
    for i, (energy, forces, _) in enumerate(package_says(file)):
        n = int(data.counts[i])
        assert found.energy[i] == pytest.approx(energy, abs=1e-4 * np.sqrt(n))
        np.testing.assert_allclose(found.forces[data.atoms_slice(i)], forces, atol=1e-4)


def test_heads_of_a_file(tmp_path):
    path = str(tiny(tmp_path / "two.model", heads=("Default", "other")))
    for asked, named in ((None, "Default"), ("other", "other")):
        calculator = PotentialCalculator(build_potential("mace", path=path, head=asked).double())
        says = package_says(path, head=named)
        for atoms, (energy, forces, _) in zip(structures(), says, strict=True):
            atoms.calc = calculator
            assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-5)
            np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6)
    with pytest.raises(ConfigurationError, match="Default, other"):
        build_potential("mace", path=path, head="third")


def test_what_was_saved_needs_no_file(tmp_path):
    path = tiny(tmp_path / "gone.model")
    potential = build_potential("mace", path=str(path))
    save_potential(tmp_path / "saved", potential)
    path.unlink()
    loaded, _ = load_potential(tmp_path / "saved")
    data = ConformerSet.from_ase(structures())
    first, second = predict(potential, data), predict(loaded, data)
    np.testing.assert_array_equal(first.energy, second.energy)
    np.testing.assert_array_equal(first.forces, second.forces)
    assert "gone.model" not in (tmp_path / "saved" / "potential.json").read_text()


def test_it_learns_another_level(file):
    potential = build_potential("mace", path=file)
    data = ConformerSet.from_ase(structures())
    level = predict(potential, data)
    data = data.with_level("soft", Labels(energy=0.9 * level.energy, forces=0.9 * level.forces))
    before = np.abs(predict(potential, data).forces - data.labels("soft").forces).mean()
    config = FINE_TUNING.model_copy(update={"n_updates": 30, "batch_size": 4})
    tuned = fine_tune(
        potential, data, level="soft", index=np.arange(len(data)), config=config
    ).potential
    after = np.abs(predict(tuned, data, level="soft").forces - data.labels("soft").forces).mean()
    assert after < 0.7 * before
    assert "soft" not in potential.levels


def test_rounds_of_messages_in_their_order(file):
    potential = build_potential("mace", path=file)
    rounds = {name.split(".")[2] for name in late(potential, 1) if name.startswith("blocks.1")}
    assert rounds == {"interaction", "product"}
    assert not any(name.startswith("blocks.0") for name in late(potential, 1))
    assert [block[0].split(".")[:2] for block in blocks(potential)][-2:] == [
        ["blocks", "0"], ["blocks", "1"],
    ]  # fmt: skip


def test_commands_name_a_file(file, tmp_path):
    found, facts = potential_and_facts(f"mace:{file}")
    data = ConformerSet.from_ase(structures())
    assert facts == {}
    again = predict(build_potential("mace", path=file), data)
    np.testing.assert_array_equal(predict(found, data).energy, again.energy)
    with pytest.raises(ConfigurationError, match="mace:FILE"):
        potential_and_facts("mace")


def test_domain(file):
    potential = build_potential("mace", path=file)
    with pytest.raises(DataError, match=r"holds S.*trained on H, C, N, O alone"):
        predict(potential, ConformerSet.from_ase([molecule("CH3SH")]))
    ion = molecule("H2O")
    ion.info["charge"] = 1
    with pytest.raises(DataError, match="another charge than MACE treats"):
        predict(potential, ConformerSet.from_ase([ion]))


def test_bad_files(tmp_path):
    with pytest.raises(ConfigurationError, match="path=FILE"):
        build_potential("mace")
    with pytest.raises(ConfigurationError, match="no file"):
        build_potential("mace", path=str(tmp_path / "none.model"))
    (tmp_path / "text.model").write_text("no pickle")
    with pytest.raises(DataError, match="no model"):
        build_potential("mace", path=str(tmp_path / "text.model"))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "linear.model")
    with pytest.raises(DataError, match=r"Linear.*ScaleShiftMACE"):
        build_potential("mace", path=str(tmp_path / "linear.model"))


def test_the_process_stays_as_safe_as_it_was(file):
    # In a fresh one, since the package has been imported here.
    code = (
        "import os; from breadth.training import build_potential; "
        f"build_potential('mace', path={file!r}); print('UNSAFE' in str(dict(os.environ)), end='')"
    ).replace("UNSAFE", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    env = {k: v for k, v in os.environ.items() if k != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True
    )
    assert done.stdout == "False", done.stderr


def test_hyper_parameters_are_json(file):
    hyper = build_potential("mace", path=file).hyper
    assert json.loads(json.dumps(hyper))["architecture"]["gate"] == "silu"
