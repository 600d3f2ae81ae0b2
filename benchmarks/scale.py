"""How time, memory and files grow with a set: each step of the work at 10⁵ and 10⁶ conformers.

Each step runs in a process of its own, so that its peak of memory is its own, and prints a row.
There is no peer. The conformers are displaced geometries of 2,000 molecules of QM9. Their labels
are those of springs (0.5 eV/Å² on every coordinate, about the geometry that was displaced): costs
need arrays of the right size, not the right chemistry. Nothing here is a training set. Seconds are
of the processor, on one thread, so that a busy machine matters less; those of the clock are beside.

    python benchmarks/scale.py --folder /tmp/scale --sizes 1e5 1e6 [--steps write convert …]

The folder keeps the sets between steps (5 GB at 10⁶); remove it afterwards.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import emit

from breadth.diversity import ConformerSet, Labels, read, write
from breadth.diversity.formats import native
from breadth.diversity.randomness import generator

MOLECULES, SAMPLED, NOISE, SPRING = 2_000, 5, 0.03, 0.5
#: Conformers that are made, written and predicted at once.
CHUNK = 100_000
#: What is chosen, whatever the size of the set.
CHOSEN = 1_000


class Clock:
    """Time of what is measured, without the reading and making of its inputs."""

    wall = processor = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time of a block."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


# -- making and moving ------------------------------------------------------------------------


def seeds(folder: Path) -> ConformerSet:
    """Return five geometries each of 2,000 molecules, made once."""
    from breadth.sampling.geometries import sample_geometries
    from breadth.sampling.molecules import bundled_molecules

    place = folder.parent / "seeds"
    if not place.exists():
        few, _ = sample_geometries(bundled_molecules()[:MOLECULES], n_conformers=SAMPLED, seed=0)
        write(few, place)
    return read(place)


def displaced(few: ConformerSet, size: int) -> Iterator[ConformerSet]:
    """Yield chunks that hold, together, `size` conformers with labels of springs."""
    for start in range(0, size, CHUNK):
        rows = np.arange(start, min(start + CHUNK, size))
        made = few.select(rows % len(few))
        moves = generator(0, "scale", start).normal(scale=NOISE, size=made.positions.shape)
        energy = np.add.reduceat(0.5 * SPRING * (moves**2).sum(axis=1), made.offsets[:-1])
        labels = Labels(energy=energy, forces=-SPRING * moves)
        yield replace(
            made, positions=made.positions + moves, record=rows, levels={"springs": labels}
        )


def write_native(folder: Path, size: int, clock: Clock) -> None:
    """Append chunks to a native folder."""
    shutil.rmtree(folder / "native", ignore_errors=True)
    for chunk in displaced(seeds(folder), size):
        with clock.running():
            native.append(folder / "native", chunk)


def write_extxyz(folder: Path, size: int, clock: Clock) -> None:
    """Write extended XYZ, a chunk at a time, into one file."""
    with (folder / "set.xyz").open("wb") as whole:
        for chunk in native.open_native(folder / "native"):
            with clock.running():
                write(chunk, folder / "part.xyz")
            with (folder / "part.xyz").open("rb") as part:
                shutil.copyfileobj(part, whole, 2**24)
    (folder / "part.xyz").unlink()


def convert(folder: Path, size: int, clock: Clock) -> None:
    """Turn extended XYZ into the native form; the molecules are told from the geometries."""
    from breadth.diversity.formats.streaming import convert_to_native

    shutil.rmtree(folder / "converted", ignore_errors=True)
    with clock.running():
        convert_to_native(folder / "set.xyz", folder / "converted")
    shutil.rmtree(folder / "converted")


def open_shards(folder: Path, size: int, clock: Clock) -> None:
    """Open every shard: memory-mapped, and looked through once for what cannot be."""
    with clock.running():
        list(native.open_native(folder / "native"))


def batches(folder: Path, size: int, clock: Clock) -> dict[str, Any]:
    """Take 200 random batches of 32 conformers out of all shards, which are open."""
    shards = list(native.open_native(folder / "native"))
    random = generator(0, "batches")
    with clock.running():
        for _ in range(200):
            shard, row = np.divmod(random.choice(size, 32, replace=False), CHUNK)
            for k in np.unique(shard):
                one = shards[k].select(row[shard == k])
                one.labels().forces.sum()
    return {"conformers_per_s": round(200 * 32 / clock.processor)}


def read_whole(folder: Path, size: int, clock: Clock) -> None:
    """Read the set into memory and name every conformer by its contents."""
    with clock.running():
        assert len(read(folder / "native").id) == size


# -- looking and choosing -----------------------------------------------------------------------


def describe(folder: Path, size: int, clock: Clock) -> dict[str, Any]:
    """Do what `breadth describe` does, the audit included."""
    from breadth.diversity.audit import CHECKS, torsional_regions
    from breadth.diversity.describe import describe as told

    whole = read(folder / "native")
    parts = {}
    for step in (told, *CHECKS, torsional_regions):
        before = clock.processor
        with clock.running():
            step(whole)
        parts[step.__name__] = round(clock.processor - before, 2)
    return {"seconds_of": parts}


def measure(folder: Path, size: int, clock: Clock) -> dict[str, Any]:
    """Do what `breadth measure` does."""
    from breadth.diversity.measures.measure import measure as measure_set

    whole = read(folder / "native")
    begun: dict[str, float] = {}
    with clock.running():
        measure_set(whole, progress=lambda part: begun.update({part: time.process_time()}))
        begun["end"] = time.process_time()
    times = list(begun.values())
    return {"seconds_of": dict(zip(begun, np.diff(times).round(2).tolist(), strict=False))}


def select(by: str, level: str) -> Callable[[Path, int, Clock], dict[str, Any]]:
    """Return a step that does what `breadth select` does."""

    def step(folder: Path, size: int, clock: Clock) -> dict[str, Any]:
        from breadth.sampling.selecting import select as choose
        from breadth.studies.registry import featurizer, selector

        whole, chooser = read(folder / "native"), selector(by)
        described = featurizer("compact") if chooser.takes == "features" else None
        with clock.running():
            choose(whole, chooser, level=level, budget=CHOSEN, featurizer=described)
        return {"chosen": CHOSEN, "of": level}

    return step


def shift(folder: Path, size: int, clock: Clock) -> dict[str, Any]:
    """Do what `breadth shift` does, between the two halves of the molecules."""
    from breadth.studies.shifting import shift_sets

    whole = read(folder / "native")
    first = whole.molecule < whole.n_molecules // 2
    a, b = whole.select(first), whole.select(~first)
    del whole
    with clock.running():
        found = shift_sets(a, b)
    return {"compared": [one["n_compared"] for one in found["sets"]]}


def design(folder: Path, size: int, clock: Clock) -> None:
    """Choose a tenth of the set on half of its molecules, hold-outs beside it."""
    from breadth.sampling.designs import FixedBudget
    from breadth.sampling.splits import HoldOuts
    from breadth.studies.designing import design_set

    whole = read(folder / "native")
    n_molecules = MOLECULES // 2
    held = HoldOuts(
        n_unseen_molecules=100, n_test_conformers=2, n_available=size // 10 // n_molecules
    )
    with clock.running():
        design_set(whole, FixedBudget(budget=size // 10, n_molecules=n_molecules), held)


def predict(folder: Path, size: int, clock: Clock) -> dict[str, Any]:
    """Predict energies and forces of the first 20,000 conformers at most, on one thread."""
    from breadth.training import build_potential
    from breadth.training import predict as predict_set

    part = native.open_native(folder / "native")[0]
    part = part.select(np.arange(min(len(part), 20_000)))
    potential = build_potential("factorised_painn", levels=("springs",)).eval()
    with clock.running():
        predict_set(potential, part)
    return {"predicted": len(part), "conformers_per_s": round(len(part) / clock.processor)}


STEPS: dict[str, Callable[[Path, int, Clock], Any]] = {
    "write": write_native,
    "extxyz": write_extxyz,
    "convert": convert,
    "open": open_shards,
    "batches": batches,
    "read": read_whole,
    "describe": describe,
    "measure": measure,
    "select_random": select("random", "structures"),
    "select_fps": select("fps", "structures"),
    "select_maxmin": select("maxmin", "molecules"),
    "shift": shift,
    "design": design,
    "predict": predict,
}


def run_step(name: str, folder: Path, size: int) -> None:
    """Run one step and print its row."""
    clock = Clock()
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = STEPS[name](folder, size, clock) or {}
    files: dict[str, list[int]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".lock":
            files.setdefault(path.relative_to(folder).parts[0], []).append(path.stat().st_size)
    emit(
        f"scale_{name}",
        ours=clock.processor,
        peer=None,
        unit="s",
        equal=None,
        conformers=size,
        wall_s=round(clock.wall, 2),
        load_average=round(os.getloadavg()[0], 1),
        loaded_mb=round(loaded / 1024),
        files={top: {"n": len(sizes), "mb": sum(sizes) / 1e6} for top, sizes in files.items()},
        **facts,
    )


def main() -> int:
    """Run the steps that were asked for, each in a process of its own; return 1 if one failed."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--folder", type=Path, required=True)
    asked.add_argument("--sizes", type=float, nargs="+", default=[1e5, 1e6])
    asked.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    asked.add_argument("--here", action="store_true", help="run one step in this process")
    options = asked.parse_args()
    failed = 0
    for size in map(int, options.sizes):
        folder = options.folder / f"{size}"
        folder.mkdir(parents=True, exist_ok=True)
        for step in options.steps:
            if options.here:
                run_step(step, folder, size)
                continue
            mine = ("--folder", options.folder, "--sizes", size, "--steps", step, "--here")
            done = subprocess.run([sys.executable, __file__, *map(str, mine)], check=False)
            if done.returncode:
                failed = 1
                row = {"row": f"scale_{step}", "conformers": size}
                print(json.dumps({**row, "error": f"exit {done.returncode}"}), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
