"""Job specs in the bucket: chunks of many in a numbered log, in order of submission.

A spec is immutable. Submitting a campaign again adds what is new and changes nothing. Two submitters at a time are
safe: a chunk is create-only, and whoever finds a number taken reads what stands there, renumbers and goes on.
"""

from __future__ import annotations

import itertools
import json
import secrets
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobId, JobNumber
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment
from gliderport_prefect.protocol.records import Run, SpecChunkHeader
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.store import Appended, NumberedLog, Store

CHUNK_JOBS = 5_000
"""Most jobs of a chunk."""
CHUNK_BYTES = 4 * 1024 * 1024
"""A chunk is closed when its specs have reached this size."""
_CACHED_CHUNKS = 8


# --- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpecChunk:
    """One object of the log."""

    key: str
    """Its key."""
    header: SpecChunkHeader
    """What it says of its specs."""
    lines: tuple[bytes, ...]
    """The specs, not decoded."""

    def spec(self, place: int) -> JobSpec:
        """Return the spec at that place in the chunk, from 0."""
        return codec.decode(JobSpec, self.lines[place], where=self.key)

    def ids(self) -> Iterator[JobId]:
        """Yield the ids of its jobs, in order."""
        for place, line in enumerate(self.lines):
            try:
                yield json.loads(line)["id"]
            except (ValueError, TypeError, KeyError) as error:
                raise ProtocolError(f"line {place + 2} of {self.key} holds no spec: {error}") from error


class SpecReader:
    """Reads specs by job number, and keeps the chunks that were used last.

    Chunks that are added to the campaign while it lives are found when a job in them is asked for. One thread at a
    time may use it.
    """

    def __init__(self, store: Store, keys: CampaignKeys) -> None:
        """Begin with nothing read."""
        self._store = store
        self._keys = keys
        self._headers: list[SpecChunkHeader] = []
        self._cached: OrderedDict[int, SpecChunk] = OrderedDict()

    def spec_of(self, job: int) -> JobSpec:
        """Return the spec of the job of that number.

        Raises:
            ProtocolError: The campaign has no such job.
        """
        chunk, place = self._find(job)
        return chunk.spec(place)

    def line_of(self, job: int) -> bytes:
        """Return the spec of the job as it is stored, one line of JSON."""
        chunk, place = self._find(job)
        return chunk.lines[place]

    def chunk(self, number: int) -> SpecChunk | None:
        """Return the chunk of that number in the log, from 1, or None if it is not there yet."""
        cached = self._cached.get(number)
        if cached is not None:
            self._cached.move_to_end(number)
            return cached
        key = _chunk_key(self._keys, number)
        data = self._store.get(key)
        return None if data is None else self.learn(number, parse_chunk(data, key))

    def learn(self, number: int, chunk: SpecChunk) -> SpecChunk:
        """Take in a chunk that has been read already, or has just been written; none may be left out."""
        if number == len(self._headers) + 1:
            self._headers.append(chunk.header)
        self._cached[number] = chunk
        if len(self._cached) > _CACHED_CHUNKS:
            self._cached.popitem(last=False)
        return chunk

    def chunks(self) -> Iterator[SpecChunk]:
        """Yield all chunks in order."""
        number = 1
        while (chunk := self.chunk(number)) is not None:
            yield chunk
            number += 1

    def ids(self) -> Iterator[JobId]:
        """Yield the ids of all jobs in order of their numbers."""
        for chunk in self.chunks():
            yield from chunk.ids()

    def specs(self) -> Iterator[JobSpec]:
        """Yield all specs in order of their numbers."""
        for chunk in self.chunks():
            yield from map(chunk.spec, range(len(chunk.lines)))

    @property
    def known_end(self) -> int:
        """Number of the first job after those of the chunks read so far."""
        return self._headers[-1].first + self._headers[-1].count if self._headers else 0

    @property
    def known_chunks(self) -> int:
        """How many chunks have been read so far."""
        return len(self._headers)

    def _find(self, job: int) -> tuple[SpecChunk, int]:
        while job >= self.known_end and self.chunk(self.known_chunks + 1) is not None:
            pass
        number = bisect_right(self._headers, job, key=lambda header: header.first)
        chunk = self.chunk(number) if 0 <= job < self.known_end else None
        if chunk is None:
            raise ProtocolError(f"campaign {self._keys.campaign!r} has no job number {job}")
        return chunk, job - chunk.header.first


def read_headers(store: Store, keys: CampaignKeys) -> list[SpecChunkHeader]:
    """Return the headers of all chunks, in order."""
    return [chunk.header for chunk in SpecReader(store, keys).chunks()]


def parse_chunk(data: bytes, key: str) -> SpecChunk:
    """Return the chunk that the object holds.

    Raises:
        ProtocolError: It is no chunk, or not a whole one.
    """
    first, *lines = data.rstrip(b"\n").split(b"\n")
    header = codec.decode(SpecChunkHeader, first, where=key)
    if len(lines) != header.count or sum(run.count for run in header.runs) != header.count:
        raise ProtocolError(f"{key} promises {header.count} specs and holds {len(lines)}; was it cut off?")
    return SpecChunk(key, header, tuple(lines))


# --- submission -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submitted:
    """What became of a submission."""

    total: int
    """Jobs that the campaign has now."""
    added: int
    """Jobs that were new."""
    skipped: int
    """Jobs that were there already, with the same spec."""


class SpecLine(NamedTuple):
    """A spec ready to be stored."""

    id: JobId
    """Id of the job."""
    line: bytes
    """All of the spec, as one line of JSON."""
    priority: int
    """Priority of the job."""
    needs: Resources
    """What the job needs."""


@dataclass(frozen=True)
class KnownJobs:
    """The jobs that a campaign has."""

    reader: SpecReader
    """Their specs."""
    numbers: dict[JobId, int] = field(default_factory=dict[JobId, int])
    """Id to number."""

    def learn(self, ids: Iterable[JobId], *, first: int) -> None:
        """Take in the jobs that have the numbers from the first on."""
        self.numbers.update(zip(ids, itertools.count(first), strict=False))

    def has(self, job: SpecLine) -> bool:
        """Say whether the campaign has the job.

        Raises:
            UserError: It has one of that id that differs.
        """
        number = self.numbers.get(job.id)
        if number is None:
            return False
        _refuse_change(self.reader.line_of(number), job)
        return True


def read_known(store: Store, keys: CampaignKeys) -> KnownJobs:
    """Return the jobs that the campaign has."""
    known = KnownJobs(SpecReader(store, keys))
    for chunk in known.reader.chunks():
        known.learn(chunk.ids(), first=chunk.header.first)
    return known


def submit_specs(
    store: Store,
    keys: CampaignKeys,
    *,
    jobs: Iterable[JobSpec],
    known: KnownJobs | None = None,
    report: Callable[[int], None] | None = None,
) -> Submitted:
    """Add the jobs that the campaign does not have yet.

    Args:
        store: The runtime bucket.
        keys: The campaign.
        jobs: The jobs, a stream of any length.
        known: What the campaign has; read when not given.
        report: Is told the number of jobs stored so far after each chunk.

    Raises:
        UserError: A job has the id of another job of the campaign, but another spec.
    """
    submitter = _Submitter(store, keys, known or read_known(store, keys))
    for batch in _batches(jobs):
        submitter.submit(batch)
        if report is not None:
            report(submitter.added)
    return Submitted(submitter.total, submitter.added, submitter.skipped)


class _Submitter:
    def __init__(self, store: Store, keys: CampaignKeys, known: KnownJobs) -> None:
        self._known = known
        self._log = NumberedLog(store, keys.specs, next_number=known.reader.known_chunks + 1)
        self.added = 0
        self.skipped = 0

    @property
    def total(self) -> int:
        return self._known.reader.known_end

    def submit(self, batch: list[SpecLine]) -> None:
        """Append the jobs; when another submitter was faster, take its jobs in and try again with what is left."""
        fresh = self._leave_out_known(batch)
        while fresh:
            data = _encode_chunk(fresh, first=self.total)
            answer = self._log.append(data)
            mine = isinstance(answer, Appended)
            chunk = parse_chunk(data if mine else answer.data, self._log.key_of(answer.n))
            self._known.reader.learn(answer.n, chunk)
            self._known.learn((job.id for job in fresh) if mine else chunk.ids(), first=chunk.header.first)
            if mine:
                self.added += len(fresh)
                return
            fresh = self._leave_out_known(fresh)

    def _leave_out_known(self, batch: list[SpecLine]) -> list[SpecLine]:
        fresh: dict[JobId, SpecLine] = {}
        for job in batch:
            if job.id in fresh:
                _refuse_change(fresh[job.id].line, job)
            elif not self._known.has(job):
                fresh[job.id] = job
        self.skipped += len(batch) - len(fresh)
        return list(fresh.values())


def _batches(jobs: Iterable[JobSpec]) -> Iterator[list[SpecLine]]:
    batch: list[SpecLine] = []
    size_bytes = 0
    for spec in jobs:
        line = codec.encode(spec)
        batch.append(SpecLine(spec.id, line, spec.priority, spec.resources))
        size_bytes += len(line) + 1
        if len(batch) == CHUNK_JOBS or size_bytes >= CHUNK_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _encode_chunk(jobs: list[SpecLine], *, first: int) -> bytes:
    runs = tuple(
        Run(len(list(alike)), priority, needs)
        for (priority, needs), alike in itertools.groupby(jobs, key=lambda job: (job.priority, job.needs))
    )
    header = SpecChunkHeader(secrets.token_hex(8), JobNumber(first), len(jobs), runs)
    return b"\n".join([codec.encode(header), *(job.line for job in jobs), b""])


def _refuse_change(stored: bytes, job: SpecLine) -> None:
    """Raise UserError when the stored spec is another one; key order and unknown keys of a newer peer do not matter."""
    if stored == job.line or codec.decode(JobSpec, stored, where=job.id) == codec.decode(
        JobSpec, job.line, where=job.id
    ):
        return
    raise UserError(
        f"the campaign has a job {job.id!r} already, with another spec",
        hint="a spec never changes: give the new job another id, or begin another campaign",
    )


def _chunk_key(keys: CampaignKeys, number: int) -> str:
    return f"{keys.specs}/{number_segment(number)}"
