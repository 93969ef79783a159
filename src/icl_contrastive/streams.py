"""Random streams named by what they are for, never by the order in which they are used."""

import hashlib

import numpy as np

drawn: set[tuple[str | int, ...]] = set()
"""Names of the streams that were asked for in this process, for the record."""


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Independent generator for the names, such as ``stream(seed, "omega", setting, run)``.

    Philox in counter mode, keyed by a hash of the seed and the names: equal names give equal
    numbers on every machine, and a new name changes no other stream.
    """
    drawn.add(names)
    label = "\x1f".join(str(part) for part in (seed, *names))
    digest = hashlib.sha256(label.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
