"""GFN2-xTB labels by two worker processes, against the rate of one core."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rows import emit

from breadth.diversity import concat, write
from breadth.sampling import Gfn2, bundled_molecules, label_chunk, sample_geometries
from breadth.studies.costs import chunks, core_seconds
from breadth.studies.executor import process_pool, run_units
from breadth.studies.pool import label_unit, measured_seconds, read_set
from breadth.studies.store import Store
from breadth.studies.units import Unit

WORKERS = 2
RUNS = 2
#: Least share of workers × single-core rate.
LIMIT = 0.95
N_MOLECULES, N_CONFORMERS = 40, 80


def main() -> int:
    """Print the row; return 1 if labels of two workers are not those of one process."""
    conformers, _ = sample_geometries(
        bundled_molecules()[::50][:N_MOLECULES], n_conformers=N_CONFORMERS, seed=0
    )
    alone, together, per_label, in_workers, in_all = [], [], [], [], []
    label_chunk(conformers.select(np.arange(20)), Gfn2())
    equal = True
    with tempfile.TemporaryDirectory() as folder, process_pool(WORKERS) as executor:
        list(executor.map(_warm, range(4 * WORKERS)))
        for run in range(RUNS):
            start, cores = time.perf_counter(), core_seconds()
            expected = label_chunk(conformers, Gfn2())
            alone.append(len(conformers) / (time.perf_counter() - start))
            per_label.append((core_seconds() - cores) / len(conformers))

            # As `breadth label` and `breadth pool` do it, results on disk included.
            store = Store(Path(folder) / str(run))
            given = Unit("given", 1, {})
            with store.writing(given) as target:
                write(conformers, target / "set")
            parts = chunks("gfn2", conformers)
            units = [label_unit(given, part, engine="gfn2", prior=None) for part in parts]
            start, cores = time.perf_counter(), _seconds_of_all()
            run_units(store, units, executor)
            together.append(len(conformers) / (time.perf_counter() - start))
            in_all.append((_seconds_of_all() - cores) / len(conformers))
            in_workers.append(measured_seconds(store, units)["gfn2"] / len(conformers))
            found = concat([read_set(store, unit.key) for unit in units])
            order = {name: i for i, name in enumerate(found.id.tolist())}
            energies = found.labels("gfn2").energy[[order[i] for i in conformers.id.tolist()]]
            equal = equal and bool(np.array_equal(energies, expected.energy))
    ours, peer = statistics.median(together), WORKERS * statistics.median(alone)
    emit(
        "labelling_scaling",
        ours=ours,
        peer=peer,
        peer_name=f"{WORKERS} × the rate of one process",
        unit="labels/s",
        equal=equal,
        higher_is_better=True,
        threads=WORKERS,
        packages=("tblite",),
        of_ideal=round(ours / peer, 3),
        limit=LIMIT,
        # On a machine that others use, the wall clock tells nothing: seconds of a core do.
        core_seconds_per_label=round(statistics.median(per_label), 6),
        core_seconds_per_label_in_workers=round(statistics.median(in_workers), 6),
        core_seconds_per_label_in_all=round(statistics.median(in_all), 6),
        of_ideal_by_core_seconds=round(
            statistics.median(a / b for a, b in zip(per_label, in_all, strict=True)), 3
        ),
        load=[round(load, 2) for load in os.getloadavg()],
        cores=os.cpu_count(),
    )
    if not equal:
        print(json.dumps({"row": "labelling_scaling", "error": "labels of workers differ"}))
    return int(not equal)


def _seconds_of_all() -> float:
    """Return the seconds of cores that this process and its workers have spent."""
    spent = 0.0
    for process in (None, *multiprocessing.active_children()):
        stat = Path(f"/proc/{'self' if process is None else process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        spent += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return spent


def _warm(_: int) -> None:
    """Let a worker load what it needs."""
    water, _ = sample_geometries(bundled_molecules()[:1], n_conformers=2, seed=0)
    label_chunk(water, Gfn2())


if __name__ == "__main__":
    sys.exit(main())
