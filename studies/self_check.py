"""A small piece of everything that breadth does, done for real, in seconds: is the machine fit?"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from ..diversity import ConformerSet
    from ..training import FitResult

#: Å. A bent molecule of water, and its GFN2-xTB energy in eV by tblite 0.4, 0.7 and 0.8.
WATER = ((0.0, 0.0, 0.12), (0.0, 0.76, -0.48), (0.0, -0.76, -0.48))
WATER_ENERGY = -137.96578


class Check:
    """The steps and what they hand to each other.

    Parameters
    ----------
    folder : Path
        What is written goes there.
    """

    conformers: ConformerSet
    fitted: FitResult

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def geometries(self) -> str:
        """Embed ethanol and displace it along its normal modes (RDKit)."""
        from ..sampling import Molecule, sample_geometries

        self.conformers, _ = sample_geometries([Molecule("ethanol", "CCO")], n_conformers=8, seed=0)
        _hold(len(self.conformers) == 8, f"{len(self.conformers)} of 8 conformers were made")
        return "8 conformers of ethanol"

    def labelling(self) -> str:
        """Label them, and a molecule of water whose energy is known (tblite)."""
        from ase import Atoms

        from ..diversity import ConformerSet
        from ..sampling import Gfn2, label_chunk

        water = ConformerSet.from_ase([Atoms("OHH", WATER)])
        energy = float(label_chunk(water, Gfn2()).energy[0])
        off = abs(energy - WATER_ENERGY)
        _hold(off < 1e-3, f"water has {energy:.5f} eV instead of {WATER_ENERGY:.5f}")
        labels = label_chunk(self.conformers, Gfn2())
        missing = int((~labels.has_forces).sum())
        _hold(not missing, f"{missing} of 8 conformers got no label: {labels.faults}")
        self.conformers = self.conformers.with_level("gfn2", labels)
        return f"GFN2-xTB; water at {energy:.4f} eV"

    def files(self) -> str:
        """Write the set in two forms, and read it back."""
        from ..diversity import read, write

        for name in ("set.xyz", "native"):
            write(self.conformers, self.folder / name)
            back = read(self.folder / name)
            same = (back.id == self.conformers.id).all() and np.array_equal(
                back.labels("gfn2").forces, self.conformers.labels("gfn2").forces
            )
            _hold(bool(same), f"{name} does not hold what was written")
        return "extended XYZ and native, read back equal"

    def fit(self) -> str:
        """Fit a small potential for a few updates (torch)."""
        from ..training import TrainingConfig, fit

        # One molecule cannot tell the energies of its elements apart.
        config = TrainingConfig(n_updates=60, batch_size=4, relative_energies=True, device="cpu")
        self.fitted = fit(
            {"name": "factorised_painn", "n_features": 16},
            self.conformers,
            level="gfn2",
            train=np.arange(len(self.conformers)),
            config=config,
        )
        loss = self.fitted.history["loss"]
        first, last = float(loss[:10].mean()), float(loss[-10:].mean())
        _hold(last < first, f"the loss does not fall: {first:.3f} to {last:.3f}")
        return f"60 updates, loss {first:.2f} to {last:.2f}"

    def gpu(self) -> str | None:
        """Predict on the CUDA device as on the processor; None where there is no such device."""
        import torch

        from ..training import predict

        if not torch.cuda.is_available():
            return None
        here, there = (
            predict(self.fitted.potential, self.conformers, device=device).forces
            for device in ("cpu", "cuda")
        )
        off = float(np.abs(here - there).max())
        _hold(off < 1e-3, f"forces differ from the processor's by {off:.1e} eV/Å")
        return f"forces as on the processor, within {off:.0e} eV/Å"

    def figure(self) -> str:
        """Draw the loss over updates (matplotlib)."""
        from ..analysis.figures import save
        from ..analysis.figures.style import new_figure

        figure = new_figure("single", 2.0)
        axes = figure.subplots()
        axes.plot(self.fitted.history["loss"])
        axes.set(xlabel="update", ylabel="loss")
        written = save(figure, self.folder / "loss")
        _hold(all(path.stat().st_size > 1000 for path in written), "an empty file was drawn")
        return ", ".join(path.suffix.removeprefix(".").upper() for path in written)

    def workers(self) -> str:
        """Start two worker processes, as studies do; each waits for the other."""
        context = get_context("spawn")
        both = context.Barrier(2)
        with ProcessPoolExecutor(2, context, initializer=_meet, initargs=(both,)) as pool:
            heard = {job.result(timeout=120) for job in [pool.submit(os.getpid) for _ in range(2)]}
        _hold(os.getpid() not in heard, "the work was done in this process")
        return "two processes started and answered"


_REINSTALL = "pip check, then pip install --force-reinstall {}"

#: Steps in order; what must have passed before, and what to do where the step itself fails.
STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "geometries": ((), _REINSTALL.format("rdkit numpy")),
    "labelling": (("geometries",), _REINSTALL.format("tblite ase")),
    "files": (("labelling",), "name a temporary folder that can be written to: export TMPDIR=…"),
    "fit": (("labelling",), _REINSTALL.format("torch")),
    "gpu": (("fit",), "update the driver, install torch for its CUDA, or CUDA_VISIBLE_DEVICES=''"),
    "figure": (("fit",), _REINSTALL.format("matplotlib")),
    "workers": ((), "allow processes and shared memory (ulimit -u, /dev/shm), or use --workers 1"),
}


def self_check(progress: Callable[[str, float, float], None] | None = None) -> list[dict[str, Any]]:
    """Do a small piece of everything in a temporary folder; under 10 s on an idle core.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    list of dict
        For each step ``step``, ``passed`` (None where it was not run), ``seconds``, ``told`` (what
        was done, or why not) and ``do``, the remedy of a failure.
    """
    show = progress or (lambda phase, done, total: None)
    done: list[dict[str, Any]] = []
    passed: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="breadth-doctor-") as folder:
        check = Check(Path(folder))
        for name, (needed, remedy) in STEPS.items():
            show("self-check", len(done), len(STEPS))
            lacking = [one for one in needed if one not in passed]
            if lacking:
                told = f"not run, since {lacking[0]} failed"
                done.append(_step(name, None, 0.0, told))
                continue
            start = time.monotonic()
            try:
                answer = getattr(check, name)()
            except Exception as error:  # whatever is wrong with the machine is the answer
                told = f"{type(error).__name__}: {error}"
                done.append(_step(name, False, time.monotonic() - start, told, remedy))
                continue
            if answer is not None:
                passed.add(name)
            told = answer or "not run, since there is no such device"
            done.append(_step(name, answer and True, time.monotonic() - start, told))
        show("self-check", len(STEPS), len(STEPS))
    return done


def _step(
    name: str, passed: bool | None, seconds: float, told: str, do: str | None = None
) -> dict[str, Any]:
    return {
        "step": name,
        "passed": passed,
        "seconds": round(seconds, 2),
        "told": told,
        "do": do,
    }


def _meet(barrier: Barrier) -> None:
    """Wait until both workers are there: one cannot answer for both."""
    barrier.wait(timeout=60)


def _hold(true: bool, otherwise: str) -> None:
    if not true:
        raise RuntimeError(otherwise)
