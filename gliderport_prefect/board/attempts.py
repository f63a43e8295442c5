"""How attempts ended and what they cost, read from the ledger: the newest of many jobs, or all of one job."""

from __future__ import annotations

import heapq
import json
import math
import tempfile
from array import array
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import worker_of
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import LedgerRecord, Settled
from gliderport_prefect.scheduling.cost import Use, is_wasted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.jobs import JobTable
    from gliderport_prefect.scheduling.state import CampaignState

_AT_ONCE = 4
"""Ledger records that are fetched at once; each may hold thousands of attempts."""
_COST_DIGITS = 9
_INLINE = ("text", "base64", "tail")
"""What a stream's log carries of the text itself."""


class NewestAttempts:
    """The newest settled attempt of each of some jobs, and what all its attempts cost.

    The ledger tells of them in the order in which they ended, readers want them in order of their jobs: they are laid
    down in a temporary file, and 24 bytes per job of the campaign say where, and what they cost.
    """

    def __init__(self, state: CampaignState) -> None:
        """Make an empty collection for a campaign of that size."""
        self._places, self._bill = array("Q", bytes(8 * len(state.jobs))), _Bill(len(state.jobs))
        self._file = tempfile.TemporaryFile(prefix="gliderport-")  # noqa: SIM115 - closed by `close`

    def lay_down(self, job: int, settled: dict[str, Any]) -> None:
        """Keep the attempt, as parsed from JSON."""
        place = self._file.tell()
        self._file.write(json.dumps(settled, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n")
        self._places[job] = place + 1

    def charge(self, job: int, cost: float | None, *, is_wasted: bool) -> None:
        """Count what an attempt of the job has cost; none when nobody knows."""
        self._bill.add(job, cost, is_wasted=is_wasted)

    def cost(self, job: int) -> JobCost:
        """Return what the job's attempts have cost."""
        return self._bill.cost(job)

    def get(self, job: int) -> Settled | None:
        """Return the attempt of that job, or None when none has been settled."""
        place = self._places[job]
        if place == 0:
            return None
        self._file.seek(place - 1)
        return codec.decode(Settled, self._file.readline(), where=f"the ledger, job number {job},")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class JobCost(NamedTuple):
    """What a job's attempts have cost, in US dollars; none when nobody knows the price of one of them."""

    total: float | None = None
    """All of them."""
    wasted: float | None = None
    """Those whose work was thrown away."""


class _Bill:
    """Two sums per job."""

    def __init__(self, jobs: int) -> None:
        self._total, self._wasted = array("d", bytes(8 * jobs)), array("d", bytes(8 * jobs))

    def add(self, job: int, cost: float | None, *, is_wasted: bool) -> None:
        amount = math.nan if cost is None else cost
        self._total[job] += amount
        self._wasted[job] += amount if is_wasted else 0.0

    def cost(self, job: int) -> JobCost:
        return JobCost(_known(self._total[job]), _known(self._wasted[job]))


def _known(sum_: float) -> float | None:
    return None if math.isnan(sum_) else round(sum_, _COST_DIGITS)


def collect_newest(
    runtime: Runtime, state: CampaignState, *, jobs: Iterable[int] | None = None, with_text: bool = False
) -> NewestAttempts:
    """Read each ledger record that tells of a wanted job's attempts, once, the newest record first.

    Args:
        runtime: The campaign.
        state: Where it stands.
        jobs: The wanted jobs; all when not given.
        with_text: Whether to keep what the attempts printed, as far as the ledger has it.
    """
    chains, now = _Chains(state.jobs, jobs), runtime.clock.wall()
    with ExitStack() as on_error:
        newest = on_error.enter_context(NewestAttempts(state))
        for number, record in _read_raw(runtime, chains):
            for job, settled in chains.follow(number, record):
                if state.jobs.last_record(job) == number:
                    newest.lay_down(job, settled if with_text else _without_text(settled))
                used = _use_of(settled)
                newest.charge(job, state.fleet.price(used, record=number, now=now), is_wasted=used.is_wasted)
        on_error.pop_all()
    return newest


def read_attempts(runtime: Runtime, state: CampaignState, *, job: int) -> Iterator[Settled]:
    """Yield the settled attempts of the job, newest first."""
    number = state.jobs.last_record(job)
    while number:
        record = runtime.read_numbered(LedgerRecord, runtime.keys.ledger, number=number)
        found = next((each for each in record.settled if each.report.job == job), None) if record else None
        if found is None:
            raise ProtocolError(
                f"record {number} of the ledger of campaign {runtime.campaign!r} should tell of job number {job} "
                "and does not: was something deleted from the bucket?"
            )
        yield found
        number = found.previous


class _Chains:
    """Which ledger records are still to be read for the attempts of some jobs; each attempt names the one before it."""

    def __init__(self, table: JobTable, jobs: Iterable[int] | None) -> None:
        self._next = array("I", bytes(4 * len(table)))
        for job in range(len(table)) if jobs is None else jobs:
            self._next[job] = table.last_record(job)
        self._numbers = set(self._next) - {0}
        self._heap = [-number for number in self._numbers]
        heapq.heapify(self._heap)

    def take(self) -> list[int]:
        """Return the next numbers, the highest first."""
        return [-heapq.heappop(self._heap) for _ in range(min(_AT_ONCE, len(self._heap)))]

    def follow(self, number: int, record: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
        """Return the jobs and attempts for which the record was to be read, in its order."""
        try:
            told = [(settled["report"]["job"], settled) for settled in record.get("settled", ())]
            found = [each for each in told if each[0] < len(self._next) and self._next[each[0]] == number]
            for job, settled in found:
                self._go_on(job, settled.get("previous", 0))
        except (TypeError, KeyError, AttributeError) as error:
            raise ProtocolError(f"record {number} of the ledger cannot be read: {error!r:.200}") from error
        return found

    def _go_on(self, job: int, previous: int) -> None:
        self._next[job] = previous
        if previous and previous not in self._numbers:
            self._numbers.add(previous)
            heapq.heappush(self._heap, -previous)


def _use_of(settled: dict[str, Any]) -> Use:
    """Return what the attempt had of its worker; decoding all of it would take ten times as long."""
    usage, outcome = settled["report"].get("usage", {}), Outcome(settled["report"]["outcome"])
    return Use(
        worker=worker_of(settled["session"]),
        seconds=sum(usage.get(name, 0.0) for name in ("wall_seconds", "stage_in_seconds", "stage_out_seconds")),
        share=settled.get("share", 0.0),
        is_wasted=is_wasted(outcome, JobState(settled["then"])),
    )


def _read_raw(runtime: Runtime, chains: _Chains) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the ledger records to be read, parsed but not decoded: most of a record is of no interest here."""
    while some := chains.take():
        keys = [f"{runtime.keys.ledger}/{number_segment(number)}" for number in some]
        for number, key, data in zip(some, keys, runtime.in_parallel(runtime.store.get, keys), strict=True):
            try:
                yield number, json.loads(data or b"")
            except ValueError as error:
                raise ProtocolError(f"{key} holds no readable ledger record ({error}); was it deleted?") from error


def _without_text(settled: dict[str, Any]) -> dict[str, Any]:
    for stream in ("stdout", "stderr"):
        log = settled["report"].get(stream)
        for part in _INLINE if log else ():
            log.pop(part, None)
    return settled
