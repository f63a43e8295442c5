"""Retrying follows the patience by its own clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreAccessDenied, StoreError, StoreUnreachable
from gliderport_prefect.store import CountingStore, Patience, RetryingStore, open_store


class Clock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class FlakyStore(CountingStore):
    """A memory store whose `get` fails as often as it is told, and takes a second each time."""

    def __init__(self, clock: Clock, failures: Sequence[StoreError]) -> None:
        super().__init__(open_store("memory://"))
        self.failures = list(failures)
        self._clock = clock

    def get(self, key: str) -> bytes | None:
        self._clock.now += 1
        if self.failures:
            raise self.failures.pop(0)
        return super().get(key)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_store(clock: Clock, *failures: StoreError, patience: Patience) -> RetryingStore:
    return RetryingStore(FlakyStore(clock, failures), patience, clock=clock.read, sleep=clock.sleep)


def test_a_store_that_never_answered_is_given_up_soon(clock: Clock) -> None:
    store = make_store(clock, *[StoreUnreachable("down")] * 1000, patience=Patience(180, first_contact_s=5))
    with pytest.raises(StoreUnreachable, match=r"down \(gave up after"):
        store.get("key")
    assert 5 <= clock.now < 5 + 2


def test_a_store_that_answered_before_is_given_minutes(clock: Clock) -> None:
    inner = FlakyStore(clock, [])
    store = RetryingStore(inner, Patience(180, first_contact_s=5), clock=clock.read, sleep=clock.sleep)
    store.get("key")
    inner.failures.extend([StoreUnreachable("down")] * 1000)
    with pytest.raises(StoreUnreachable):
        store.get("key")
    assert 180 <= clock.now < 180 + 3


def test_a_store_that_comes_back_is_used(clock: Clock) -> None:
    store = make_store(clock, StoreUnreachable("down"), StoreUnreachable("down"), patience=Patience())
    assert store.get("key") is None
    assert len(clock.pauses) == 2


def test_pauses_grow_but_stay_bounded(clock: Clock) -> None:
    patience = Patience(300, first_contact_s=300, longest_pause_s=4)
    store = make_store(clock, *[StoreUnreachable("down")] * 40, patience=patience)
    store.get("key")
    assert max(clock.pauses) <= 4
    assert clock.pauses[0] <= 0.2
    assert all(pause >= 1 for pause in clock.pauses[10:])


def test_a_failure_that_will_not_pass_is_raised_at_once(clock: Clock) -> None:
    store = make_store(clock, StoreAccessDenied("no"), patience=Patience())
    with pytest.raises(StoreAccessDenied):
        store.get("key")
    assert clock.pauses == []


def test_an_error_of_a_local_file_is_not_retried(clock: Clock, tmp_path: Path) -> None:
    store = make_store(clock, patience=Patience())
    with pytest.raises(FileNotFoundError):
        store.upload_file(tmp_path / "missing", "key")
    assert clock.pauses == []
