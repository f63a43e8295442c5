"""Records survive the way through JSON, and whatever else is read becomes a ProtocolError and nothing worse."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobId, SessionId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.records import InboxRecord, LedgerRecord, OutboxRecord, ProgressNote
from gliderport_prefect.protocol.resources import Resources
from tests.unit.protocol.kinds import JSON, KINDS, records_of

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each_kind
@settings(max_examples=25)
@given(data=st.data())
def test_every_record_is_read_as_it_was_written(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(records_of(kind))
    assert codec.decode(kind, codec.encode(record), where="key") == record


@each_kind
@settings(max_examples=10)
@given(data=st.data(), more=st.dictionaries(st.text().map("newer ".__add__), JSON, max_size=2))
def test_keys_that_are_not_known_are_ignored(kind: type[Any], data: st.DataObject, more: dict[str, Any]) -> None:
    record = data.draw(records_of(kind))
    wire = {**more, **codec.to_wire(record)}
    assert codec.decode(kind, json.dumps(wire), where="key") == record


@each_kind
@settings(max_examples=50)
@given(wire=JSON)
def test_any_other_json_is_refused_or_read_but_never_breaks_the_reader(kind: type[Any], wire: object) -> None:
    read_or_refuse(kind, json.dumps(wire).encode())


@each_kind
@settings(max_examples=25)
@given(data=st.data(), wrong=JSON)
def test_a_record_with_one_wrong_value_is_refused_or_read(kind: type[Any], data: st.DataObject, wrong: object) -> None:
    wire = codec.to_wire(data.draw(records_of(kind)))
    key = data.draw(st.sampled_from(sorted(wire)))
    read_or_refuse(kind, json.dumps({**wire, key: wrong}).encode())


@settings(max_examples=200)
@given(data=st.binary())
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    read_or_refuse(OutboxRecord, data)


def read_or_refuse(kind: type[Any], data: bytes) -> None:
    with suppress(ProtocolError):
        codec.encode(codec.decode(kind, data, where="key"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"epoch": 1}',
        b'{"epoch": "1", "token": ""}',
        b'{"epoch": true, "token": ""}',
        b'{"epoch": 1.5, "token": ""}',
        b'{"epoch": NaN, "token": ""}',
        b'{"epoch": 1, "token": "", "assign": {}}',
        b'{"epoch": 1, "token": "", "drain": 1}',
        b'{"epoch": ' + b"9" * 5000 + b', "token": ""}',
        b'{"epoch": ' + b"[" * 100_000 + b', "token": ""}',
        b'{"epoch": 1, "token": "", "assign": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_inbox_record_is_named_with_its_key(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="inbox/w/00000001 holds no readable InboxRecord"):
        codec.decode(InboxRecord, data, where="inbox/w/00000001")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400, '"1"', "null", "true"])
def test_what_is_no_finite_number_is_refused(number: str) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(Resources, f'{{"cpus": {number}}}', where="key")


def test_a_whole_number_is_read_where_a_fraction_may_stand() -> None:
    assert codec.decode(Resources, b'{"cpus": 2}', where="key") == Resources(cpus=2.0)


def test_a_number_that_json_has_not_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.encode(Resources(cpus=float("nan")))


def test_half_of_a_surrogate_pair_survives_the_way() -> None:
    note = ProgressNote(1, "\ud800", "", {"\udfff": 1}, {})
    assert codec.decode(ProgressNote, codec.encode(note), where="key") == note


def test_what_equals_its_default_is_not_written() -> None:
    assert json.loads(codec.encode(JobSpec(id=JobId("a"), run="true"))) == {"id": "a", "run": "true"}


def test_a_record_is_one_line() -> None:
    spec = JobSpec(id=JobId("a"), run="one\ntwo\u2028three", env={"A": "\r\n"})
    assert b"\n" not in codec.encode(spec)


def test_defaults_that_can_change_are_not_shared_between_records() -> None:
    first, second = (codec.decode(LedgerRecord, b'{"epoch": 1, "token": ""}', where="key") for _ in range(2))
    assert first.read == {}
    assert first.read is not second.read


def test_a_missing_value_without_default_is_named() -> None:
    with pytest.raises(ProtocolError, match="token"):
        codec.decode(OutboxRecord, codec.encode(replace_token()), where="key")


def replace_token() -> dict[str, str]:
    wire = codec.to_wire(replace(OutboxRecord(SessionId("w.a"), "t"), read=3))
    del wire["token"]
    return wire
