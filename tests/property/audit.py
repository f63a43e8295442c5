"""What must hold of a ledger and of what others make of it, by a fold that is not the product's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gliderport_prefect.protocol.outcomes import USER_PAID, JobState
from gliderport_prefect.protocol.records import LedgerRecord, Settled, Span
from gliderport_prefect.scheduling.state import CampaignState

_LEDGER_FIELDS = (
    *("ended_sessions", "read", "floor", "cancel_wanted", "requests_read", "epoch", "ledger_number"),
    *("fleet", "budget"),
)


def compare_states(who: str, found: CampaignState, *, expected: CampaignState) -> list[str]:
    """Return where somebody's fold differs from the launcher's."""
    differences = [
        f"{who} sees job {job} as {_view(found, job)}, the launcher as {_view(expected, job)}"
        for job in range(len(expected.jobs))
        if _view(found, job) != _view(expected, job)
    ]
    differences += [
        f"{who}: {name} is {getattr(found, name)}, the launcher's {getattr(expected, name)}"
        for name in _LEDGER_FIELDS
        if getattr(found, name) != getattr(expected, name)
    ]
    if found.sessions.keys() != expected.sessions.keys():
        differences.append(f"{who} sees sessions {set(found.sessions)}, the launcher {set(expected.sessions)}")
    return differences


def _view(state: CampaignState, job: int) -> tuple[object, ...]:
    jobs = state.jobs
    return (jobs.state(job), jobs.settled(job), jobs.charged(job), jobs.losses(job), jobs.last_record(job))


@dataclass
class LedgerAudit:
    """Follows every job through the ledger."""

    succeeded: set[tuple[int, str]]
    """Attempts that a worker did bring to success."""
    ends: dict[int, JobState] = field(default_factory=dict[int, JobState])
    charged: Counter[int] = field(default_factory=Counter[int])
    wanted: set[int] = field(default_factory=set[int])
    """Jobs that ran when somebody asked for their end."""
    running: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])

    def run(self, ledger: Sequence[LedgerRecord], state: CampaignState) -> list[str]:
        """Return what is wrong with the ledger, or with the launcher's view of it."""
        found: list[str] = []
        epoch = 0
        for number, record in enumerate(ledger, 1):
            if record.epoch < epoch:
                found.append(f"the epoch goes back from {epoch} to {record.epoch} at ledger record {number}")
            epoch = record.epoch
            found += [f"ledger record {number} {fault}" for fault in self._follow(record)]
        return found + list(self._compare(state))

    def _follow(self, record: LedgerRecord) -> Iterator[str]:
        self.running.update((each.session, each.job) for each in record.started if each.job not in self.ends)
        for settled in record.settled:
            yield from self._settle(settled)
        self.running -= {(each.session, each.job) for each in record.returned}
        for job in _jobs(record.cancelled):
            if self._runs(job):
                self.wanted.add(job)
            else:
                self.ends.setdefault(job, JobState.CANCELLED)
        for job in _jobs(record.requeued):
            if self.ends.get(job, JobState.SUCCEEDED) is not JobState.SUCCEEDED:
                del self.ends[job]
                self.charged[job] = 0

    def _settle(self, settled: Settled) -> Iterator[str]:
        report, job = settled.report, settled.report.job
        if job in self.ends:
            yield f"settles job {job}, which was {self.ends[job]}"
        if settled.then is JobState.SUCCEEDED and (job, report.attempt) not in self.succeeded:
            yield f"invents a success of job {job}"
        if settled.then is JobState.CANCELLED and job not in self.wanted:
            yield f"cancels job {job}, which nobody asked for since its retry"
        self.charged[job] += report.outcome in USER_PAID
        self.running.discard((settled.session, job))
        self.wanted.discard(job)
        if settled.then is not JobState.QUEUED:
            self.ends[job] = settled.then
            self.running = {each for each in self.running if each[1] != job}

    def _runs(self, job: int) -> bool:
        return any(each[1] == job for each in self.running)

    def _compare(self, state: CampaignState) -> Iterator[str]:
        for job, end in self.ends.items():
            if state.jobs.state(job) is not end:
                yield f"says that job {job} ended {end}; it is {state.jobs.state(job)}"
        for job in range(len(state.jobs)):
            if state.jobs.charged(job) != self.charged[job]:
                yield f"charges job {job} {self.charged[job]} times; it is {state.jobs.charged(job)}"


def _jobs(spans: Sequence[Span]) -> list[int]:
    return [job for span in spans for job in range(span.first, span.last + 1)]
