"""The instance metadata services of AWS, Google Cloud and Azure, as their documentation describes them.

They refuse what the real ones refuse. `metadata_server.py` serves them.

Sources: Amazon EC2 User Guide, "Use the Instance Metadata Service to access instance metadata", "Spot Instance
interruption notices", "EC2 instance rebalance recommendations"; Compute Engine documentation, "View and query VM
metadata", "Create and use Spot VMs", "Query metadata server for maintenance event notices"; Azure documentation, "Azure
Instance Metadata Service", "Scheduled Events for Linux VMs".
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from typing import Protocol

_LONGEST_TOKEN_SECONDS = 21_600
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    """GET, PUT, POST."""
    path: str
    """Without the query."""
    query: Mapping[str, str]
    """Parameters."""
    headers: Mapping[str, str]
    """With small names."""


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int
    """HTTP status."""
    body: str = ""
    """Text or JSON."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Beside Date and Content-Length."""


class Face(Protocol):
    """How one cloud's service behaves."""

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request."""
        ...


@dataclass
class AwsFace:
    """EC2 with `HttpTokens: required`."""

    items: dict[str, str] = field(default_factory=lambda: {"instance-id": "i-1234567890abcdef0"})
    """Below /latest/meta-data/; what is not there is 404."""
    tokens: dict[str, float] = field(default_factory=dict[str, float])
    """Until when each token holds."""

    def announce(self, *, seconds: float, action: str = "terminate", now: float | None = None) -> None:
        """Mark the instance: it is taken back in so many seconds."""
        moment = time.gmtime((time.time() if now is None else now) + seconds)
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
        self.items["spot/instance-action"] = json.dumps({"action": action, "time": text})
        self.items["spot/termination-time"] = text

    def recommend_rebalance(self) -> None:
        """Say that the risk is elevated."""
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.items["events/recommendations/rebalance"] = json.dumps({"noticeTime": text})

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request."""
        if request.method == "PUT":
            return self._answer_put(request)
        token = request.headers.get("x-aws-ec2-metadata-token", "")
        if self.tokens.get(token, 0.0) < time.monotonic():
            return Reply(401)
        item = self.items.get(request.path.removeprefix("/latest/meta-data/"))
        return Reply(404) if request.method != "GET" or item is None else Reply(200, item)

    def _answer_put(self, request: Request) -> Reply:
        if request.path != "/latest/api/token" or "x-forwarded-for" in request.headers:
            return Reply(403)
        ttl = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _LONGEST_TOKEN_SECONDS:
            return Reply(400)
        token = secrets.token_urlsafe(40) + "=="
        self.tokens[token] = time.monotonic() + int(ttl)
        return Reply(200, token, {"X-aws-ec2-metadata-token-ttl-seconds": ttl})


@dataclass
class GcpFace:
    """Compute Engine."""

    values: dict[str, str] = field(
        default_factory=lambda: {"id": "1234567890123456789", "preempted": "FALSE", "maintenance-event": "NONE"}
    )
    """Below /computeMetadata/v1/instance/."""

    def announce(self) -> None:
        """Begin to preempt the machine."""
        self.values["preempted"] = "TRUE"

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request, after a change if it wants to wait for one."""
        if request.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in request.headers:
            return Reply(403, "Missing Metadata-Flavor:Google header.")
        name = request.path.removeprefix("/computeMetadata/v1/instance/")
        if name not in self.values:
            return Reply(404, headers={"Metadata-Flavor": "Google"})
        if request.query.get("wait_for_change") == "true":
            self._wait(name, request.query)
        value = self.values[name]
        return Reply(200, value, {"Metadata-Flavor": "Google", "ETag": _etag(value)})

    def _wait(self, name: str, query: Mapping[str, str]) -> None:
        known = query.get("last_etag", _etag(self.values[name]))
        deadline = time.monotonic() + float(query.get("timeout_sec", "inf"))
        while _etag(self.values[name]) == known and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


@dataclass
class AzureFace:
    """Azure."""

    name: str = "vm-7"
    """The machine's."""
    incarnation: int = 1
    """Rises with every change of the events."""
    events: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    """What is scheduled."""
    approvals: int = 0
    """How often somebody approved of an event, which lets it begin at once."""
    first_seconds: float = 0.0
    """How long the first question for events takes, while the service is enabled."""

    def announce(self, *, seconds: float, kind: str = "Preempt", machine: str | None = None) -> None:
        """Schedule an event."""
        self.incarnation += 1
        self.events.append(
            {
                "EventId": f"event-{self.incarnation}",
                "EventStatus": "Scheduled",
                "EventType": kind,
                "ResourceType": "VirtualMachine",
                "Resources": [machine or self.name],
                "NotBefore": formatdate(time.time() + seconds, usegmt=True),
                "Description": "",
                "EventSource": "Platform",
                "DurationInSeconds": -1,
            }
        )

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request."""
        if request.headers.get("metadata") != "true" or "x-forwarded-for" in request.headers:
            return Reply(400, json.dumps({"error": "Bad request. Required metadata header not specified"}))
        if "api-version" not in request.query:
            return Reply(400, json.dumps({"error": "Bad request. api-version was not specified in the request"}))
        if request.path == "/metadata/instance/compute/name" and request.query.get("format") == "text":
            return Reply(200, self.name)
        if request.path != "/metadata/scheduledevents":
            return Reply(404, json.dumps({"error": "Not found"}))
        if request.method == "POST":
            self.approvals += 1
            return Reply(200)
        delay, self.first_seconds = self.first_seconds, 0.0
        time.sleep(delay)
        return Reply(200, json.dumps({"DocumentIncarnation": self.incarnation, "Events": self.events}))


def _etag(value: str) -> str:
    return sha256(value.encode()).hexdigest()[:16]
