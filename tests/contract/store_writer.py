"""A process that writes to a store: `python store_writer.py race|write URL …`.

`race URL NAME KEYS` waits for a line, creates the keys and prints what it won.
`write URL` writes objects without end, and prints each key before writing it.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path

from gliderport_prefect.store import Store, open_store

OBJECT_BYTES = 4 * 1024 * 1024


def fill_object(n: int) -> bytes:
    """Make the content of one object: a torn one cannot look like it."""
    return (b"%08d" % n) * (OBJECT_BYTES // 8)


def race(store: Store, *, name: str, keys: int) -> None:
    """Create every key and print the numbers of those that were free."""
    _say("ready")
    sys.stdin.readline()
    won = [n for n in range(keys) if store.create(f"race/{n:04d}", f"{name} {n}".encode()) is None]
    _say(*won)


def write_forever(store: Store) -> None:
    """Write by create and by upload in turn, until killed."""
    file = Path(tempfile.mkdtemp(dir=sys.argv[3])) / "file"
    for n in itertools.count():
        _say(n)
        if n % 2:
            file.write_bytes(fill_object(n))
            store.upload_file(file, f"written/{n:08d}")
        else:
            store.create(f"written/{n:08d}", fill_object(n))


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    opened = open_store(sys.argv[2])
    if sys.argv[1] == "race":
        race(opened, name=sys.argv[3], keys=int(sys.argv[4]))
    else:
        write_forever(opened)
