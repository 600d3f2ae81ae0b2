"""The lines of a large text file, and the bytes behind them, a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

#: Bytes that are read at once.
STRETCH = 4_000_000


class Lines:
    r"""The lines of a file in turn, with a way back to a place that was held.

    All of ``\n``, ``\r\n`` and ``\r`` end a line, as in Python's own text files. No more is in
    memory than a stretch, and what lies after the place that is held.

    Parameters
    ----------
    path : Path
    progress : callable, optional
        Called with the share of the file that has been read.
    """

    def __init__(self, path: Path, progress: Callable[[float], None] | None = None) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed in __exit__
        self._size = max(1, path.stat().st_size)
        self._progress = progress
        self._ended = False
        self._buffer = b""
        self._at = 0
        self._held = (0, 0)
        self.bytes = np.zeros(0, dtype=np.uint8)
        self.number = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def at(self) -> int:
        """Where in `bytes` the next line begins."""
        return self._at

    def next(self) -> str | None:
        """Return the next line without its end, None after the last.

        Raises
        ------
        UnicodeDecodeError
            If it is no UTF-8.
        """
        end = self._buffer.find(b"\n", self._at)
        while end < 0:
            if not self.more():
                return None
            end = self._buffer.find(b"\n", self._at)
        line = self._buffer[self._at : end].decode()
        self._at = end + 1
        self.number += 1
        return line

    def skip(self, to: int, n_lines: int) -> None:
        """Go on from a place in `bytes` that lies `n_lines` further."""
        self._at = to
        self.number += n_lines

    def hold(self) -> None:
        """Keep all from here on in memory."""
        self._held = (self._at, self.number)

    def back(self) -> None:
        """Return to the place that was held last."""
        self._at, self.number = self._held

    def more(self) -> bool:
        """Read another stretch, at least as long as what is kept; tell whether there was one."""
        if self._ended:
            return False
        start = self._held[0]
        kept = self._buffer[start:]
        fresh = self._file.read(max(STRETCH, len(kept)))
        if fresh.endswith(b"\r"):
            fresh += self._file.read(1)
        self._ended = not fresh
        if self._progress is not None:
            self._progress(min(1.0, self._file.tell() / self._size))
        if b"\r" in fresh:
            fresh = fresh.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._ended and kept and not kept.endswith(b"\n"):
            fresh = b"\n"
        self._buffer = kept + fresh
        self._at -= start
        self._held = (0, self._held[1])
        whole = self._buffer.rfind(b"\n") + 1
        self.bytes = np.frombuffer(self._buffer, dtype=np.uint8)[:whole]
        return bool(fresh)
