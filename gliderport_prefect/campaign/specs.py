"""Job specs as they lie in the bucket: a numbered log of chunks of many, in order of submission."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment
from gliderport_prefect.protocol.records import SpecChunkHeader

if TYPE_CHECKING:
    from gliderport_prefect.store import Store

_CACHED_CHUNKS = 8


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


def _chunk_key(keys: CampaignKeys, number: int) -> str:
    return f"{keys.specs}/{number_segment(number)}"
