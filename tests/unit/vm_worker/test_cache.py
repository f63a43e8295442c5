"""Inputs that attempts share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vm_worker.cache import Cache
from vm_worker.copying import copy_file


def writer(content: bytes, calls: list[bytes]) -> Callable[[Path], int]:
    """Return a fetch that writes the content and notes that it was called."""

    def fetch(path: Path) -> int:
        calls.append(content)
        return path.write_bytes(content)

    return fetch


def test_those_who_want_the_same_at_the_same_time_fetch_it_once(tmp_path: Path) -> None:
    cache, calls, together = Cache(tmp_path, limit_bytes=100), list[bytes](), threading.Barrier(4)

    def want() -> tuple[int, bytes]:
        together.wait()
        with cache.hold("a", writer(b"aaa", calls)) as held:
            return held.fetched_bytes, held.path.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(want) for _ in range(4)]]

    assert calls == [b"aaa"]
    assert sorted(results) == [(0, b"aaa")] * 3 + [(3, b"aaa")]


def test_the_least_recently_used_goes_when_room_is_needed(tmp_path: Path) -> None:
    cache, calls = Cache(tmp_path, limit_bytes=10), list[bytes]()
    for content in (b"aaaa", b"bbbb", b"aaaa", b"cccc"):
        with cache.hold(content.decode(), writer(content, calls)):
            pass

    assert calls == [b"aaaa", b"bbbb", b"cccc"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"aaaa", b"cccc"}


def test_what_is_held_stays_even_when_there_is_no_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=1)

    with cache.hold("a", writer(b"aaaa", [])) as first:
        with cache.hold("b", writer(b"bbbb", [])):
            pass
        assert first.path.read_bytes() == b"aaaa"

    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_failed_is_tried_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=10)

    def fail(_: Path) -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError), cache.hold("a", fail):
        pass

    with cache.hold("a", writer(b"aaa", [])) as held:
        assert held.fetched_bytes == 3


@pytest.mark.parametrize("size", [0, 3_000_000], ids=["empty", "large"])
def test_a_copy_is_whole_and_its_own(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * size)

    copy_file(source, target, executable=True)

    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o755
    target.write_bytes(b"changed")
    assert source.stat().st_size == size


def test_a_file_that_the_kernel_cannot_copy_is_copied(tmp_path: Path) -> None:
    copy_file(Path("/proc/self/status"), tmp_path / "copy", executable=False)

    assert b"Name:" in (tmp_path / "copy").read_bytes()
