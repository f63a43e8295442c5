"""Names that are safe in every store, and keys that can be read back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect import protocol
from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol.ids import (
    MAX_ID_LENGTH,
    AttemptId,
    CampaignId,
    JobId,
    SessionId,
    WorkerName,
    attempt_id,
    attempt_number,
    is_attempt_id,
    parse_campaign_id,
    parse_job_id,
    parse_worker_name,
    session_id,
    worker_of,
)
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment, parse_number
from gliderport_prefect.store.naming import MAX_ROOT_BYTES, check_key

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._=@+-]{0,30}", fullmatch=True)
LONGEST = "x" * MAX_ID_LENGTH
KEYS = CampaignKeys(CampaignId("c"))


@given(text=IDS)
def test_a_sound_id_is_taken_as_it_is(text: str) -> None:
    assert (parse_job_id(text), parse_campaign_id(text)) == (text, text)


@pytest.mark.parametrize("text", ["", ".a", "-a", "_a", "a/b", "a b", "ä", "a\n", "a#1", "a:b", "a%", "..", "a\0"])
@pytest.mark.parametrize("parse", [parse_job_id, parse_campaign_id, parse_worker_name])
def test_an_unsafe_id_is_refused_with_what_is_allowed(parse: Callable[[str], str], text: str) -> None:
    with pytest.raises(UserError, match=r"not allowed; use letters|has a dot"):
        parse(text)


def test_an_id_that_is_too_long_is_refused_with_both_lengths() -> None:
    with pytest.raises(UserError, match="has 129 characters; at most 128"):
        parse_job_id("x" * 129)


def test_a_worker_name_has_no_dot() -> None:
    with pytest.raises(UserError, match="separates the name from the session"):
        parse_worker_name("worker.1")


@given(name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True))
def test_a_session_names_its_worker(name: str) -> None:
    assert worker_of(session_id(WorkerName(name), "00ff")) == name


@given(attempt=st.integers(1, 10**6), epoch=st.integers(1, 10**6))
def test_an_attempt_names_its_try(attempt: int, epoch: int) -> None:
    made = attempt_id(attempt, epoch)
    assert is_attempt_id(made)
    assert attempt_number(made) == attempt


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "0.1", "1.0", "-1.1", "1.1.1", "1.1\n", "one.1", "\u0661.1", "1" * 12 + ".1"]
)
def test_what_is_no_attempt_is_not_taken_for_one(text: str) -> None:
    assert not is_attempt_id(text)


@given(number=st.integers(1, 10**9))
def test_a_number_is_read_back_from_its_key(number: int) -> None:
    assert parse_number(f"{KEYS.ledger}/{number_segment(number)}") == number


@given(numbers=st.lists(st.integers(1, 99_999_999)))
def test_keys_of_a_log_sort_as_their_numbers(numbers: list[int]) -> None:
    assert sorted(map(number_segment, numbers)) == list(map(number_segment, sorted(numbers)))


@pytest.mark.parametrize("key", ["", "ledger/", "ledger/one", "ledger/-1", "ledger/1a"])
def test_a_key_without_number_is_refused(key: str) -> None:
    with pytest.raises(ProtocolError, match="no number"):
        parse_number(key)


@given(name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True), number=st.integers(1, 10**9))
def test_an_outbox_key_names_session_and_number(name: str, number: int) -> None:
    session = session_id(WorkerName(name), "ab12")
    assert KEYS.parse_outbox(KEYS.outbox_record(session, number)) == (session, number)


@pytest.mark.parametrize("name", ["x", "-00000001", "w.1-", "w.1-abc", "a/b-00000001", "w.1-00000001/x"])
def test_what_is_no_outbox_record_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="is no outbox record"):
        KEYS.parse_outbox(f"{KEYS.outbox}/{name}")


def test_an_inbox_key_names_its_session() -> None:
    session = SessionId("worker-0001.ab12")
    assert KEYS.inbox_session(f"{KEYS.inbox(session)}/{number_segment(3)}") == session


def test_a_key_of_a_checkpoint_names_its_job_and_its_writer() -> None:
    key = KEYS.saved_file(JobId("fit-1"), AttemptId("2.1"), "7-abc")
    assert KEYS.checkpoint_job(key) == KEYS.checkpoint_job(f"{KEYS.saved(JobId('fit-1'))}/00000001") == "fit-1"
    assert KEYS.saved_by(JobId("fit-1"), key) == "2.1"


def longest_keys() -> dict[str, str]:
    """Return every key of a campaign whose ids are as long as they may be, by the member that makes it."""
    keys, made = CampaignKeys(CampaignId(LONGEST)), dict[str, str]()
    arguments = {
        "job": JobId(LONGEST),
        "attempt": AttemptId("65535.99999999"),
        "session": session_id(WorkerName(LONGEST), "f" * 16),
        "worker": WorkerName(LONGEST),
        "sha256": "f" * 64,
        "number": 99_999_999,
        "ledger_number": 99_999_999,
        "part": 99_999_999,
        "stream": "stdout",
        "name": "results.jsonl",
        "key": f"{keys.inboxes}/w.a/00000001",
    }
    for name, member in inspect.getmembers(CampaignKeys):
        if name.startswith("_") or name in {"campaign", "parse_outbox", "inbox_session", "checkpoint_job", "saved_by"}:
            continue
        if isinstance(member, property):
            made[name] = getattr(keys, name)
        else:
            wanted = list(inspect.signature(member).parameters)[1:]
            made[name] = getattr(keys, name)(*[arguments[each] for each in wanted])
    return made


@pytest.mark.parametrize(("name", "key"), longest_keys().items(), ids=lambda value: str(value)[:20])
def test_the_longest_key_fits_every_store(name: str, key: str) -> None:
    log_number = "/" + number_segment(99_999_999)
    assert check_key("r" * MAX_ROOT_BYTES + "/" + key + log_number), name


def test_no_two_members_make_the_same_key() -> None:
    made = longest_keys()
    assert len(set(made.values())) == len(made)


def test_the_protocols_page_lists_every_key() -> None:
    page = Path(protocol.__file__).with_name("README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", page))
    members = {name for name in dir(CampaignKeys) if not name.startswith("_")} - {"campaign"}
    assert members | {"index_key"} <= listed
