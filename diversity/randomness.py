"""Named random streams, and orders that depend on contents alone.

Every stream has a name, so that adding one changes no other. A random order of records is the
order of ``blake2b(seed ‖ id)``: it does not depend on the order of records, of work or of workers.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from .errors import ConfigurationError


def seed_sequence(root: int, *names: str | int) -> np.random.SeedSequence:
    """Return the seed sequence of the stream with these names under a root seed.

    Parameters
    ----------
    root : int
        Seed of the whole study, ≥ 0.
    *names : str or int
        Names from general to special, such as ``"geometries", "CCO", 7``.

    Raises
    ------
    ConfigurationError
        If the seed is negative.

    Examples
    --------
    >>> a = np.random.default_rng(seed_sequence(0, "labels"))
    >>> b = np.random.default_rng(seed_sequence(0, "labels"))
    >>> bool(a.random() == b.random())
    True
    """
    if root < 0:
        raise ConfigurationError(f"A seed of {root}: seeds are whole numbers from 0.")
    digest = hashlib.blake2b("\x1f".join(str(name) for name in names).encode(), digest_size=16)
    words = np.frombuffer(digest.digest(), dtype="<u4")
    return np.random.SeedSequence(root, spawn_key=tuple(int(word) for word in words))


def generator(root: int, *names: str | int) -> np.random.Generator:
    """Return a fresh generator on the named stream; see :func:`seed_sequence`."""
    return np.random.default_rng(seed_sequence(root, *names))


def ordering(seed: int | str, identifiers: Iterable[str | bytes]) -> np.ndarray:
    """Return the indices that put identifiers in the order of blake2b(seed ‖ identifier).

    Parameters
    ----------
    seed : int or str
        Names the order.
    identifiers : iterable of str or bytes, length n
        Conformer ids or molecule keys. Equal identifiers keep their order of appearance.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)

    Examples
    --------
    >>> names = np.array(["a", "b", "c", "d"])
    >>> shuffled = names[ordering(1, names)]
    >>> bool((names[::-1][ordering(1, names[::-1])] == shuffled).all())
    True
    """
    prefix = f"{seed}\x1f".encode()
    digests = [
        hashlib.blake2b(
            prefix + (name if isinstance(name, bytes) else str(name).encode()), digest_size=16
        ).digest()
        for name in identifiers
    ]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), dtype=np.int64)
