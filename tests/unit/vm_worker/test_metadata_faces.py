"""The metadata services that tests talk to refuse what the real ones refuse."""

from __future__ import annotations

import json
import threading

import pytest

from tests.metadata_faces import AwsFace, AzureFace, GcpFace, Request
from tests.waiting import wait_until

AWS_ITEM = "/latest/meta-data/spot/instance-action"
AWS_TOKEN = "/latest/api/token"
TTL = "x-aws-ec2-metadata-token-ttl-seconds"
GOOGLE = {"metadata-flavor": "Google"}
PREEMPTED = "/computeMetadata/v1/instance/preempted"
FORWARDED = {"x-forwarded-for": "10.0.0.1"}
AZURE_EVENTS = "/metadata/scheduledevents"
VERSION = {"api-version": "2020-07-01"}


def put(headers: dict[str, str], path: str = AWS_TOKEN) -> int:
    return AwsFace().answer(Request("PUT", path, {}, headers)).status


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({TTL: "21600"}, AWS_TOKEN, 200),
        ({}, AWS_TOKEN, 400),
        ({TTL: "21601"}, AWS_TOKEN, 400),
        ({TTL: "0"}, AWS_TOKEN, 400),
        ({TTL: "60", **FORWARDED}, AWS_TOKEN, 403),
        ({TTL: "60"}, "/2021-03-23/api/token", 403),
    ],
)
def test_ec2_gives_tokens_as_documented(headers: dict[str, str], path: str, status: int) -> None:
    assert put(headers, path) == status


def test_ec2_wants_a_token_that_holds() -> None:
    face = AwsFace()
    token = face.answer(Request("PUT", AWS_TOKEN, {}, {TTL: "60"})).body
    with_token = {"x-aws-ec2-metadata-token": token}
    assert face.answer(Request("GET", AWS_ITEM, {}, {})).status == 401
    assert face.answer(Request("GET", AWS_ITEM, {}, with_token)).status == 404

    face.announce(seconds=120)

    assert json.loads(face.answer(Request("GET", AWS_ITEM, {}, with_token)).body)["action"] == "terminate"
    face.tokens[token] = 0.0
    assert face.answer(Request("GET", AWS_ITEM, {}, with_token)).status == 401


@pytest.mark.parametrize("headers", [{}, {"metadata-flavor": "google"}, {**GOOGLE, **FORWARDED}])
def test_google_wants_its_flavor_and_no_proxy(headers: dict[str, str]) -> None:
    assert GcpFace().answer(Request("GET", PREEMPTED, {}, headers)).status == 403


def test_google_answers_with_its_flavor_and_waits_for_a_change() -> None:
    face = GcpFace()
    first = face.answer(Request("GET", PREEMPTED, {}, GOOGLE))
    assert (first.status, first.body, first.headers["Metadata-Flavor"]) == (200, "FALSE", "Google")
    query = {"wait_for_change": "true", "last_etag": first.headers["ETag"]}
    timed_out = face.answer(Request("GET", PREEMPTED, {**query, "timeout_sec": "0"}, GOOGLE))
    assert timed_out == first
    later: list[str] = []
    waiting = threading.Thread(target=lambda: later.append(face.answer(Request("GET", PREEMPTED, query, GOOGLE)).body))
    waiting.start()

    face.announce()

    wait_until(lambda: later == ["TRUE"], "the hanging request is answered")
    waiting.join()


@pytest.mark.parametrize(
    ("headers", "query"), [({}, VERSION), ({"metadata": "true", **FORWARDED}, VERSION), ({"metadata": "true"}, {})]
)
def test_azure_wants_its_header_no_proxy_and_a_version(headers: dict[str, str], query: dict[str, str]) -> None:
    assert AzureFace().answer(Request("GET", AZURE_EVENTS, query, headers)).status == 400


def test_azure_counts_the_incarnations_of_its_events() -> None:
    face = AzureFace()
    asking = Request("GET", AZURE_EVENTS, VERSION, {"metadata": "true"})
    assert json.loads(face.answer(asking).body) == {"DocumentIncarnation": 1, "Events": []}

    face.announce(seconds=30)

    document = json.loads(face.answer(asking).body)
    assert (document["DocumentIncarnation"], document["Events"][0]["Resources"]) == (2, ["vm-7"])
