"""What is read from disk, small and whole: a subject for each kind of file that a user can give."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import Trajectory

from breadth.diversity.formats import read, write
from breadth.diversity.formats.streaming import convert_to_native, streams
from breadth.diversity.tables import Extra
from breadth.diversity.testing import FormatContract

from ..diversity.formats import test_hdf5 as hdf5
from ..diversity.formats import test_orca as orca
from ..diversity.formats import test_psi4 as psi4
from ..diversity.formats import test_qcschema as qcschema
from ..diversity.formats import test_sdf as sdf
from ..diversity.formats import test_vasp as vasp


@dataclass(frozen=True)
class Subject:
    """A kind of input.

    Parameters
    ----------
    name : str
    make : callable
        ``make(folder)`` writes it, whole.
    read : callable
        ``read(folder, case)`` reads it as a user's command does; the number of the case chooses
        among ways to.
    share : float
        Of all cases, before the shares are scaled to one.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path, int], object]
    share: float = 1.0


def _example() -> Any:
    made = FormatContract().example()
    note = Extra(np.array(["a", "b c", ""]), np.ones(3, dtype=bool))
    tag = Extra(np.arange(9), np.ones(3, dtype=bool))
    return replace(made, frame_extras={"note": note}, atom_extras={"tag": tag})


def _text(name: str, text: str, folder: Path) -> None:
    (folder / name).write_text(text)


def _ours(name: str, folder: Path) -> None:
    write(_example(), folder / name)


def _of_ase(name: str, folder: Path) -> None:
    """Write frames as a user of ASE does, without a header of ours."""
    import ase.io

    atoms = _example().to_ase("gfn2")
    for one in atoms:
        one.info = {"note": "a b", "charge": 0}
    ase.io.write(folder / name, atoms)


def _md17(folder: Path) -> None:
    random = np.random.default_rng(0)
    place = np.array([[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]])
    np.savez(
        folder / "md17.npz",
        z=np.array([8, 1, 1]),
        R=place + random.normal(scale=0.01, size=(4, 3, 3)),
        E=random.normal(size=(4, 1)) - 47000,
        F=random.normal(size=(4, 3, 3)),
        theory="CCSD",
        e_unit=b"kcal/mol",
    )


def _trajectory(folder: Path) -> None:
    atoms = molecule("H2O")
    random = np.random.default_rng(0)
    with Trajectory(folder / "md.traj", "w") as out:
        for step in range(4):
            atoms.positions += random.normal(scale=0.01, size=(3, 3))
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * step, forces=np.eye(3) * 0.1)
            out.write(atoms)


def _read_set(folder: Path, case: int) -> object:
    """Read the one data set in a folder, at once or converted a chunk at a time."""
    path = next(p for p in sorted(folder.iterdir()) if not p.name.startswith("."))
    if path.is_file() and case % 4 == 3 and streams(path):
        out = folder / f".converted-{case}"
        convert_to_native(path, out, skip_bad=case % 8 == 3)
        path = out
    made = read(path, skip_bad=case % 2 == 1)
    assert np.isfinite(made.positions).all()
    for labels in made.levels.values():
        assert np.isfinite(labels.energy).all()
        assert np.isfinite(labels.forces).all()
    return made.id  # every atom and cell is looked at


FILES = {
    "extxyz": partial(_ours, "a.xyz"),
    "extxyz of ase": partial(_of_ase, "a.xyz"),
    "rmd17": partial(_ours, "a.npz"),
    "md17": _md17,
    "native": partial(_ours, "a"),
    "ase db": partial(_ours, "a.db"),
    "ase db of ase": partial(_of_ase, "a.db"),
    "ase json": partial(_ours, "a.json"),
    "traj": _trajectory,
    "qcschema": partial(
        _text, "a.json", json.dumps([qcschema.result(), qcschema.WATER], indent=1)
    ),
    "sdf": partial(_text, "a.sdf", sdf.WATER),
    "vasprun": partial(_text, "vasprun.xml", vasp.vasprun(vasp.xml_step(), vasp.xml_step())),
    "outcar": partial(_text, "OUTCAR", vasp.outcar(vasp.outcar_step(), vasp.outcar_step())),
    "orca": partial(
        _text, "a.out", orca.BANNER.format("! B3LYP def2-SVP EnGrad") + orca.step() + orca.END
    ),
    "psi4": partial(_text, "a.dat", psi4.output(psi4.geometry() + psi4.field() + psi4.slope())),
    "spice": lambda folder: hdf5.spice_file(folder / "a.h5"),
    "ani-1x": lambda folder: hdf5.ani1x_file(folder / "a.h5"),
    "ani-2x": lambda folder: hdf5.ani2x_file(folder / "a.h5"),
    "ani-1": lambda folder: hdf5.ani1_file(folder / "a.h5"),
    "qm7-x": lambda folder: hdf5.qm7x_file(folder / "a.h5"),
}  # fmt: skip


def _smiles(folder: Path) -> None:
    (folder / "a.smi").write_text("CCO ethanol\nc1ccccc1\n# none\nC[C@H](N)C(=O)O alanine\n[Na+]\n")


def _read_smiles(folder: Path, case: int) -> object:
    from breadth.sampling.molecules import read_smiles

    return [one.smiles for one in read_smiles(folder / "a.smi")]


# -- configurations ------------------------------------------------------------------------------


def _sections() -> dict[str, Any]:
    from breadth.studies.adapting import AdaptConfiguration
    from breadth.studies.finetuning import FinetuningConfiguration
    from breadth.studies.pooling import PoolConfiguration
    from breadth.studies.radii import RadiusConfiguration
    from breadth.studies.refinement import RefinementConfiguration
    from breadth.studies.single import TrainConfiguration
    from breadth.studies.tradeoff import TradeoffConfiguration
    from breadth.studies.tuning import TuneConfiguration

    found = (TradeoffConfiguration, RefinementConfiguration, FinetuningConfiguration)
    found += (TrainConfiguration, PoolConfiguration, AdaptConfiguration, TuneConfiguration)
    return {one.__name__: one for one in (*found, RadiusConfiguration)}


def _configuration(model: str, preset: str, folder: Path) -> None:
    from breadth.studies.configuration import dump, load, preset_text

    chosen = _sections()[model]
    if preset:
        (folder / "a.yaml").write_text(preset_text("smoke", preset.strip("/")))
    else:
        (folder / "a.yaml").write_text(dump(load(chosen)))


def _read_configuration(model: str, folder: Path, case: int) -> object:
    from breadth.studies.configuration import dump, load

    if case % 5 == 4:  # the lines as they would be given to --set
        text = (folder / "a.yaml").read_text(errors="replace")
        pairs = [line.replace(": ", "=", 1).strip() for line in text.splitlines() if ": " in line]
        return dump(load(_sections()[model], overrides=pairs[:4]))
    return dump(load(_sections()[model], path=folder / "a.yaml"))


# -- potentials ----------------------------------------------------------------------------------


@cache
def _potential() -> Any:
    from breadth.training import build_potential

    return build_potential("factorised_painn", n_features=8)


def _saved(folder: Path) -> None:
    from breadth.training import save_potential

    save_potential(folder / "model", _potential(), {"level": "gfn2"})


def _read_potential(folder: Path, case: int) -> object:
    from breadth.studies.registry import potential_and_facts

    return potential_and_facts(folder / "model")


def _fit(folder: Path) -> object:
    from breadth.training import TrainingConfig, fit

    return fit(
        {"name": "factorised_painn", "n_features": 8},
        _example(),
        level="gfn2",
        train=np.arange(3),
        config=TrainingConfig(n_updates=4, batch_size=2, checkpoint_every=2),
        seed=0,
        directory=folder / "fit",
    )


def _resumed(folder: Path, case: int) -> object:
    return _fit(folder)


def _extrapolation(folder: Path) -> None:
    from breadth.analysis.extrapolation import ExtrapolationModel

    random = np.random.default_rng(0)
    rows, elements = random.normal(size=(80, 5)), np.tile([1, 8], 40)
    frame = np.repeat(np.arange(20), 4)
    fitted = ExtrapolationModel.fit(np.array_split(rows, 2), elements, frame, n_components=2)
    fitted.save(folder / "model")


def _read_extrapolation(folder: Path, case: int) -> object:
    from breadth.analysis.extrapolation import ExtrapolationModel

    model = ExtrapolationModel.load(folder / "model")
    return model.score(np.ones((2, 5)), np.array([1, 8])).q


# -- sweeps and finished runs ---------------------------------------------------------------------

#: Environment variable with the folder of a finished trade-off study, whose files are damaged too.
RUN = "BREADTH_FINISHED_RUN"
SWEEP = """study: tradeoff
preset: smoke
set: {training: {n_updates: 12}, pool.n_molecules: 18}
over: {training.learning_rate: [0.003, 0.006], seed: [0, 1, 2]}
executor: {kind: local, workers: 2, options: {memory_limit: 2GB}}
"""


def _sweep(folder: Path) -> None:
    from breadth.studies.sweep import load_sweep

    (folder / "plan.yaml").write_text(SWEEP)
    asked = load_sweep(folder / "plan.yaml", folder)
    (folder / "out").mkdir()
    plan = {"study": "sweep", "configuration": asked.plan().model_dump(mode="json")}
    (folder / "out" / "plan.json").write_text(json.dumps(plan))
    executor = asked.model_dump(mode="json", include={"executor", "at_once"})
    (folder / "out" / "executor.json").write_text(json.dumps(executor))


def _read_sweep(folder: Path, case: int) -> object:
    from breadth.studies.sweep import load_sweep
    from breadth.studies.sweep.points import sweep_points

    if case % 3 == 0:  # as a sweep that goes on finds it
        return load_sweep(None, folder / "out")
    return sweep_points(load_sweep(folder / "plan.yaml", folder / "out").plan())


def _run(folder: Path) -> None:
    """Copy what commands read of a finished study, without its units and figures."""
    shutil.copytree(
        os.environ[RUN],
        folder / "run",
        ignore=shutil.ignore_patterns("units", "figures", "partial", "report.html", ".*"),
    )


def _read_run(folder: Path, case: int) -> object:
    run = folder / "run"
    if case % 5 == 0:
        return _command("advise", run / "results.nc", "--budget", 1000, "--json")
    if case % 5 == 1:
        asked = json.loads((Path(os.environ[RUN]) / "plan.json").read_text())["configuration"]
        (folder / ".asked.yaml").write_text(json.dumps(asked))
        config = ("--config", folder / ".asked.yaml")
        # Finished, it is told again; not finished, its units are gone and nothing is run.
        if (run / "finished.json").exists():
            return _command("study", "tradeoff", *config, "--out", run)
    return _command("report", run)


def _draw_run(folder: Path, case: int) -> object:
    return _command("figures", folder / "run", "--format", "png", "--out", folder / "figures")


def _command(*arguments: object) -> object:
    """Run a command here, whose errors are raised."""
    from breadth.studies.cli.app import app

    with redirect_stdout(io.StringIO()):
        return app([str(one) for one in arguments])


def subjects() -> list[Subject]:
    """Return all subjects."""
    files = [Subject(name, make, _read_set) for name, make in FILES.items()]
    configurations = [
        Subject(
            f"yaml {model}",
            partial(_configuration, model, preset),
            partial(_read_configuration, model),
        )
        for model, preset in (
            *(("TradeoffConfiguration", "/"), ("RefinementConfiguration", "refinement")),
            *(("FinetuningConfiguration", "finetuning"), ("TrainConfiguration", "")),
            *(("PoolConfiguration", ""), ("TuneConfiguration", "")),
        )
    ]
    runs = [Subject("run", _run, _read_run, 0.5), Subject("figures", _run, _draw_run, 0.05)]
    return [
        *files,
        *configurations,
        Subject("smiles", _smiles, _read_smiles),
        Subject("potential", _saved, _read_potential),
        Subject("checkpoint", _fit, _resumed),
        Subject("extrapolation", _extrapolation, _read_extrapolation),
        Subject("sweep", _sweep, _read_sweep),
        *(runs if RUN in os.environ else []),
    ]
