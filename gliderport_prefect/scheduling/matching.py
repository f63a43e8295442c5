"""Which waiting jobs go to which session, and which are asked back.

A session gets enough to stay busy until the launcher's next looks, and near the end no more than its share, so that
no job waits behind another while a slot elsewhere is free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gliderport_prefect.protocol.ids import AttemptId
    from gliderport_prefect.scheduling.queue import WaitingJobs
    from gliderport_prefect.scheduling.sessions import Session

_HORIZON_SECONDS = 4.0
"""A session's queue is filled for about this long."""
_MOST_AHEAD = 3000.0
"""Most jobs that wait in a session per job that runs there."""
_FIRST_AHEAD = 1.0
"""The same before its first report."""
_WORTH_RECALL_SECONDS = 1.0
"""Waiting jobs are asked back only from sessions that would take longer than this to get to them."""
_MOST_AT_ONCE = 5000
"""Most jobs in one assignment."""


@dataclass(frozen=True)
class Recall:
    """An attempt that a session is asked to hand back."""

    session: Session
    job: int
    attempt: AttemptId


def decide_assignments(waiting: WaitingJobs, sessions: Iterable[Session]) -> list[tuple[Session, list[int]]]:
    """Take jobs out of the queue and return who gets which.

    Highest priority first; within a class oldest first; the emptiest session first.
    """
    open_sessions = sorted((each for each in sessions if each.is_open), key=lambda each: each.load)
    loads = {each.id: each.load for each in open_sessions}
    given: dict[str, list[int]] = {}
    for kind, count in waiting.demand():
        able = [(each, slots) for each in open_sessions if (slots := kind.slots_on(each.offer))]
        left, left_slots = count, sum(slots for _, slots in able)
        there = sum(loads[each.id] * slots for each, slots in able)
        for session, slots in able:
            room = _room(session, slots, load=loads[session.id])
            # So much that all sessions come to their ends together, counting what they have already.
            has = loads[session.id] * slots
            share = max(0, math.ceil((left + there) * slots / left_slots - has - 1e-9))
            jobs = waiting.take(kind, min(room, share, _MOST_AT_ONCE))
            left, left_slots, there = left - len(jobs), left_slots - slots, there - has
            loads[session.id] += len(jobs) / slots
            given.setdefault(session.id, []).extend(jobs)
    return [(each, given[each.id]) for each in open_sessions if given.get(each.id)]


def _room(session: Session, slots: int, *, load: float) -> int:
    """Return how many more jobs the session should get; none while its queue is still half full."""
    ahead = _ahead(session)
    if load > 1 + ahead / 2:
        return 0
    return math.floor((1 + ahead - load) * slots + 1e-9)


def _ahead(session: Session) -> float:
    """Return how many jobs should wait per job that runs."""
    if session.job_seconds is None:
        return _FIRST_AHEAD
    return min(max(1.0, _HORIZON_SECONDS / session.job_seconds), _MOST_AHEAD)


def decide_recalls(sessions: Sequence[Session]) -> list[Recall]:
    """Return the not yet started attempts to ask back, because other sessions are idle and the queue is empty.

    The newest assignments of the session that would need longest are asked first, as many as there is room for.
    """
    room = [_free(each) for each in sessions if each.is_open and each.load < 1]
    if not room:
        return []
    recalls: list[Recall] = []
    for session in sorted(sessions, key=backlog_seconds, reverse=True):
        if backlog_seconds(session) <= _WORTH_RECALL_SECONDS or len(recalls) >= sum(room):
            break
        recalls.extend(_spare(session, most=sum(room) - len(recalls)))
    return [each for each in recalls if _fits_elsewhere(each, sessions)]


def _free(session: Session) -> int:
    return max(1, math.floor((1 - session.load) * session.offer.cpus))


def backlog_seconds(session: Session) -> float:
    """Return about how long the session needs to get to its newest assignment; long when nothing is known."""
    if session.load <= 1:
        return 0.0
    if session.job_seconds is None:
        return math.inf
    return (session.load - 1) * session.job_seconds


def _spare(session: Session, *, most: int) -> list[Recall]:
    """Return the newest half of what waits there."""
    queued = [(job, held) for job, held in session.held.items() if not held.started]
    excess = math.ceil(len(queued) * (1 - 1 / session.load))
    newest = queued[len(queued) - min(most, math.ceil(excess / 2)) :]
    return [Recall(session, job, held.attempt) for job, held in newest if not held.recalled]


def _fits_elsewhere(recall: Recall, sessions: Sequence[Session]) -> bool:
    held = recall.session.held[recall.job]
    others = (each for each in sessions if each is not recall.session and each.is_open and each.load < 1)
    return any(each.offer.fits(held.needs) and not (held.kept and each.offer.preemptible) for each in others)
