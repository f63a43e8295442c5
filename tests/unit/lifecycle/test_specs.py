from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from gliderport_prefect.campaign.specs import SpecReader, parse_chunk, read_headers
from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.lifecycle import specs as submission
from gliderport_prefect.lifecycle.specs import CHUNK_BYTES, CHUNK_JOBS, Submitted, read_known, submit_specs
from gliderport_prefect.protocol.ids import CampaignId, JobId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import Run
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.store import CountingStore, Store, open_store

KEYS = CampaignKeys(CampaignId("c"))


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def job(number: int, *, run: str = "true", priority: int = 0, cpus: float = 1) -> JobSpec:
    """Return a job of that number."""
    return JobSpec(JobId(f"j{number}"), run=run, priority=priority, resources=Resources(cpus=cpus))


def jobs(count: int, *, start: int = 0) -> Iterator[JobSpec]:
    """Yield that many jobs."""
    return (job(number) for number in range(start, start + count))


def test_jobs_are_read_back_by_their_number_in_any_order(store: Store) -> None:
    count = 3 * CHUNK_JOBS + 7
    assert submit_specs(store, KEYS, jobs=jobs(count)) == Submitted(count, count, 0)
    reader = SpecReader(store, KEYS)
    numbers = random.Random(5).sample(range(count), 50)
    assert [reader.spec_of(number) for number in numbers] == [job(number) for number in numbers]
    assert list(reader.ids()) == [each.id for each in jobs(count)]
    assert list(reader.specs()) == list(jobs(count))


def test_a_chunk_is_a_header_and_one_spec_a_line(store: Store) -> None:
    submit_specs(store, KEYS, jobs=[job(0), JobSpec(JobId("x"), run="a\nb\u2028c")])
    data = store.get("campaigns/c/specs/00000001")
    assert data is not None
    header, first, second, end = data.split(b"\n")
    assert json.loads(header)["count"] == 2
    assert json.loads(first) == {"id": "j0", "run": "true"}
    assert json.loads(second) == {"id": "x", "run": "a\nb\u2028c"}
    assert end == b""


def test_alike_jobs_that_follow_each_other_are_one_run_in_the_header(store: Store) -> None:
    specs = [job(0), job(1), job(2, priority=5), job(3, cpus=2), job(4, cpus=2), job(5)]
    submit_specs(store, KEYS, jobs=specs)
    (header,) = read_headers(store, KEYS)
    assert header.runs == (
        Run(2, 0, Resources()),
        Run(1, 5, Resources()),
        Run(2, 0, Resources(cpus=2)),
        Run(1, 0, Resources()),
    )


def test_large_specs_make_small_chunks(store: Store) -> None:
    script = "x" * (CHUNK_BYTES // 3)
    submit_specs(store, KEYS, jobs=(job(number, run=script) for number in range(7)))
    assert [(header.first, header.count) for header in read_headers(store, KEYS)] == [(0, 3), (3, 3), (6, 1)]


def test_a_second_submission_adds_only_what_is_new(store: Store) -> None:
    submit_specs(store, KEYS, jobs=jobs(10))
    assert submit_specs(store, KEYS, jobs=jobs(12)) == Submitted(total=12, added=2, skipped=10)
    assert submit_specs(store, KEYS, jobs=jobs(12)) == Submitted(total=12, added=0, skipped=12)
    assert [header.first for header in read_headers(store, KEYS)] == [0, 10]


def test_no_job_makes_no_chunk(store: Store) -> None:
    assert submit_specs(store, KEYS, jobs=[]) == Submitted(0, 0, 0)
    assert store.list() == []


def test_a_job_that_is_there_with_another_spec_is_refused(store: Store) -> None:
    submit_specs(store, KEYS, jobs=jobs(3))
    with pytest.raises(UserError, match="'j1' already, with another spec"):
        submit_specs(store, KEYS, jobs=[job(7), job(1, run="false")])
    assert len(list(SpecReader(store, KEYS).ids())) == 3


def test_the_same_id_twice_in_one_submission_counts_once_or_is_refused(store: Store) -> None:
    assert submit_specs(store, KEYS, jobs=[job(1), job(1)]) == Submitted(total=1, added=1, skipped=1)
    with pytest.raises(UserError, match="with another spec"):
        submit_specs(store, KEYS, jobs=[job(2), job(2, run="false")])


def test_a_spec_written_by_a_newer_peer_with_its_own_keys_is_the_same_spec(store: Store) -> None:
    header = b'{"token":"t","first":0,"count":1,"runs":[{"count":1,"priority":0,"needs":{}}]}'
    store.create("campaigns/c/specs/00000001", header + b'\n{"new":1,"run":"true","id":"j0"}\n')
    assert submit_specs(store, KEYS, jobs=[job(0)]) == Submitted(total=1, added=0, skipped=1)


class Rival:
    """A store on which another submitter is faster at the first chunks."""

    def __init__(self, inner: Store, rival_jobs: list[list[JobSpec]]) -> None:
        self._inner = inner
        self._rival_jobs = rival_jobs

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def create(self, key: str, data: bytes) -> bytes | None:
        """Let the rival submit first."""
        if self._rival_jobs:
            submit_specs(self._inner, KEYS, jobs=self._rival_jobs.pop(0))
        return self._inner.create(key, data)


def test_two_submitters_lose_and_double_nothing(store: Store) -> None:
    rival = Rival(store, [[job(100), job(101)], [job(1), job(102)]])
    mine = submit_specs(rival, KEYS, jobs=jobs(4))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert mine == Submitted(total=7, added=3, skipped=1)
    reader = SpecReader(store, KEYS)
    assert list(reader.ids()) == ["j100", "j101", "j1", "j102", "j0", "j2", "j3"]
    assert [reader.spec_of(number).id for number in range(7)] == list(reader.ids())


def test_a_rival_with_another_spec_of_the_same_id_is_refused(store: Store) -> None:
    rival = Rival(store, [[job(1, run="false")]])
    with pytest.raises(UserError, match="'j1' already"):
        submit_specs(rival, KEYS, jobs=jobs(2))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_chunks_that_come_later_are_found(store: Store) -> None:
    submit_specs(store, KEYS, jobs=jobs(2))
    reader = SpecReader(store, KEYS)
    assert reader.spec_of(1) == job(1)
    with pytest.raises(ProtocolError, match="no job number 2"):
        reader.spec_of(2)
    submit_specs(store, KEYS, jobs=jobs(3))
    assert reader.spec_of(2) == job(2)
    with pytest.raises(ProtocolError, match="no job number -1"):
        reader.spec_of(-1)


def test_a_chunk_is_fetched_once_while_it_is_in_use(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "CHUNK_JOBS", 10)
    submit_specs(store, KEYS, jobs=jobs(50))
    counted = CountingStore(store)
    reader = SpecReader(counted, KEYS)
    for number in [*range(50), *range(49, -1, -1)]:
        assert reader.spec_of(number) == job(number)
    assert counted.counts == {"get": 5}


def test_the_reader_keeps_only_the_chunks_that_were_used_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "CHUNK_JOBS", 1)
    submit_specs(store, KEYS, jobs=jobs(20))
    counted = CountingStore(store)
    reader = SpecReader(counted, KEYS)
    assert len(list(reader.ids())) == 20
    reader.spec_of(0)
    assert counted.counts["get"] == 22


def test_jobs_that_come_again_in_another_order_are_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "CHUNK_JOBS", 1)
    submit_specs(store, KEYS, jobs=jobs(30))
    counted = CountingStore(store)
    shuffled = random.Random(5).sample(list(jobs(30)), 30)
    assert submit_specs(counted, KEYS, jobs=shuffled).skipped == 30
    assert counted.counts == {"get": 31}


def test_known_jobs_are_read_once_for_a_whole_submission(store: Store) -> None:
    submit_specs(store, KEYS, jobs=jobs(5))
    counted = CountingStore(store)
    submit_specs(counted, KEYS, jobs=jobs(8), known=read_known(counted, KEYS))
    assert counted.counts == {"get": 2, "create": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json\n",
        b'{"token":"t","first":0,"count":2,"runs":[{"count":2,"priority":0,"needs":{}}]}\n{"id":"a"}\n',
        b'{"token":"t","first":0,"count":1,"runs":[]}\n{"id":"a"}\n',
    ],
)
def test_an_object_that_is_no_whole_chunk_is_refused_by_its_key(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="specs/00000007"):
        parse_chunk(data, "specs/00000007")


def test_a_line_that_is_no_spec_is_refused_by_its_key() -> None:
    header = b'{"token":"t","first":0,"count":1,"runs":[{"count":1,"priority":0,"needs":{}}]}\n'
    for line in (b"{}", b"[]", b"x"):
        chunk = parse_chunk(header + line + b"\n", "specs/00000007")
        with pytest.raises(ProtocolError, match="specs/00000007"):
            chunk.spec(0)
        with pytest.raises(ProtocolError, match="line 2 of specs/00000007"):
            list(chunk.ids())
