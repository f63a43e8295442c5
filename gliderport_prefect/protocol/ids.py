"""Names of campaigns, jobs, workers and sessions, and what makes them safe inside keys and paths."""

from __future__ import annotations

import re
import sys
from typing import NewType

from gliderport_prefect.errors import UserError

CampaignId = NewType("CampaignId", str)
JobId = NewType("JobId", str)
JobNumber = NewType("JobNumber", int)
"""Place of a job in its campaign, from 0, in order of submission; records carry it beside the id."""
WorkerName = NewType("WorkerName", str)
"""The name under which a site started a worker; it survives a restart of the worker process."""
SessionId = NewType("SessionId", str)
"""One start of a worker process: `<worker name>.<random hex>`."""
AttemptId = NewType("AttemptId", str)
"""One try of a job: `<try, from 1>.<epoch of the launcher that assigned it>`.

The epoch keeps the ids of two launchers apart that, unknown to each other, both assign the second try.
"""

MAX_ID_LENGTH = 128
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=@+-]*")
_ATTEMPT_ID = re.compile(r"[1-9][0-9]{0,9}\.[1-9][0-9]{0,9}")
_ALLOWED = "letters, digits and . _ = @ + - (first a letter or digit)"


def parse_campaign_id(text: str) -> CampaignId:
    """Return the text as a campaign id.

    Raises:
        UserError: It is empty, too long, or has characters that are not safe in every object store.
    """
    return CampaignId(_checked(text, "campaign id"))


def parse_job_id(text: str) -> JobId:
    """Return the text as a job id.

    Raises:
        UserError: It is empty, too long, or has characters that are not safe in every object store.
    """
    return JobId(_checked(text, "job id"))


def parse_worker_name(text: str) -> WorkerName:
    """Return the text as a worker name.

    Raises:
        UserError: It is empty, too long, has a dot, or characters that are not safe in every object store.
    """
    if "." in text:
        message = f"worker name {text!r} has a dot; the dot separates the name from the session"
        raise UserError(message)
    return WorkerName(_checked(text, "worker name"))


def attempt_id(attempt: int, epoch: int) -> AttemptId:
    """Return the id of the given try (from 1) as assigned by the launcher of the epoch."""
    return AttemptId(sys.intern(f"{attempt}.{epoch}"))  # a million first tries share one string


def is_attempt_id(text: str) -> bool:
    """Say whether the text can be the id of an attempt."""
    return _ATTEMPT_ID.fullmatch(text) is not None


def attempt_number(attempt: AttemptId) -> int:
    """Return which try of its job this is, from 1."""
    return int(attempt.partition(".")[0])


def session_id(worker: WorkerName, random_hex: str) -> SessionId:
    """Return the id of a new session of the worker."""
    return SessionId(f"{worker}.{random_hex}")


def worker_of(session: SessionId) -> WorkerName:
    """Return the name of the worker whose session this is."""
    return WorkerName(session.rpartition(".")[0])


def _checked(text: str, what: str) -> str:
    if len(text) > MAX_ID_LENGTH:
        message = f"{what} {text[:40]!r}… has {len(text)} characters; at most {MAX_ID_LENGTH} are allowed"
        raise UserError(message)
    if _ID.fullmatch(text) is None:
        message = f"{what} {text!r} is not allowed; use {_ALLOWED}"
        raise UserError(message)
    return text
