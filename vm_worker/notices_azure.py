"""Scheduled events of Azure virtual machines.

Sources (Azure documentation): "Azure Metadata Service: Scheduled Events for Linux VMs" for the events, their minimum
notice (Preempt 30 s, Terminate 5 to 15 min, Redeploy 10 min, Reboot 15 min) and for the first answer, which may take
two minutes; "Azure Instance Metadata Service" for the machine's name, the header Metadata and the refusal of forwarded
requests.

Preempt, Terminate, Redeploy and Reboot end what runs; Freeze stops it for seconds and is no reason to go. Events are
delivered to machines that they do not concern, so the resources are looked at. No event is approved: that would only
shorten the time that is left.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Any, cast

from vm_worker.notices import SHORTEST_SECONDS, MetadataTrouble, Notice, say_time, seconds_until
from vm_worker.notices_http import Answer, MetadataService, read_date

_HEADERS = {"Metadata": "true"}
_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
_FIRST_ANSWER_SECONDS = 150.0
_ANSWER_SECONDS = 10.0
_LONGEST_NAME = 80
_ENDS = {"Preempt": "taken back", "Terminate": "deleted", "Redeploy": "moved to another host", "Reboot": "restarted"}


class Azure:
    """The metadata service of Azure."""

    name = "Azure"

    def __init__(self, service: MetadataService) -> None:
        self._service = service
        self._machine = ""
        self._patience_seconds = _FIRST_ANSWER_SECONDS

    def is_here(self) -> bool:
        """Say whether it knows this machine's name."""
        answer = self._service.ask(_NAME, headers=_HEADERS)
        if answer.status == HTTPStatus.OK and _is_name(answer.text):
            self._machine = answer.text
        return bool(self._machine)

    def look(self) -> Notice | None:
        """Return the announcement of the first event that ends this machine."""
        if not self._machine and not self.is_here():
            raise MetadataTrouble("GET /metadata/instance/compute/name: no name")
        answer = self._service.ask(_EVENTS, headers=_HEADERS, patience_seconds=self._patience_seconds)
        if answer.status != HTTPStatus.OK:
            raise MetadataTrouble(f"GET {_EVENTS}: status {answer.status}")
        self._patience_seconds = _ANSWER_SECONDS
        return read_events(answer, machine=self._machine)


def read_events(answer: Answer, *, machine: str) -> Notice | None:
    """Return the announcement of the first event that ends the machine.

    Raises:
        MetadataTrouble: It is no such answer.
    """
    try:
        events: Iterable[dict[str, Any]] = json.loads(answer.text)["Events"]
        notices = [_read_event(each, now=answer.at) for each in events if _concerns(each, machine)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise MetadataTrouble(f"GET {_EVENTS}: {answer.text[:100]!r} is not as documented: {error!r}") from error
    return min(notices, key=lambda each: each.seconds_left, default=None)


def _concerns(event: dict[str, Any], machine: str) -> bool:
    names = cast("list[str]", event["Resources"])
    return event["EventType"] in _ENDS and machine.casefold() in {str(each).casefold() for each in names}


def _read_event(event: dict[str, Any], *, now: datetime | None) -> Notice:
    kind = str(event["EventType"])
    begun = f"Azure announces that this machine is {_ENDS[kind]}"
    text = str(event.get("NotBefore") or "")
    if not text or event.get("EventStatus") == "Started":
        return Notice(f"{begun} now", SHORTEST_SECONDS)
    moment = read_date(text)
    return Notice(f"{begun} at {say_time(moment)}", max(seconds_until(moment, now), SHORTEST_SECONDS))


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and all(each.isalnum() or each in "-_." for each in text)
