"""Many files at once: all of them, or the first failure."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreKeyMissing
from gliderport_prefect.store import CountingStore, Store, download_many, hash_file, open_store, upload_many


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def test_all_files_arrive_and_come_back(store: Store, tmp_path: Path) -> None:
    sources = [tmp_path / f"{n}.in" for n in range(100)]
    for n, source in enumerate(sources):
        source.write_bytes(b"x" * n)
    assert upload_many(store, ((source, f"in/{source.name}") for source in sources)) == sum(range(100))
    targets = [(f"in/{source.name}", tmp_path / "back" / source.name) for source in sources]
    assert download_many(store, targets) == sum(range(100))
    assert [target.read_bytes() for _, target in targets] == [source.read_bytes() for source in sources]


def test_no_files_are_no_work(store: Store) -> None:
    assert upload_many(store, []) == 0


def test_the_first_failure_stops_an_endless_stream_and_is_raised(store: Store, tmp_path: Path) -> None:
    store.create("there", b"")
    keys = itertools.chain(["there", "missing"], itertools.repeat("there"))
    with pytest.raises(StoreKeyMissing, match="missing"):
        download_many(store, ((key, tmp_path / str(n)) for n, key in enumerate(keys)), parallel=4)


def test_a_failure_of_the_stream_itself_is_raised(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")

    def find_files() -> Iterator[tuple[Path, str]]:
        yield file, "uploaded"
        raise PermissionError("this folder may not be read")

    with pytest.raises(PermissionError, match="may not be read"):
        upload_many(store, find_files())


def test_each_file_is_one_call(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    counted = CountingStore(store)
    upload_many(counted, [(file, f"in/{n}") for n in range(20)], parallel=8)
    assert counted.counts == {"upload_file": 20}
    assert counted.total == 20


@pytest.mark.parametrize("size_bytes", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 5])
def test_the_hash_names_the_content(tmp_path: Path, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    (tmp_path / "file").write_bytes(content)
    assert hash_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
