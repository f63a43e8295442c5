"""The worker's own log: one JSON object per line on stderr, with a closed set of event names."""

from __future__ import annotations

import json
import logging
from enum import Enum
from typing import TextIO

from gliderport_prefect.protocol.records import timestamp

_LOG = logging.getLogger("vm_worker")


class Event(str, Enum):
    """Everything that the worker says about itself."""

    HELLO = "HELLO"
    """Its session has begun."""
    STORE_TROUBLE = "STORE_TROUBLE"
    """A request to the bucket failed and will be tried again."""
    STORE_BACK = "STORE_BACK"
    """The bucket answers again."""
    ATTEMPT_TROUBLE = "ATTEMPT_TROUBLE"
    """Something beside a job's own command went wrong."""
    DEFECT = "DEFECT"
    """The worker itself does not do what it should."""
    DRAINING = "DRAINING"
    """No more jobs are started."""
    GOODBYE = "GOODBYE"
    """Its session is over."""
    METADATA = "METADATA"
    """Whether a cloud's metadata service would say when this machine is taken back."""
    NOTICE = "NOTICE"
    """The cloud says something about the end of this machine."""
    LINGERING = "LINGERING"
    """All is said; the process waits for the end of its machine."""
    REQUESTS = "REQUESTS"
    """How many requests the session took, for those who keep to a budget."""
    STALE_REMOVED = "STALE_REMOVED"
    """The scratch folder of a worker that had died was removed."""


def open_logbook(stream: TextIO, *, verbose: bool = False) -> None:
    """Send the worker's log to the stream."""
    line_writer = logging.StreamHandler(stream)
    line_writer.setFormatter(_JsonLines())
    _LOG.addHandler(line_writer)
    _LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    _LOG.propagate = False


def note(event: Event, message: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Write one line: the event, a sentence, and the facts."""
    _LOG.log(level, message, extra={"event": event, "facts": facts})


def note_trouble(event: Event, message: str, **facts: object) -> None:
    """Write one line about something that should not be."""
    note(event, message, level=logging.WARNING, **facts)


def note_defect(error: BaseException) -> None:
    """Write one line with the traceback of a defect of the worker."""
    _LOG.error("a defect of the worker", exc_info=error, extra={"event": Event.DEFECT})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": timestamp(record.created),
            "level": record.levelname,
            "event": getattr(record, "event", Event.DEFECT).value,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
