"""The fold of ledger and inboxes, and what is settled next."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.ids import JobId, JobNumber, SessionId, attempt_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    Death,
    InboxRecord,
    LedgerRecord,
    Meeting,
    OutboxRecord,
    Run,
    SessionAttempt,
    Settled,
    Span,
    SpecChunkHeader,
)
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.scheduling.jobs import JobTable
from gliderport_prefect.scheduling.settling import News, SettlingRules, decide_ledger
from gliderport_prefect.scheduling.state import CampaignState, spans_of
from tests.unit.scheduling.made import GIB, hello, report

A, B = SessionId("a.1"), SessionId("b.1")
RULES = SettlingRules(1, 3, lambda job: JobSpec(id=JobId(f"job-{job}"), run="x", retries=1), 0.0)


def ledger(**said: object) -> LedgerRecord:
    return LedgerRecord(1, "t", **said)  # pyright: ignore[reportArgumentType]


def campaign(jobs: int = 2, *, memory_bytes: int = 0) -> CampaignState:
    """Return a campaign of jobs and two sessions."""
    state = CampaignState()
    needs = Resources(memory_bytes=memory_bytes)
    state.add_chunk(SpecChunkHeader("t", JobNumber(0), jobs, (Run(jobs, 0, needs),)))
    state.apply_ledger(1, ledger(met=(Meeting(A, hello()), Meeting(B, hello()))), now=0.0)
    return state


def assign(state: CampaignState, to: SessionId, job: int, attempt: str = "1.1") -> None:
    spec = JobSpec(id=JobId(f"job-{job}"), run="x")
    record = InboxRecord(1, "t", assign=(Assignment(JobNumber(job), attempt, spec),))  # pyright: ignore[reportArgumentType]
    state.apply_inbox(state.sessions[to], record, number=state.sessions[to].next_inbox)


def said(by: SessionId, **what: object) -> News:
    return News(by, 2, OutboxRecord(by, "t", **what))  # pyright: ignore[reportArgumentType]


def settle(state: CampaignState, *news: News, lost: dict[SessionId, str] | None = None) -> LedgerRecord | None:
    record = decide_ledger(state, news, lost=lost or {}, rules=RULES)
    if record is not None:
        state.apply_ledger(state.ledger_number + 1, record, now=0.0)
    return record


# --- the fold ---------------------------------------------------------------------------------------------------


def test_a_job_that_another_session_has_too_waits_for_nobody_else() -> None:
    state = campaign()
    assign(state, A, 0, "1.1")
    assign(state, B, 0, "2.1")
    settle(state, said(A, finished=(report(Outcome.FAILED, 0, attempt="1.1"),)))
    assert state.jobs.state(0) is JobState.ASSIGNED
    assert [each.id for each in state.holders(0)] == [B]


def test_two_failures_of_a_job_in_one_round_both_count() -> None:
    state = campaign()
    assign(state, A, 0, "1.1")
    assign(state, B, 0, "2.1")
    failures = [said(who, finished=(report(Outcome.FAILED, 0, attempt=it),)) for who, it in ((A, "1.1"), (B, "2.1"))]
    record = settle(state, *failures)
    assert record is not None
    assert [each.then for each in record.settled] == [JobState.QUEUED, JobState.FAILED]
    assert (state.jobs.settled(0), state.jobs.charged(0)) == (2, 2)
    assert state.holders(0) == []


def test_the_first_result_of_a_round_wins() -> None:
    state = campaign()
    assign(state, A, 0, "1.1")
    assign(state, B, 0, "2.1")
    done = [said(who, finished=(report(Outcome.SUCCEEDED, 0, attempt=it),)) for who, it in ((A, "1.1"), (B, "2.1"))]
    record = settle(state, *done)
    assert record is not None
    assert [each.session for each in record.settled] == [A]


def test_a_failure_of_an_attempt_that_the_session_does_not_have_is_ignored() -> None:
    state = campaign()
    assign(state, A, 0, "2.1")
    settle(state, said(A, finished=(report(Outcome.FAILED, 0, attempt="1.1"),)))
    assert (state.jobs.state(0), state.jobs.charged(0)) == (JobState.ASSIGNED, 0)


def test_a_success_of_an_attempt_that_was_given_up_counts() -> None:
    state = campaign()
    settle(state, said(A, finished=(report(Outcome.SUCCEEDED, 0, attempt="1.1"),)))
    assert state.jobs.state(0) is JobState.SUCCEEDED


@pytest.mark.parametrize("attempt", ["", "x", "1", "0.1", "9999999999999.1"])
def test_a_success_under_no_attempt_is_ignored(attempt: str) -> None:
    state = campaign()
    settle(state, said(A, finished=(report(Outcome.SUCCEEDED, 0, attempt=attempt),)))
    assert state.jobs.state(0) is JobState.QUEUED


def test_a_heartbeat_needs_no_ledger_record() -> None:
    assert settle(campaign(), said(A, read=3, queued=1)) is None


def test_an_attempt_that_began_and_ended_in_one_round_was_not_seen_running() -> None:
    state = campaign()
    assign(state, A, 0)
    record = settle(
        state,
        said(A, started=(AttemptRef(JobNumber(0), attempt_id(1, 1)),)),
        said(A, finished=(report(Outcome.SUCCEEDED, 0),)),
    )
    assert record is not None
    assert record.started == ()


def test_what_began_in_the_round_in_which_its_worker_was_lost_is_a_loss() -> None:
    state = campaign()
    assign(state, A, 0)
    settle(state, said(A, started=(AttemptRef(JobNumber(0), attempt_id(1, 1)),)), lost={A: "gone"})
    assert (state.jobs.state(0), state.jobs.losses(0)) == (JobState.QUEUED, 1)


def test_a_session_of_another_protocol_is_over_at_once() -> None:
    state = campaign()
    stranger = SessionId("c.1")
    greeting = OutboxRecord(stranger, "t", hello=replace(hello(), protocol=99))
    settle(state, News(stranger, 1, greeting))
    assert "version 99" in state.ended_sessions[stranger]


def test_a_cancelled_job_that_runs_is_cancelled_when_its_worker_is_lost() -> None:
    state = campaign()
    assign(state, A, 0)
    state.apply_ledger(2, ledger(started=(SessionAttempt(A, JobNumber(0), attempt_id(1, 1)),)), now=0.0)
    state.apply_ledger(3, ledger(cancelled=(Span(JobNumber(0), JobNumber(0)),)), now=0.0)
    settle(state, lost={A: "gone"})
    assert state.jobs.state(0) is JobState.CANCELLED
    assert state.cancel_wanted == set()


def test_more_memory_makes_another_class_and_survives_a_rebuilt_queue() -> None:
    state = campaign(5, memory_bytes=GIB)
    failed = Settled(A, JobState.QUEUED, report(Outcome.OUT_OF_MEMORY, 2), memory_bytes=2 * GIB)
    state.apply_ledger(2, ledger(settled=(failed,)), now=0.0)
    state.rebuild_queue()
    by_memory = {kind.needs.memory_bytes: count for kind, count in state.waiting.demand()}
    assert by_memory == {GIB: 4, 2 * GIB: 1}


def test_what_an_inbox_says_does_not_bring_back_what_the_ledger_has_ended() -> None:
    state = campaign()
    state.apply_ledger(2, ledger(settled=(Settled(A, JobState.QUEUED, report(Outcome.FAILED)),)), now=0.0)
    assign(state, A, 0, "1.1")
    assert state.jobs.state(0) is JobState.QUEUED


def test_an_attempt_that_the_ledger_knows_to_run_still_runs_when_the_inbox_is_read() -> None:
    state = campaign()
    state.apply_ledger(2, ledger(started=(SessionAttempt(A, JobNumber(0), attempt_id(1, 1)),)), now=0.0)
    assign(state, A, 0, "1.1")
    assert state.sessions[A].held[0].started
    assert state.sessions[A].held[0].inbox_number == 1


def test_a_campaign_without_jobs_can_be_packed() -> None:
    packed, again = CampaignState().pack(), CampaignState()
    again.unpack(json.loads(json.dumps(packed)), now=0.0)
    assert len(again.jobs) == 0


def test_the_load_of_a_session_follows_what_it_holds() -> None:
    state = campaign()
    assign(state, A, 0)
    assign(state, A, 1)
    assign(state, A, 1, "2.1")
    assert state.sessions[A].load == 2
    state.apply_ledger(2, ledger(dead=(Death(B, "x"),), returned=(returned(0),)), now=0.0)
    assert state.sessions[A].load == 1


def returned(job: int) -> SessionAttempt:
    return SessionAttempt(A, JobNumber(job), attempt_id(1, 1))


# --- the table --------------------------------------------------------------------------------------------------


@given(ops=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(JobState)), max_size=30))
def test_a_table_is_unpacked_as_it_was_packed_but_for_what_only_inboxes_tell(
    ops: list[tuple[int, JobState]],
) -> None:
    table, again = JobTable(), JobTable()
    table.extend(10)
    for job, state in ops:
        table.next_try(job)
        table.move(job, state)
    again.unpack(json.loads(json.dumps(table.pack())))
    expected = [JobState.QUEUED if table.state(n) is JobState.ASSIGNED else table.state(n) for n in range(10)]
    assert [again.state(job) for job in range(10)] == expected
    assert sum(again.counts().values()) == 10
    assert [again.next_try(job) for job in range(10)] == [table.next_try(job) for job in range(10)]
    assert sum(table.counts().values()) == 10


@given(states=st.lists(st.sampled_from([JobState.QUEUED, JobState.ASSIGNED, JobState.FAILED]), max_size=30))
def test_queued_spans_are_the_queued_jobs(states: list[JobState]) -> None:
    table = JobTable()
    table.extend(len(states))
    for job, state in enumerate(states):
        table.move(job, state)
    spans = list(table.queued_spans())
    assert [job for first, end in spans for job in range(first, end)] == list(table.in_state(JobState.QUEUED))


@given(jobs=st.sets(st.integers(0, 50)))
def test_spans_hold_the_jobs_and_are_as_few_as_can_be(jobs: set[int]) -> None:
    spans = list(spans_of(sorted(jobs)))
    assert [job for span in spans for job in range(span.first, span.last + 1)] == sorted(jobs)
    assert all(after.first > span.last + 1 for span, after in pairwise(spans))
