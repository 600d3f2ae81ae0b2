import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from breadth.diversity.errors import BreadthError, ConfigurationError, DataError
from breadth.diversity.tables import Labels
from breadth.training import TrainingConfig, fit, load_potential, predict, save_potential
from breadth.training.configuration import learning_rate
from breadth.training.order import BatchOrder

SMALL = {"name": "painn", "n_features": 16, "n_basis": 4, "cutoff": 8.0}
QUICK = TrainingConfig(n_updates=30, batch_size=4, device="cpu")


def weights(result):
    return {k: v.clone() for k, v in result.potential.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def run(data, config=QUICK, train=None, **options):
    train = np.arange(len(data)) if train is None else train
    return fit(SMALL, data, level="springs", train=train, config=config, **options)


def test_learns_what_can_be_learnt(make_toy):
    data = make_toy(n_conformers=80)
    train, test = np.arange(0, len(data), 2), data.select(np.arange(1, len(data), 2))
    config = TrainingConfig(n_updates=400, batch_size=8, learning_rate=0.01, device="cpu")
    result = run(data, config, train)
    truth, found = test.labels(), predict(result.potential, test)
    assert np.abs(found.forces - truth.forces).mean() < 0.15 * np.abs(truth.forces).mean()
    assert np.abs(found.energy - truth.energy).mean() < 0.05
    assert result.updates == 400
    assert result.history["loss"].shape == (400,)
    assert result.potential.energies_are_absolute(data.numbers)
    assert not result.potential.energies_are_absolute([7])


def test_same_seed_same_bits_in_any_record_order(toy):
    first = weights(run(toy, seed=3))
    assert_same(first, weights(run(toy, seed=3)))
    mixed = toy.select(np.random.default_rng(0).permutation(len(toy)))
    assert_same(first, weights(run(mixed, seed=3)))
    other = weights(run(toy, seed=4))
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_leaves_the_global_generator_alone(toy):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(toy)
    assert torch.equal(before, torch.get_rng_state())


SCRIPT = """
import sys, time, torch
sys.path[:0] = {paths!r}
torch.set_num_threads(1)
import numpy as np
from conftest import make_set
from breadth.training import TrainingConfig, fit
data = make_set()
def slowly(update, total, loss):
    print(update, flush=True)
    time.sleep(0.005)
fit({potential!r}, data, level="springs", train=np.arange(len(data)), validation=np.arange(4),
    config=TrainingConfig(**{config!r}), seed=1, directory={directory!r}, progress=slowly)
"""


def test_killed_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    config = {
        "n_updates": 60, "batch_size": 4, "checkpoint_every": 7, "validate_every": 10,
        "device": "cpu",
    }  # fmt: skip
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[2] / "src")]
    script = SCRIPT.format(
        paths=paths, potential=SMALL, config=config, directory=str(tmp_path / "run")
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 24:
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seen = []
        options = {
            "config": TrainingConfig(**config), "validation": np.arange(4), "seed": 1,
        }  # fmt: skip
        resumed = run(
            toy, directory=tmp_path / "run", progress=lambda u, n, x: seen.append(u), **options
        )
        straight = run(toy, **options)
    finally:
        torch.set_num_threads(threads)
    assert seen[0] > 7, "nothing was resumed"
    assert seen[0] % 7 == 1
    assert_same(weights(resumed), weights(straight))
    for name, values in straight.history.items():
        np.testing.assert_array_equal(resumed.history[name], values)
    # Once more: nothing is left to do.
    start = time.perf_counter()
    again = run(
        toy, directory=tmp_path / "run", progress=lambda *_: pytest.fail("it went on"), **options
    )
    assert time.perf_counter() - start < 5
    assert_same(weights(again), weights(straight))


def test_a_folder_of_another_fit_is_refused(toy, tmp_path):
    run(toy, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="another fit"):
        run(toy, directory=tmp_path, seed=1)


def test_divergence_is_told(toy):
    wild = QUICK.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(BreadthError, match="learning_rate"):
        run(toy, wild)


def test_early_stopping_keeps_the_best(toy):
    config = TrainingConfig(
        n_updates=200, batch_size=4, patience=1, validate_every=5, learning_rate=0.05,
        schedule="constant", device="cpu",
    )  # fmt: skip
    result = run(toy, config, np.arange(0, 30, 3), validation=np.arange(1, 30, 3))
    losses = result.history["validation_loss"]
    assert result.updates < 200
    assert losses[-1] > losses.min()
    with pytest.raises(ConfigurationError, match="patience"):
        run(toy, config)


def test_monitor_sees_running_means(toy):
    calls = []

    def monitor(update, potential):
        calls.append(update)
        return {"forces": float(np.abs(predict(potential, toy).forces).mean())}

    result = run(toy, monitor=monitor, monitor_at=(10, 30))
    assert calls == [10, 30]
    assert result.history["monitor_update"].tolist() == [10, 30]
    assert result.history["forces"].shape == (2,)
    assert_same(weights(result), weights(run(toy)))


def test_energies_alone_and_forces_alone(toy):
    labels = toy.labels()
    none = np.zeros(len(toy), dtype=bool)
    for missing in ("has_energy", "has_forces"):
        part = Labels(
            energy=labels.energy, forces=labels.forces,
            reference_energies=labels.reference_energies, **{missing: none},
        )  # fmt: skip
        result = run(toy.with_level("springs", part))
        assert np.isfinite(result.history["loss"]).all()


def test_without_isolated_atoms_energies_are_relative(make_toy):
    data = make_toy(n_molecules=2, atoms=False)
    with pytest.raises(DataError, match="relative_energies"):
        run(data)
    result = run(data, QUICK.model_copy(update={"relative_energies": True}))
    assert not result.potential.energies_are_absolute(data.numbers)
    found = predict(result.potential, data)
    assert np.abs(found.energy - data.labels().energy).max() < 5.0
    single = data.select(data.molecule == 0)
    assert not run(single).potential.energies_are_absolute([1])


def test_nothing_to_train_on(toy):
    with pytest.raises(DataError, match="no conformer"):
        run(toy, train=np.array([], dtype=int))


def test_batches_are_epochs_of_a_stream():
    order = BatchOrder(np.full(10, 5), 4, seed=0)
    frames = np.concatenate([order.batch(u) for u in range(40)])
    # 16 epochs; windows of 8 batches may mix two of them, but none is lost.
    assert np.bincount(frames).tolist() == [16] * 10
    later = BatchOrder(np.full(10, 5), 4, seed=0)
    np.testing.assert_array_equal(later.batch(29), order.batch(29))
    sizes = np.arange(64) % 8 + 3
    padded = sum(int(sizes[BatchOrder(sizes, 4, seed=1).batch(u)].max()) * 4 for u in range(16))
    assert padded < 1.1 * sizes.sum()


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_learning_rate_rises_and_falls(schedule):
    config = TrainingConfig(n_updates=100, schedule=schedule, warmup=0.1)
    rates = np.array([learning_rate(config, u) for u in range(100)])
    assert rates.argmax() in range(9, 11)
    assert rates.max() == pytest.approx(config.learning_rate)
    assert (rates > 0).all()
    assert rates[-1] < 0.05 * rates.max()


def test_misspelt_options_are_refused():
    with pytest.raises(ValueError, match="n_update"):
        TrainingConfig(n_update=3)


def test_predictions_do_not_depend_on_batches(toy, tmp_path):
    result = run(toy)
    together = predict(result.potential, toy)
    for i in (0, 20, 35):
        alone = predict(result.potential, toy.select([i]), batch_size=1)
        assert together.energy[i] == pytest.approx(alone.energy[0], abs=1e-5)
        np.testing.assert_allclose(together.forces[toy.atoms_slice(i)], alone.forces, atol=1e-5)
    save_potential(tmp_path, result.potential, {"level": "springs"})
    loaded, meta = load_potential(tmp_path)
    assert meta == {"level": "springs"}
    np.testing.assert_array_equal(predict(loaded, toy).energy, together.energy)


def test_damaged_potentials_are_told(toy, tmp_path):
    with pytest.raises(DataError, match="holds no potential"):
        load_potential(tmp_path)
    save_potential(tmp_path, run(toy).potential)
    weights_file = tmp_path / "weights.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        load_potential(tmp_path)
    weights_file.unlink()
    with pytest.raises(DataError, match=r"weights\.safetensors is missing"):
        load_potential(tmp_path)
    manifest = tmp_path / "potential.json"
    for damaged in ("[]", '{"format": 1}', '{"format": 1, "name": "painn", "hyper": 3}'):
        manifest.write_text(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            load_potential(tmp_path)
