"""How attempts ended, read from the ledger: the newest one of many jobs, or all of one job."""

from __future__ import annotations

import json
import tempfile
from array import array
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.records import LedgerRecord, Settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.jobs import JobTable
    from gliderport_prefect.scheduling.state import CampaignState

_AT_ONCE = 4
"""Ledger records that are fetched at once; each may hold thousands of attempts."""
_INLINE = ("text", "base64", "tail")
"""What a stream's log carries of the text itself."""


class NewestAttempts:
    """The newest settled attempt of each of some jobs.

    The ledger tells of them in the order in which they ended, readers want them in order of their jobs: they are laid
    down in a temporary file, and eight bytes per job of the campaign say where.
    """

    def __init__(self, state: CampaignState) -> None:
        """Make an empty collection for a campaign of that size."""
        self._places = array("Q", bytes(8 * len(state.jobs)))
        self._file = tempfile.TemporaryFile(prefix="gliderport-")  # noqa: SIM115 - closed by `close`

    def lay_down(self, job: int, settled: dict[str, Any]) -> None:
        """Keep the attempt, as parsed from JSON."""
        place = self._file.tell()
        self._file.write(json.dumps(settled, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n")
        self._places[job] = place + 1

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


def collect_newest(
    runtime: Runtime, state: CampaignState, *, jobs: Iterable[int] | None = None, with_text: bool = False
) -> NewestAttempts:
    """Read each ledger record that tells of a wanted job's newest attempt, once.

    Args:
        runtime: The campaign.
        state: Where it stands.
        jobs: The wanted jobs; all when not given.
        with_text: Whether to keep what the attempts printed, as far as the ledger has it.
    """
    table = state.jobs
    wanted = bytearray(b"\1" * len(table)) if jobs is None else _mask(jobs, len(table))
    numbers = sorted({table.last_record(job) for job, want in enumerate(wanted) if want} - {0})
    with ExitStack() as on_error:
        newest = on_error.enter_context(NewestAttempts(state))
        for number, record in _read_raw(runtime, numbers):
            for settled in _newest_in(table, record, number=number):
                if wanted[settled["report"]["job"]]:
                    newest.lay_down(settled["report"]["job"], settled if with_text else _without_text(settled))
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


def _mask(jobs: Iterable[int], total: int) -> bytearray:
    wanted = bytearray(total)
    for job in jobs:
        wanted[job] = 1
    return wanted


def _read_raw(runtime: Runtime, numbers: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the ledger records of these numbers, parsed but not decoded: most of a record is of no interest here."""
    for at in range(0, len(numbers), _AT_ONCE):
        some = numbers[at : at + _AT_ONCE]
        keys = [f"{runtime.keys.ledger}/{number_segment(number)}" for number in some]
        for number, key, data in zip(some, keys, runtime.in_parallel(runtime.store.get, keys), strict=True):
            try:
                yield number, json.loads(data or b"")
            except ValueError as error:
                raise ProtocolError(f"{key} holds no readable ledger record ({error}); was it deleted?") from error


def _newest_in(table: JobTable, record: dict[str, Any], *, number: int) -> Iterator[dict[str, Any]]:
    try:
        for settled in record.get("settled", ()):
            job = settled["report"]["job"]
            if job < len(table) and table.last_record(job) == number:
                yield settled
    except (TypeError, KeyError, AttributeError) as error:
        raise ProtocolError(f"record {number} of the ledger cannot be read: {error!r:.200}") from error


def _without_text(settled: dict[str, Any]) -> dict[str, Any]:
    for stream in ("stdout", "stderr"):
        log = settled["report"].get(stream)
        for part in _INLINE if log else ():
            log.pop(part, None)
    return settled
