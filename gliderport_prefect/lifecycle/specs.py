"""Put job specs into the bucket.

A spec is immutable. Submitting a campaign again adds what is new and changes nothing. Two submitters at a time are
safe: a chunk is create-only, and whoever finds a number taken reads what stands there, renumbers and goes on.
"""

from __future__ import annotations

import itertools
import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from gliderport_prefect.campaign.specs import SpecReader, parse_chunk
from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobId, JobNumber
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import Run, SpecChunkHeader
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.store import Appended, NumberedLog

if TYPE_CHECKING:
    from gliderport_prefect.store import Store

CHUNK_JOBS = 5_000
"""Most jobs of a chunk."""
CHUNK_BYTES = 4 * 1024 * 1024
"""A chunk is closed when its specs have reached this size."""


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
    """The jobs that a campaign has.

    Of each spec a hash is kept, so that a million jobs are told to be the same without reading a million specs again,
    in whatever order they come.
    """

    reader: SpecReader
    """Their specs."""
    numbers: dict[JobId, int] = field(default_factory=dict[JobId, int])
    """Id to number."""
    _hashes: array[int] = field(default_factory=lambda: array("q"))

    def learn(self, ids: Iterable[JobId], lines: Iterable[bytes]) -> None:
        """Take in the jobs of the next chunk."""
        self.numbers.update(zip(ids, itertools.count(len(self._hashes)), strict=False))
        self._hashes.extend(map(hash, lines))

    def has(self, job: SpecLine) -> bool:
        """Say whether the campaign has the job.

        Raises:
            UserError: It has one of that id that differs.
        """
        number = self.numbers.get(job.id)
        if number is None:
            return False
        if self._hashes[number] != hash(job.line):
            _refuse_change(self.reader.line_of(number), job)
        return True


def read_known(store: Store, keys: CampaignKeys) -> KnownJobs:
    """Return the jobs that the campaign has."""
    known = KnownJobs(SpecReader(store, keys))
    for chunk in known.reader.chunks():
        known.learn(chunk.ids(), chunk.lines)
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
    submitter = _Submitter(store, keys, known=known or read_known(store, keys))
    for batch in _batches(jobs):
        submitter.submit(batch)
        if report is not None:
            report(submitter.added)
    return Submitted(submitter.total, submitter.added, submitter.skipped)


class _Submitter:
    def __init__(self, store: Store, keys: CampaignKeys, *, known: KnownJobs) -> None:
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
            self._known.learn((job.id for job in fresh) if mine else chunk.ids(), chunk.lines)
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
