"""What is said to the sessions about waiting jobs: assignments that fit into a record, and jobs asked back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gliderport_prefect.lifecycle.inboxes import Inboxes
from gliderport_prefect.protocol.ids import JobNumber, SessionId, attempt_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.records import Assignment, AttemptRef, InboxRecord
from gliderport_prefect.scheduling.matching import decide_assignments, decide_recalls
from gliderport_prefect.scheduling.sessions import Session
from gliderport_prefect.scheduling.state import CampaignState

_RECORD_BYTES = 4 * 1024 * 1024
"""About how large an inbox record may get."""
_SPEC_BYTES = 300
"""About how large the rest of a spec is besides its script."""


def hand_out(inboxes: Inboxes, spec_of: Callable[[int], JobSpec]) -> int:
    """Give waiting jobs to the sessions, ask some back when none waits, and return how many were given."""
    state = inboxes.state
    sessions = list(state.sessions.values())
    given = decide_assignments(state.waiting, sessions)
    draft = inboxes.draft()
    inboxes.send(
        [(to, replace(draft, assign=_assign(jobs, state, epoch=inboxes.epoch, spec_of=spec_of))) for to, jobs in given]
    )
    if not given and not len(state.waiting):
        _recall(inboxes, sessions)
    return sum(len(jobs) for _, jobs in given)


def _assign(
    jobs: list[int], state: CampaignState, *, epoch: int, spec_of: Callable[[int], JobSpec]
) -> tuple[Assignment, ...]:
    """Return assignments that fit into one record; jobs with large specs beyond that go back to the queue."""
    made: list[Assignment] = []
    room_bytes = _RECORD_BYTES
    for at, job in enumerate(jobs):
        if room_bytes <= 0:
            for left in jobs[at:]:
                state.waiting.push(left, state.class_of(left))
            break
        attempt = attempt_id(state.jobs.next_try(job), epoch)
        made.append(Assignment(JobNumber(job), attempt, spec_of(job), state.jobs.memory_bytes(job)))
        spec = made[-1].spec
        room_bytes -= len(spec.run or spec.python or "") + _SPEC_BYTES
    return tuple(made)


def _recall(inboxes: Inboxes, sessions: list[Session]) -> None:
    records: dict[SessionId, InboxRecord] = {}
    for recall in decide_recalls(sessions):
        session = recall.session
        session.held[recall.job].recalled = True
        record = records.get(session.id, inboxes.draft())
        asked = (*record.recall, AttemptRef(JobNumber(recall.job), recall.attempt))
        records[session.id] = replace(record, recall=asked)
    inboxes.send([(inboxes.state.sessions[session], record) for session, record in records.items()])
