"""What every store promises: the prose of `store.seam`, one test per promise."""

from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreKeyInvalid, StoreKeyMissing
from gliderport_prefect.store import Store, StoredObject, probe
from gliderport_prefect.store.bulk import LARGE_BYTES, PART_BYTES

UNUSUAL_KEYS = (
    "with space/ä ö.txt",
    "percent%41/100%",
    "a*b?c[d]",
    "hash#tag/1#x",
    "~tilde/.hidden/...",
    "back\\slash",
    "plus+and&amp;=",
    "e\u0301 decomposed",
    "x" * 250,
)
INVALID_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "a/../b",
    "a/./b",
    "a#1",
    "a#12/b",
    "line\nbreak",
    "\x7f",
    "\udcff",
    "x" * 251,
    "/".join(["x" * 100] * 10),
)


def test_an_object_is_read_back_as_it_was_created(store: Store) -> None:
    assert store.create("a/b", b"\x00content\xff") is None
    assert store.get("a/b") == b"\x00content\xff"


def test_an_empty_object_differs_from_a_missing_one(store: Store) -> None:
    store.create("empty", b"")
    assert store.get("empty") == b""
    assert store.get("missing") is None


def test_a_second_create_learns_what_stands_there_and_changes_nothing(store: Store) -> None:
    store.create("key", b"first")
    assert store.create("key", b"second") == b"first"
    assert store.get("key") == b"first"


def test_a_create_of_the_same_content_counts_as_ours(store: Store) -> None:
    store.create("key", b"mine")
    assert store.create("key", b"mine") is None


def test_a_deleted_key_is_free_again(store: Store) -> None:
    store.create("key", b"first")
    store.delete(["key"])
    assert store.create("key", b"second") is None


def test_one_of_sixteen_threads_wins_each_key(store: Store) -> None:
    barrier = threading.Barrier(16)

    def race(thread: int) -> list[int]:
        barrier.wait()
        return [n for n in range(10) if store.create(f"race/{n}", b"thread %d" % thread) is None]

    with ThreadPoolExecutor(16) as pool:
        wins = [n for won in pool.map(race, range(16)) for n in won]
    assert sorted(wins) == list(range(10))


def test_a_listing_is_sorted_and_tells_sizes(store: Store) -> None:
    for key, size in (("b/2", 2), ("a", 1), ("b/10", 3), ("b/1/deep/er", 0)):
        store.create(key, b"x" * size)
    assert store.list() == [
        StoredObject("a", 1),
        StoredObject("b/1/deep/er", 0),
        StoredObject("b/10", 3),
        StoredObject("b/2", 2),
    ]


def test_a_prefix_means_whole_segments(store: Store) -> None:
    for key in ("ab", "a/b/c", "a/bc", "a/b/d/e"):
        store.create(key, b"")
    assert [stored.key for stored in store.list("a/b")] == ["a/b/c", "a/b/d/e"]
    assert [stored.key for stored in store.list("a/b/")] == ["a/b/c", "a/b/d/e"]


def test_a_prefix_that_is_an_object_holds_nothing(store: Store) -> None:
    store.create("a/b", b"")
    assert store.list("a/b") == []
    assert store.list("nothing/here") == []


def test_a_listing_has_more_than_one_page(store: Store) -> None:
    def create(n: int) -> None:
        store.create(f"many/{n:05d}", b"x")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(create, range(1_005)))
    assert [stored.key for stored in store.list("many")] == [f"many/{n:05d}" for n in range(1_005)]


def test_deleting_passes_over_missing_keys(store: Store) -> None:
    for key in ("a", "b", "c"):
        store.create(key, b"")
    store.delete(["missing", "a", "folder/missing", "c"])
    store.delete(["a"])
    store.delete([])
    assert [stored.key for stored in store.list()] == ["b"]


def test_the_size_of_an_object_is_known_without_reading_it(store: Store) -> None:
    store.create("key", b"12345")
    assert store.size_bytes_of("key") == 5
    assert store.size_bytes_of("missing") is None


def test_a_folder_of_keys_is_not_an_object(store: Store) -> None:
    store.create("a/b", b"")
    assert store.get("a") is None
    assert store.size_bytes_of("a") is None


@pytest.mark.parametrize("key", UNUSUAL_KEYS)
def test_unusual_keys_are_kept_as_they_are(store: Store, key: str) -> None:
    assert store.create(f"odd/{key}", b"content") is None
    assert store.list("odd") == [StoredObject(f"odd/{key}", 7)]
    assert store.get(f"odd/{key}") == b"content"
    store.delete([f"odd/{key}"])
    assert store.list("odd") == []


@pytest.mark.parametrize("key", INVALID_KEYS)
def test_keys_that_some_store_cannot_hold_are_refused_by_all(store: Store, tmp_path: Path, *, key: str) -> None:
    with pytest.raises(StoreKeyInvalid, match="rename it"):
        store.create(key, b"")
    with pytest.raises(StoreKeyInvalid):
        store.get(key)
    with pytest.raises(StoreKeyInvalid):
        store.delete([key])
    with pytest.raises(StoreKeyInvalid):
        store.upload_file(tmp_path / "file", key)


@pytest.mark.parametrize("size_bytes", [0, 1, LARGE_BYTES - 1, LARGE_BYTES + PART_BYTES + 1])
def test_a_file_comes_back_byte_for_byte(store: Store, tmp_path: Path, *, size_bytes: int) -> None:
    source, target = tmp_path / "source", tmp_path / "made" / "on the way" / "target"
    source.write_bytes(os.urandom(size_bytes))
    assert store.upload_file(source, "blobs/file") == size_bytes
    assert store.download_file("blobs/file", target) == size_bytes
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_an_upload_replaces_what_stands_there(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"longer first", b"second"):
        file.write_bytes(content)
        store.upload_file(file, "key")
    assert store.get("key") == b"second"


def test_a_download_replaces_the_file_that_stands_there(store: Store, tmp_path: Path) -> None:
    store.create("key", b"fresh")
    (tmp_path / "file").write_bytes(b"stale and longer")
    store.download_file("key", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"fresh"


def test_downloading_a_missing_object_names_it_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreKeyMissing, match=r"blobs/missing"):
        store.download_file("blobs/missing", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_uploading_a_missing_file_names_the_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file here"):
        store.upload_file(tmp_path / "no such file here", "key")


def test_a_store_is_not_pickled(store: Store) -> None:
    with pytest.raises(TypeError, match="open it again"):
        pickle.dumps(store)


def test_a_store_shows_no_secret(store: Store) -> None:
    assert "secretsecret" not in repr(store)
    assert "secretsecret" not in store.url


def test_the_probe_accepts_the_store_and_leaves_nothing_behind(store: Store) -> None:
    probe(store)
    assert store.list() == []
