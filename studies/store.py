"""The store: one folder per unit, written aside and renamed, so that a kill leaves nothing half."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from ..diversity import BreadthError, ConfigurationError
from .units import Unit

#: What a disk answers when it will not take more: full, over quota, read-only, not permitted.
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


class Store:
    """Results of units under one folder.

    ``units/KEY/`` is a finished unit; it never changes. ``partial/KEY/`` is where a running unit
    keeps what lets it resume; both it, where the unit is finished, and ``aside/`` are swept
    whenever the lock is taken and given back.

    Parameters
    ----------
    root : Path
        The output folder of a study; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def folder(self, key: str) -> Path:
        """Return the folder of a finished unit."""
        return self.root / "units" / key

    def unit(self, key: str) -> Unit:
        """Return the unit of a finished folder."""
        return Unit(**json.loads((self.folder(key) / "unit.json").read_text()))

    def has(self, unit: Unit) -> bool:
        """Say whether a unit is finished."""
        return self.folder(unit.key).is_dir()

    def partial(self, unit: Unit) -> Path:
        """Return the folder in which a running unit keeps its checkpoints, made if need be."""
        folder = self.root / "partial" / unit.key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def writing(self, unit: Unit) -> Iterator[Path]:
        """Give a folder to write a unit's results into; it becomes the unit's at the end."""
        # A name of its own, by whatever thread of whatever machine a unit is run twice at once.
        aside = self.root / "aside" / f"{unit.key}-{uuid4().hex}"
        try:
            aside.mkdir(parents=True)
            yield aside
            (aside / "unit.json").write_text(json.dumps(asdict(unit), indent=1))
            for path in sorted(aside.rglob("*")):
                sync(path)
            sync(aside)
            target = self.folder(unit.key)
            target.parent.mkdir(parents=True, exist_ok=True)
            # An orphan of a killed run may have finished the same unit: equal content, kept.
            if not target.is_dir():
                try:
                    aside.rename(target)
                except OSError:  # it has, in this moment
                    if not target.is_dir():
                        raise
                sync(target.parent)
        except OSError as error:
            if error.errno in REFUSALS:
                raise storage_error(error, self.root) from error
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(self.root / "partial" / unit.key, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run; the kernel lets go when the process ends, however it ends.

        Raises
        ------
        ConfigurationError
            If another run holds it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("a")
        except OSError as error:
            raise storage_error(error, self.root) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"Another run is at work in {self.root}. Wait for it, or give another --out."
                ) from None
            self._sweep()
            yield
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed run or its orphans left behind of units that are finished."""
        # Moved first, at once: an orphan that ends a unit in this moment finds its folder gone, and
        # renames none that has lost some of its files.
        with suppress(OSError):
            (self.root / "aside").rename(self.root / f".swept-{uuid4().hex}")
        for folder in self.root.glob(".swept-*"):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.root / "partial").glob("*"):
            if self.folder(folder.name).is_dir():
                shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Force a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_folder(path: Path) -> None:
    """Refuse a folder for results that cannot be made or written to, before the work is done.

    Raises
    ------
    ConfigurationError
        If a file is in its way, or the file system is closed to us.
    """
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ConfigurationError(f"{path} cannot be a folder: {there} is a file. Name another.")
    if not os.access(there, os.W_OK):
        raise ConfigurationError(f"{there} cannot be written to. Name a folder elsewhere.")


def replace_file(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file aside, sync it and rename it over the old one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        aside.unlink(missing_ok=True)


def storage_error(error: OSError, path: Path) -> BreadthError:
    """Return what to tell the user when the disk refuses."""
    return BreadthError(
        f"Cannot write under {path}: {error.strerror or error}. What was finished is safe; free "
        "some space or mend the permissions, and run the same command again to go on from there."
    )
