"""What `upload` and stage-in do, as a program to compare with others: `own_client.py file|folder SOURCE TARGET`."""

import sys
from pathlib import Path

from gliderport_prefect.store import download_many, open_store, upload_many


def copy(kind: str, *, source: str, target: str) -> None:
    """Copy a file or the files of a folder to or from a place that begins with `s3://`."""
    if target.startswith("s3://"):
        paths = sorted(Path(source).iterdir()) if kind == "folder" else [Path(source)]
        upload_many(open_store(target), [(path, path.name) for path in paths])
        return
    store, back = open_store(source), Path(target)
    download_many(store, [(each.key, back / each.key if kind == "folder" else back) for each in store.list()])


if __name__ == "__main__":
    copy(sys.argv[1], source=sys.argv[2], target=sys.argv[3])
