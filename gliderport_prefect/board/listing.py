"""Tables of jobs: all that somebody means, and the failed ones with their last words."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.board.attempts import collect_newest
from gliderport_prefect.board.names import JobName, Selection, select
from gliderport_prefect.board.rows import JobRow, make_row
from gliderport_prefect.protocol.ids import worker_of
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.board.attempts import NewestAttempts
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.protocol.records import Settled, StreamLog
    from gliderport_prefect.scheduling.state import CampaignState

_AT_ONCE = 10_000
"""Jobs whose rows are made together, so that a listing of any length begins at once and stays small."""
_LAST_LINES = 5
FAILED = frozenset({JobState.FAILED, JobState.QUARANTINED})
"""States of jobs that somebody should look at."""


def list_jobs(runtime: Runtime, state: CampaignState, *, selection: Selection | None = None) -> Iterator[JobRow]:
    """Yield the rows of the jobs that are meant, in order of submission.

    Raises:
        UserError: An id names no job of the campaign.
    """
    for name, newest in _attempts_of(runtime, state, selection=selection or Selection()):
        yield make_row(runtime, state, name=name, newest=newest)


@dataclass(frozen=True)
class Failure:
    """A job that failed, and what it said last."""

    id: str
    """Its id."""
    state: str
    """FAILED or QUARANTINED."""
    outcome: str
    """How its newest attempt ended."""
    attempts: int
    """How many attempts it had."""
    exit_code: int | None
    """Exit code of its command."""
    reason: str
    """What happened, in a sentence."""
    worker: str
    """Who ran it."""
    last_lines: str
    """End of what it printed as errors; undecodable bytes replaced."""


def list_failures(runtime: Runtime, state: CampaignState, *, most: int | None = None) -> Iterator[Failure]:
    """Yield the failed jobs in order of submission, no more than that many."""
    left = most
    for name, newest in _attempts_of(runtime, state, selection=Selection(states=FAILED), with_text=True):
        if left == 0:
            return
        left = None if left is None else left - 1
        settled = newest.get(name.number)
        if settled is not None:
            yield _failure(state, name, settled=settled)


def last_lines(log: StreamLog, count: int = _LAST_LINES) -> str:
    """Return the end of what was printed, as far as the record has it."""
    text = log.tail or log.text or ""
    if log.base64 is not None:
        text = base64.b64decode(log.base64).decode("utf-8", "replace")
    return "\n".join(text.rstrip().splitlines()[-count:])


def _failure(state: CampaignState, name: JobName, *, settled: Settled) -> Failure:
    report = settled.report
    return Failure(
        id=name.id,
        state=state.jobs.state(name.number).value,
        outcome=report.outcome.value,
        attempts=state.jobs.settled(name.number),
        exit_code=report.exit_code,
        reason=report.reason,
        worker=worker_of(settled.session),
        last_lines=last_lines(report.stderr),
    )


def _attempts_of(
    runtime: Runtime, state: CampaignState, *, selection: Selection, with_text: bool = False
) -> Iterator[tuple[JobName, NewestAttempts]]:
    for names in _batches(select(runtime, state, selection=selection)):
        numbers = [name.number for name in names]
        with collect_newest(runtime, state, jobs=numbers, with_text=with_text) as newest:
            for name in names:
                yield name, newest


def _batches(names: Iterator[JobName]) -> Iterator[list[JobName]]:
    batch: list[JobName] = []
    for name in names:
        batch.append(name)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
