"""Write a file aside and rename it, so that a kill or a full disk harms nothing that was there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import BreadthError


@contextmanager
def written_aside(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; sync it and rename it to `path` at the end.

    Raises
    ------
    BreadthError
        If the file system refuses: no space, no permission, no such folder. What stood at `path`
        before is unharmed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _discard(temporary)
        raise BreadthError(
            f"Cannot write {path}: {error.strerror or error}. Nothing that was there before is "
            "changed. Free some space or choose another place, and run again."
        ) from error
    except BaseException:
        _discard(temporary)
        raise


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder last through a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
