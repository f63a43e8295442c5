"""What has changed of the workers' machines since it was last written down; pure."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.machines import Machine, WorkerState
from gliderport_prefect.protocol.records import Sighting, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gliderport_prefect.protocol.ids import WorkerName

_REASON_HEAD, _REASON_TAIL = 200, 400
"""How much of a long reason is kept: what happened, and the last lines."""
_REASON_SECONDS = 60.0
"""A reason that changes while nothing else does, such as that of a site which waits, is written this often at most."""
_VANISHED = "its site does not know it any more"


def derive_sightings(
    looked: Iterable[Sighting], known: Mapping[WorkerName, Sighting], *, now: float
) -> tuple[Sighting, ...]:
    """Return what is to be written down: nothing of a worker of which nothing has changed.

    Args:
        looked: What the site says now of all workers that it knows; `seen_at` is empty when it does not say since when.
        known: What was written last of each worker.
        now: The moment, in seconds since the epoch.
    """
    present = {each.worker: each for each in looked}
    changed = [_derive(each, known.get(name), now=now) for name, each in present.items()]
    vanished = [
        replace(each, state=WorkerState.GONE, seen_at=timestamp(now), reason=_VANISHED)
        for name, each in known.items()
        if name not in present and each.state is not WorkerState.GONE
    ]
    return (*(each for each in changed if each is not None), *vanished)


def _derive(looked: Sighting, known: Sighting | None, *, now: float) -> Sighting | None:
    seen = replace(looked, seen_at=looked.seen_at or timestamp(now), reason=_shorten(looked.reason))
    if known is None:
        return seen
    seen = replace(seen, machine=_complete(looked, known))
    if (known.state, known.recoveries) != (looked.state, looked.recoveries):
        return seen
    if looked.state is WorkerState.GONE:
        return None
    is_told_anew = seen.reason != known.reason and now - _moment(known) >= _REASON_SECONDS
    return replace(seen, seen_at=timestamp(now)) if seen.machine != known.machine or is_told_anew else None


def _complete(looked: Sighting, known: Sighting) -> Machine:
    """Return the machine with what the site said of it before and does not say now."""
    has_recovered = WorkerState.RECOVERING in {known.state, looked.state} and known.state is not looked.state
    if has_recovered or looked.recoveries != known.recoveries:
        return looked.machine
    said = {each.name: getattr(looked.machine, each.name) for each in fields(Machine)}
    return replace(known.machine, **{name: value for name, value in said.items() if value not in {"", None}})


def _shorten(reason: str) -> str:
    if len(reason) <= _REASON_HEAD + _REASON_TAIL:
        return reason
    return f"{reason[:_REASON_HEAD]} … {reason[-_REASON_TAIL:]}"


def _moment(known: Sighting) -> float:
    try:
        return datetime.fromisoformat(known.seen_at).timestamp()
    except (ValueError, OverflowError):
        return 0.0
