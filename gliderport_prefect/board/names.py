"""Jobs by the names that people know: ids and labels, read from the stored specs as a stream."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.campaign.specs import SpecChunk
    from gliderport_prefect.scheduling.state import CampaignState

_COMPARED = 20_000
"""Ids among which the nearest to a wrong one is looked for."""
_GLOB = frozenset("*?[")


class JobName(NamedTuple):
    """What a job is called."""

    number: int
    """Its place in the campaign."""
    id: str
    """Its id."""
    labels: Mapping[str, str]
    """What people filter by."""


@dataclass(frozen=True)
class Selection:
    """Which jobs somebody means; a part that is empty leaves all in."""

    ids: tuple[str, ...] = ()
    """Ids or patterns with `*`, `?` and `[…]`; one of them must match."""
    states: frozenset[JobState] = frozenset()
    """States; the job must be in one of them."""
    labels: Mapping[str, str] | None = None
    """Labels; the job must have all of them."""

    def has(self, name: JobName, state: JobState) -> bool:
        """Say whether the job is meant."""
        if self.states and state not in self.states:
            return False
        if self.labels and any(name.labels.get(key) != value for key, value in self.labels.items()):
            return False
        return not self.ids or any(name.id == each or fnmatchcase(name.id, each) for each in self.ids)


def read_names(runtime: Runtime) -> Iterator[JobName]:
    """Yield the names of all jobs in order of their numbers."""
    for chunk in SpecReader(runtime.store, runtime.keys).chunks():
        yield from _names_in(chunk)


def select(runtime: Runtime, state: CampaignState, *, selection: Selection) -> Iterator[JobName]:
    """Yield the names of the jobs that are meant, in order of their numbers.

    Raises:
        UserError: An id that is no pattern names no job of the campaign. Raised at the end, after the others.
    """
    sought = {each for each in selection.ids if not _GLOB.intersection(each)}
    for name in islice(read_names(runtime), len(state.jobs)):
        sought.discard(name.id)
        if selection.has(name, state.jobs.state(name.number)):
            yield name
    if sought:
        raise _unknown(runtime, min(sought))


def find_job(runtime: Runtime, job_id: str) -> JobName:
    """Return the name of the job with that id.

    Raises:
        UserError: The campaign has no such job.
    """
    text = f'"id":{json.dumps(job_id)}'.encode()
    for chunk in SpecReader(runtime.store, runtime.keys).chunks():
        places = (place for place, line in enumerate(chunk.lines) if text in line)
        for place in places:
            name = _name_at(chunk, place)
            if name.id == job_id:
                return name
    raise _unknown(runtime, job_id)


def _names_in(chunk: SpecChunk) -> Iterator[JobName]:
    return (_name_at(chunk, place) for place in range(len(chunk.lines)))


def _name_at(chunk: SpecChunk, place: int) -> JobName:
    """Read two keys of the spec; decoding all of it would take five times as long."""
    try:
        spec = json.loads(chunk.lines[place])
        return JobName(chunk.header.first + place, spec["id"], spec.get("labels") or {})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProtocolError(f"line {place + 2} of {chunk.key} holds no job spec: {error!r:.200}") from error


def _unknown(runtime: Runtime, job_id: str) -> UserError:
    known = [name.id for name in islice(read_names(runtime), _COMPARED)]
    near = difflib.get_close_matches(job_id, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else "`gliderport jobs` lists the jobs of a campaign"
    return UserError(f"campaign {runtime.campaign!r} has no job {job_id!r}", hint=hint)
