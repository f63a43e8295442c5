"""What the answers of metadata services announce, and that no answer whatever does harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.errors import UserError
from vm_worker.notices import SHORTEST_SECONDS, MetadataTrouble, Notice
from vm_worker.notices_aws import read_action
from vm_worker.notices_azure import read_events
from vm_worker.notices_http import Answer, MetadataService

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EMPTY: Mapping[str, object] = MappingProxyType({})
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def answer(content: object, *, status: int = 200) -> Answer:
    """Return an answer that was given at noon."""
    return Answer(status, content if isinstance(content, str) else json.dumps(content), "", NOON)


def event(more: Mapping[str, object] = EMPTY, *, seconds: float = 30, machine: str = "vm-7") -> dict[str, object]:
    """Return a scheduled event of Azure."""
    not_before = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
    fields: dict[str, object] = {"EventType": "Preempt", "EventStatus": "Scheduled", "NotBefore": not_before}
    return {**fields, "Resources": [machine], **more}


def read(*events: dict[str, object]) -> Notice | None:
    return read_events(answer({"DocumentIncarnation": 2, "Events": events}), machine="vm-7")


def test_aws_names_the_moment_and_the_time_left_is_counted_by_its_own_clock() -> None:
    notice = read_action(answer({"action": "terminate", "time": "2026-03-01T12:02:00Z"}))

    assert notice == Notice("AWS announces that this machine is taken back at 12:02:00 UTC", 120)


def test_an_action_other_than_termination_is_named() -> None:
    notice = read_action(answer({"action": "hibernate", "time": "2026-03-01T12:00:00Z"}))

    assert notice == Notice(
        "AWS announces that this machine is taken back (hibernate) at 12:00:00 UTC", SHORTEST_SECONDS
    )


@pytest.mark.parametrize("content", [{"action": "terminate", "time": "2026-03-01T11:57:00Z"}, "no such thing"])
def test_a_notice_that_was_never_carried_out_and_none_at_all_are_no_reason_to_go(content: object) -> None:
    assert read_action(answer(content, status=200 if isinstance(content, dict) else 404)) is None


def test_of_azures_events_the_first_that_ends_this_machine_counts() -> None:
    notice = read(event({"EventType": "Reboot"}, seconds=900), event(seconds=40), event(seconds=10, machine="vm-8"))

    assert notice == Notice("Azure announces that this machine is taken back at 12:00:40 UTC", 40)


@pytest.mark.parametrize("more", [{"NotBefore": ""}, {"EventStatus": "Started"}])
def test_an_event_of_azure_that_has_begun_leaves_next_to_no_time(more: dict[str, object]) -> None:
    assert read(event(more)) == Notice("Azure announces that this machine is taken back now", SHORTEST_SECONDS)


def test_names_of_machines_are_compared_as_azure_does() -> None:
    assert read(event(machine="VM-7")) is not None


def test_a_freeze_is_no_end() -> None:
    assert read(event({"EventType": "Freeze"})) is None


@given(
    JSON
    | st.fixed_dictionaries({"action": JSON, "time": JSON | st.just("2026-03-01T12:02:00Z")})
    | st.fixed_dictionaries(
        {
            "Events": st.lists(
                st.fixed_dictionaries(
                    {
                        "EventType": JSON | st.sampled_from(["Preempt", "Terminate"]),
                        "EventStatus": JSON,
                        "Resources": JSON | st.just(["vm-7"]),
                        "NotBefore": JSON | st.just("Sun, 01 Mar 2026 12:02:00 GMT"),
                    }
                )
                | JSON,
                max_size=2,
            )
        }
    ),
    st.integers(100, 599) | st.just(200),
)
def test_whatever_is_answered_is_a_notice_or_none_or_trouble(content: object, status: int) -> None:
    for text in (json.dumps(content), str(content)):
        with suppress(MetadataTrouble):
            notice = read_action(Answer(status, text, "", NOON))
            assert notice is None or notice.seconds_left >= SHORTEST_SECONDS
        with suppress(MetadataTrouble):
            notice = read_events(Answer(status, text, "", NOON), machine="vm-7")
            assert notice is None or notice.seconds_left >= SHORTEST_SECONDS


@pytest.mark.parametrize(
    "address", ["", "169.254.169.254", "https://169.254.169.254", "http://", "http://host:x", "http://host/path"]
)
def test_what_is_no_address_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(UserError, match="no address of a metadata service"):
        MetadataService(address)


@given(st.text(max_size=40))
def test_no_address_whatever_is_a_defect(address: str) -> None:
    with suppress(UserError):
        MetadataService(address)
