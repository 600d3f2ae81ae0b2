"""A study in its smallest form, in this process: an own small potential is the universal one."""

from concurrent.futures import Executor, Future

import numpy as np
import pytest
import torch

from breadth.sampling.geometries import GeometrySettings, sample_chunk
from breadth.sampling.labels import label_chunk
from breadth.sampling.molecules import Molecule
from breadth.studies.configuration import load
from breadth.studies.finetuning import FinetuningConfiguration, run, run_finetuning
from breadth.studies.registry import label_engine
from breadth.training import TrainingConfig, fit, save_potential

#: Seconds of work: enough to see that every number is where it belongs.
TINY = (
    *("system.smiles=CO", "system.name=methanol", "replicates=2", "n_frames=[4, 8]"),
    *("dynamics.n_steps=16", "dynamics.record_every=1", "test.n_steps=8", "test.n_frames=4"),
    "dynamics.temperature=100",
    *("test.independent_steps=8", "test.independent_runs=1", "original_domain.n_molecules=2"),
    *("original_domain.n_conformers=1", "n_components=2", "descriptor=compact"),
    "fine_tuning.training={n_updates: 3, batch_size: 4, learning_rate: 0.0003}",
)


class Here(Executor):
    """Work in this process, at once."""

    def submit(self, function, /, *arguments, **options):
        done = Future()
        try:
            done.set_result(function(*arguments, **options))
        except BaseException as error:
            done.set_exception(error)
        return done


@pytest.fixture(scope="session")
def universal(tmp_path_factory):
    """The folder of a small potential that knows a few molecules at the level of MMFF94."""
    torch.set_num_threads(1)
    molecules = [Molecule(name, name) for name in ("CO", "CCO", "CN", "C")]
    data, _ = sample_chunk(molecules, n_conformers=12, seed=0, settings=GeometrySettings())
    data = data.with_level("mmff94", label_chunk(data, label_engine("mmff94")))
    fitted = fit(
        {"name": "factorised_painn", "n_features": 8, "n_layers": 1, "cutoff": 3.5},
        data,
        level="mmff94",
        train=np.arange(len(data)),
        # By AdamW, which is ahead in so few updates.
        config=TrainingConfig(
            n_updates=150, optimizer="adamw", batch_size=8, relative_energies=True
        ),
    )
    folder = tmp_path_factory.mktemp("universal") / "mine"
    save_potential(folder, fitted.potential)
    return folder


@pytest.fixture(scope="session")
def configuration(universal):
    """Return a configuration that differs from the smallest one by overrides."""

    def make(*overrides):
        return load(
            FinetuningConfiguration,
            overrides=[*TINY, f"potential={universal}", "original_domain.molecules="
                       f"{universal.parent / 'molecules.smi'}", *overrides],
        )  # fmt: skip

    (universal.parent / "molecules.smi").write_text("CCO a\nCN b\nC c\nCO d\nCC e\nCCC f\nOCO g\n")
    return make


@pytest.fixture(scope="session")
def carried_out():
    """Run a study in this process without figures, which have tests of their own."""

    def carry_out(asked, out):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "draw_widths", lambda *arguments: None)
            return run_finetuning(asked, out, executor=Here())

    return carry_out


@pytest.fixture(scope="session")
def studied(configuration, carried_out, tmp_path_factory):
    """The folder of a finished study, its configuration and results."""
    out = tmp_path_factory.mktemp("finetuning") / "tiny"
    asked = configuration()
    return out, asked, carried_out(asked, out)
