"""Interruption notices of Amazon EC2 spot instances.

Sources (Amazon EC2 User Guide): "Spot Instance interruption notices" for `spot/instance-action` (404 until the instance
is marked, then action and approximate time, two minutes before; hibernation begins at once), "Use the Instance Metadata
Service to access instance metadata" for tokens (IMDSv2) and for 400, 401 and 403, "EC2 instance rebalance
recommendations" for `events/recommendations/rebalance`.

`spot/termination-time` is kept by AWS for backward compatibility only and is not read. A rebalance recommendation tells
of a risk, perhaps hours before an interruption that may never come: it is noted in the log, and work goes on.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from http import HTTPStatus

from vm_worker.logbook import Event, note
from vm_worker.notices import SHORTEST_SECONDS, MetadataTrouble, Notice, say_time, seconds_until
from vm_worker.notices_http import Answer, MetadataService

_SESSION = "/latest/api/token"
_ACTION = "/latest/meta-data/spot/instance-action"
_REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
_TOKEN_SECONDS = 21_600
_RENEWAL_SECONDS = 600.0
_LONGEST_TOKEN = 1024
# When EC2 fails to take an instance back, the notice stays with a time in the past.
_STALE_SECONDS = 120.0
_LOOKS_PER_REBALANCE = 15


class Aws:
    """The metadata service of EC2, version 2."""

    name = "AWS"

    def __init__(self, service: MetadataService) -> None:
        self._service = service
        self._token = ""
        self._token_until = 0.0
        self._looks = 0
        self._knows_risk = False

    def is_here(self) -> bool:
        """Say whether it gives out tokens, which nobody else does."""
        return self._renew_token()

    def look(self) -> Notice | None:
        """Return the interruption notice; now and then look for a rebalance recommendation, too."""
        if self._looks % _LOOKS_PER_REBALANCE == 0 and not self._knows_risk:
            self._look_for_risk()
        self._looks += 1
        return read_action(self._ask(_ACTION))

    def _look_for_risk(self) -> None:
        answer = self._ask(_REBALANCE)
        if answer.status == HTTPStatus.OK and "noticeTime" in answer.text:
            self._knows_risk = True
            note(Event.NOTICE, "AWS says that this machine may be taken back soon; it works on until it is announced")

    def _ask(self, path: str) -> Answer:
        if time.monotonic() > self._token_until:
            self._require_token()
        answer = self._service.ask(path, headers={"X-aws-ec2-metadata-token": self._token})
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._require_token()
            answer = self._service.ask(path, headers={"X-aws-ec2-metadata-token": self._token})
        if answer.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
            raise MetadataTrouble(f"GET {path}: status {answer.status}")
        return answer

    def _require_token(self) -> None:
        if not self._renew_token():
            raise MetadataTrouble(f"PUT {_SESSION}: no token")

    def _renew_token(self) -> bool:
        asked = time.monotonic()
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        answer = self._service.ask(_SESSION, method="PUT", headers=ttl)
        if answer.status != HTTPStatus.OK or not _is_token(answer.text):
            return False
        self._token, self._token_until = answer.text, asked + _TOKEN_SECONDS - _RENEWAL_SECONDS
        return True


def read_action(answer: Answer) -> Notice | None:
    """Return what the answer to the question for `instance-action` announces.

    Raises:
        MetadataTrouble: It is no such answer.
    """
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    try:
        fields: dict[str, str] = json.loads(answer.text)
        action, moment = fields["action"], _read_time(fields["time"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MetadataTrouble(f"GET {_ACTION}: {answer.text[:100]!r} is not as documented: {error!r}") from error
    seconds_left = seconds_until(moment, answer.at)
    if seconds_left < -_STALE_SECONDS:
        return None
    what = "taken back" if action == "terminate" else f"taken back ({action})"
    return Notice(
        f"AWS announces that this machine is {what} at {say_time(moment)}", max(seconds_left, SHORTEST_SECONDS)
    )


def _read_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def _is_token(text: str) -> bool:
    """Say whether it looks like a token: it has to fit into a header, and a page of a captive network does not."""
    return 0 < len(text) <= _LONGEST_TOKEN and text.isascii() and text.isprintable() and not set(text) & set(" <>{}")
