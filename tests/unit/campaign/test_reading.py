"""Reading a campaign back from its bucket, and asking it for something."""

from __future__ import annotations

import pytest

from gliderport_prefect.campaign.replay import add_new_chunks, follow_ledger, read_campaign, read_log, replay
from gliderport_prefect.campaign.requests import append_request, is_answered
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobNumber
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import Campaign, LedgerRecord, Request, RequestKind, Span
from gliderport_prefect.store import CountingStore
from tests.campaign_rig import KEYS, Bucket, job_specs


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.begin()
    return made


def test_a_campaign_that_is_not_there_is_named_with_its_bucket() -> None:
    with pytest.raises(UserError, match="no campaign 'storm' in memory://"):
        read_campaign(Bucket().runtime())


def test_a_campaign_of_another_protocol_is_refused() -> None:
    bucket = Bucket()
    bucket.store.create(KEYS.identity, codec.encode(Campaign(KEYS.campaign, "t", "", protocol=2)))
    with pytest.raises(ProtocolError, match="follows version 2 of the protocol, this program version 1"):
        read_campaign(bucket.runtime())


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 40])
def test_a_log_is_read_to_its_end_in_order(bucket: Bucket, count: int) -> None:
    runtime = Runtime(bucket.store, KEYS)
    for number in range(1, count + 1):
        runtime.append(KEYS.ledger, LedgerRecord(1, str(number)), number=number)
    found = list(read_log(runtime, LedgerRecord, log=KEYS.ledger, start=1))
    assert [(number, record.token) for number, record in found] == [(n, str(n)) for n in range(1, count + 1)]


def test_a_log_is_read_with_few_requests_beyond_its_end(bucket: Bucket) -> None:
    counting = CountingStore(bucket.store)
    runtime = Runtime(counting, KEYS)
    list(read_log(runtime, LedgerRecord, log=KEYS.ledger, start=1))
    assert counting.counts == {"get": 1}


def test_requests_are_numbered_in_the_order_in_which_they_came(bucket: Bucket) -> None:
    numbers = [append_request(bucket.runtime(), RequestKind.CANCEL) for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_a_request_says_who_asked_for_what(bucket: Bucket) -> None:
    span = Span(JobNumber(3), JobNumber(5))
    append_request(bucket.runtime(), RequestKind.RETRY, jobs=[span])
    request = bucket.runtime().read_numbered(Request, KEYS.requests, number=1)
    assert request is not None
    assert (request.kind, request.jobs) == (RequestKind.RETRY, (span,))
    assert "@" in request.requested_by


def test_a_request_can_be_made_behind_one_that_cannot_be_read(bucket: Bucket) -> None:
    bucket.store.create(f"{KEYS.requests}/00000001", b"?")
    assert append_request(bucket.runtime(), RequestKind.CANCEL) == 2


def test_a_request_is_answered_once_the_ledger_says_so(bucket: Bucket) -> None:
    runtime = bucket.runtime()
    number = append_request(runtime, RequestKind.CANCEL)
    runtime.append(KEYS.ledger, LedgerRecord(1, "a"), number=1)
    assert not is_answered(runtime, number, since=0)
    runtime.append(KEYS.ledger, LedgerRecord(1, "b", requests_read=number), number=2)
    assert is_answered(runtime, number, since=0)
    assert is_answered(runtime, number, since=1)


def test_a_create_tells_what_stands_there_already(bucket: Bucket) -> None:
    runtime = bucket.runtime()
    first, second = LedgerRecord(1, "first"), LedgerRecord(1, "second")
    assert runtime.append(KEYS.ledger, first, number=1) is None
    assert runtime.append(KEYS.ledger, first, number=1) is None
    assert runtime.append(KEYS.ledger, second, number=1) == first


def test_chunks_that_came_since_are_taken_in(bucket: Bucket) -> None:
    bucket.submit(job_specs(3))
    state = replay(bucket.runtime())
    bucket.submit(job_specs(2, first=3))
    assert add_new_chunks(bucket.runtime(), state) == 2
    assert state.jobs.counts()[JobState.QUEUED] == 5
    assert add_new_chunks(bucket.runtime(), state) == 0


def test_a_ledger_that_names_jobs_of_no_spec_is_refused(bucket: Bucket) -> None:
    state = replay(bucket.runtime())
    span = Span(JobNumber(0), JobNumber(0))
    bucket.runtime().append(KEYS.ledger, LedgerRecord(1, "t", requeued=(span,)), number=1)
    with pytest.raises(ProtocolError, match="speaks of job number 0 and has 0"):
        follow_ledger(bucket.runtime(), state)


def test_results_come_in_the_order_of_the_items(bucket: Bucket) -> None:
    runtime = Runtime(bucket.store, KEYS)
    assert list(runtime.in_parallel(lambda number: number * 2, range(100))) == list(range(0, 200, 2))
