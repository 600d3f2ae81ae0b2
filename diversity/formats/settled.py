"""What is known of a whole file while it is read: facts that a later record may prove wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..protocols import SetAside
from ..records import Record
from .header import Header


class StartOver(Exception):
    """What earlier chunks were built on does not hold; the next reading will know."""


@dataclass
class Settled:
    """What is known of a whole file: it outlives one reading of it.

    Parameters
    ----------
    wrong : set of str
        What was found not to hold of all records.
    key : str
        Of the one molecule of a file that has one order of atoms; '' not told yet.
    smiles : dict of str to str
        By key, of molecules whose first chunk has none.

    >>> settled = Settled()
    >>> settled.holds("all are named", True), settled.holds("all are charged", False)
    (True, False)
    >>> settled.holds("all are named", False)
    Traceback (most recent call last):
    breadth.diversity.formats.settled.StartOver
    >>> settled.holds("all are named", True)
    False
    """

    wrong: set[str] = field(default_factory=set)
    key: str = ""
    smiles: dict[str, str] = field(default_factory=dict)
    _right: set[str] = field(default_factory=set)

    def holds(self, what: str, here: bool) -> bool:
        """Tell whether something holds of all records, given whether it holds of some more.

        Raises
        ------
        StartOver
            If it held of all before.
        """
        if what in self.wrong:
            return False
        if here:
            self._right.add(what)
            return True
        self.wrong.add(what)
        if what in self._right:
            self._right.clear()
            raise StartOver
        return False


@dataclass
class Source:
    """The records of a file, as they are read.

    Parameters
    ----------
    records : iterator of Record
    header : Header
        What the file tells of itself, filled while it is read.
    aside : list of SetAside
        Records with a structural fault, filled while the file is read.
    agree : callable, optional
        ``agree(records, settled)`` changes records of a chunk as the whole file demands.
    """

    records: Iterator[Record]
    header: Header = field(default_factory=Header)
    aside: list[SetAside] = field(default_factory=list)
    agree: Callable[[list[Record], Settled], None] = lambda records, settled: None
