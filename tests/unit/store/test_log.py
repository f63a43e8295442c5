"""Numbered logs over a real store."""

from __future__ import annotations

import math

import pytest

from gliderport_prefect.store import Appended, CountingStore, NumberedLog, Store, Taken, list_numbers, open_store


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def test_records_get_consecutive_numbers_of_eight_digits(store: Store) -> None:
    log = NumberedLog(store, "ledger")
    assert [log.append(data) for data in (b"a", b"b")] == [Appended(1), Appended(2)]
    assert [stored.key for stored in store.list()] == ["ledger/00000001", "ledger/00000002"]


def test_the_loser_of_a_number_learns_the_record_and_may_go_on(store: Store) -> None:
    ours, theirs = NumberedLog(store, "ledger"), NumberedLog(store, "ledger")
    theirs.append(b"theirs")
    assert ours.append(b"ours") == Taken(1, b"theirs")
    assert ours.append(b"ours") == Appended(2)
    assert theirs.append(b"theirs again") == Taken(2, b"ours")


def test_a_reader_gets_each_record_once_and_goes_on_later(store: Store) -> None:
    writer, reader = NumberedLog(store, "log"), NumberedLog(store, "log")
    writer.append(b"a")
    writer.append(b"b")
    assert list(reader.read_next()) == [(1, b"a"), (2, b"b")]
    assert list(reader.read_next()) == []
    writer.append(b"c")
    assert list(reader.read_next()) == [(3, b"c")]


def test_a_reader_that_stops_in_the_middle_loses_nothing(store: Store) -> None:
    writer, reader = NumberedLog(store, "log"), NumberedLog(store, "log")
    for data in (b"a", b"b", b"c"):
        writer.append(data)
    assert next(reader.read_next()) == (1, b"a")
    assert list(reader.read_next()) == [(2, b"b"), (3, b"c")]


def test_logs_of_several_writers_share_a_folder(store: Store) -> None:
    for session in ("s1", "s2"):
        NumberedLog(store, f"outbox/{session}", separator="-").append(b"hello")
    assert [stored.key for stored in store.list("outbox")] == ["outbox/s1-00000001", "outbox/s2-00000001"]


@pytest.mark.parametrize("records", [0, 1, 2, 3, 7, 8, 9, 100, 129])
@pytest.mark.parametrize("start", [1, 2, 5])
def test_the_end_is_found_in_few_requests(store: Store, *, records: int, start: int) -> None:
    writer = NumberedLog(store, "log", next_number=start)
    for n in range(records):
        writer.append(b"%d" % n)
    counted = CountingStore(store)
    log = NumberedLog(counted, "log", next_number=start)
    assert log.seek_end() == start + records
    assert log.append(b"next") == Appended(start + records)
    assert counted.counts["size_bytes_of"] <= 2 * math.log2(records + 1) + 2


def test_the_numbers_of_a_pruned_log_are_listed(store: Store) -> None:
    log = NumberedLog(store, "inbox/s1")
    for _ in range(4):
        log.append(b"")
    store.delete([log.key_of(1), log.key_of(2)])
    store.create("inbox/s1/notes/0", b"not of the log's form below")
    store.create("inbox/s1/note", b"neither")
    assert list_numbers(store, "inbox/s1") == [3, 4]
