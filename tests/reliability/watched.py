"""`breadth`, with a line in a log for every unit that a worker begins and ends.

``python -m tests.reliability.watched ARGUMENTS…`` with the log's path in ``BREADTH_WATCHED``. The
workers are spawned, and so import this module before their work: they write to the same log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breadth.studies.store import Store
from breadth.studies.units import Unit

_writing = Store.writing


def _note(word: str, key: str) -> None:
    log = os.open(os.environ["BREADTH_WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{word} {key} {os.getpid()}\n".encode())  # one write: lines do not mix
    os.close(log)


@contextmanager
def _watched(self: Store, unit: Unit) -> Iterator[Path]:
    _note("begun", unit.key)
    with _writing(self, unit) as folder:
        yield folder
    _note("ended", unit.key)


Store.writing = _watched  # type: ignore[method-assign]

if __name__ == "__main__":
    from breadth.studies.cli.app import main

    main()
