"""ASE's trajectories (``.traj``): the frames that its dynamics and optimisers leave.

Labels of a frame's calculator belong to the level that the caller names, else that `level` in its
`info` names, else ``unknown``; momenta are kept as the atoms' extra ``momenta``, in ASE's units.
The file tells no times. What is read is numbers and JSON, no pickle.
"""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io.trajectory import TrajectoryReader

from ..ase_atoms import record_of_atoms
from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import build
from ..records import Record
from .extxyz import name_references
from .extxyz_frames import Fault
from .program_outputs import Broken, gathered, refuse_writing

_MAGIC, _TAG = b"- of Ulm", b"ASE-Trajectory"


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file begins as ASE's trajectories do."""
    return head.startswith(_MAGIC + _TAG)


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a trajectory; `record` is the number of the frame."""
    try:
        frames = TrajectoryReader(path)
    except OSError:
        raise
    except Exception as error:  # a table of frames that was cut short is met in many ways
        raise DataError(
            f"{path} cannot be read as a trajectory of ASE: the table of its frames is damaged or "
            "cut short. Write it again, or copy it anew from where it was made."
        ) from error

    def record(i: int) -> Record:
        atoms = frames[i]
        assert isinstance(atoms, Atoms)
        try:
            return record_of_atoms(atoms, i, f"{path}: record {i}", level)
        except Fault as fault:
            raise Broken(str(fault)) from None

    with frames:
        records, aside = gathered(path, range(len(frames)), record, skip_bad=skip_bad)
    name_references(records, level)
    return build(records, identity=identity, source=str(path), set_aside=aside)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: the format is only read."""
    refuse_writing("traj", path)
