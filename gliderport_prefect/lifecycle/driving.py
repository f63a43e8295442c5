"""The loop of a launcher: hand out jobs, take in results, keep workers coming, until every job has ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gliderport_prefect.campaign.replay import write_snapshot
from gliderport_prefect.errors import BudgetReached
from gliderport_prefect.lifecycle.budget import Purse
from gliderport_prefect.lifecycle.pace import Due, Pace
from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import Death, LedgerRecord, ProgressNote, timestamp
from gliderport_prefect.scheduling.cost import Cost
from gliderport_prefect.scheduling.matching import backlog_seconds
from gliderport_prefect.store import list_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from gliderport_prefect.lifecycle.launcher import Launcher
    from gliderport_prefect.lifecycle.workers import Workforce


@dataclass(frozen=True)
class Progress:
    """Where the campaign stands, for those who watch."""

    jobs: dict[JobState, int]
    """Number of jobs in each state."""
    workers: dict[str, int]
    """Number of workers that start, are idle, are busy, drain."""
    note: str = ""
    """What happened last that is worth a line; empty when nothing did."""
    cost: Cost = field(default_factory=Cost)
    """What its workers have cost."""

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(self.jobs.values())


class Feed(Protocol):
    """Something that submits more jobs while the campaign runs."""

    def pour(self) -> bool:
        """Submit what has come since the last look, and say whether there was anything."""
        ...

    def is_open(self) -> bool:
        """Say whether more may come; the campaign goes on until then even when all its jobs have ended."""
        ...


class NoFeed:
    """No more jobs come."""

    def pour(self) -> bool:
        """Submit nothing."""
        return False

    def is_open(self) -> bool:
        """Say no."""
        return False


@dataclass
class Distribution:
    """The loop's memory between two rounds."""

    launcher: Launcher
    workforce: Workforce
    pace: Pace
    watch: Callable[[Progress], None]
    feed: Feed
    _wait: float = 0.0
    _complaint: str = ""
    _lost: dict[SessionId, str] = field(default_factory=dict[SessionId, str])

    def __post_init__(self) -> None:
        """Make everything due at once."""
        self.purse = Purse(self.launcher)
        self._site, self._requests, self._outboxes = Due(self.pace.site), Due(self.pace.requests), Due(0.0)
        self._note, self._wait = Due(self.pace.note), self.pace.shortest
        self._noted: tuple[dict[str, int], str] = ({}, "")

    def run(self) -> dict[JobState, int]:
        """Go round until every job has ended and the campaign is not kept open."""
        clock, state = self.launcher.runtime.clock, self.launcher.state
        while self._has_work():
            self._round()
            if state.jobs.unfinished or self.feed.is_open():
                clock.sleep(self._pause())
        return self._finish()

    def _has_work(self) -> bool:
        """Say whether to go on; before it says no it looks for requests, which may queue ended jobs again."""
        state = self.launcher.state
        if state.jobs.unfinished or self.feed.is_open():
            return True
        return self.launcher.follow_requests() and bool(state.jobs.unfinished)

    def _round(self) -> None:
        """Do what is due; news of any kind make everything due."""
        launcher, now = self.launcher, self.launcher.runtime.clock.monotonic()
        fed = self.feed.pour() and launcher.read_new_specs()
        asked = self._requests.is_due(now) and launcher.follow_requests()
        if fed or asked or self._outboxes.is_due(now):
            moved = self._look(now)
            self._wait = self._next_wait(moved=bool(fed or asked or moved))
            self._outboxes.put_off(launcher.runtime.clock.monotonic(), seconds=self._wait)
        self._requests.seconds = self._request_interval()

    def _look(self, now: float) -> bool:
        launcher = self.launcher
        if self._site.is_due(now):
            self._look_at_site(now)
        moved = launcher.settle(self._lost)
        self._lost = {}
        self.purse.look()
        if not self._has_money(now):
            self.workforce.dismiss_coming(launcher.state)
            self._tell(now, started=0)
            return moved
        given = launcher.hand_out()
        started = self.workforce.match(launcher.state)  # for what the workers that are there have no room for
        launcher.drain(self.workforce.displaced)
        if started:
            self._note_workers()
        self._tell(now, started=len(started))
        return bool(moved or given or started)

    def _has_money(self, now: float) -> bool:
        """Say whether anything new may be started; when the campaign ends because nothing may, leave a note of it."""
        try:
            return self.purse.allows_more()
        except BudgetReached:
            self._note.put_off(now, seconds=0.0)
            self._tell(now, started=0)
            raise

    def _look_at_site(self, now: float) -> None:
        """See what has become of the workers, and write it down even when it means that nothing can go on."""
        try:
            self._lost = self.workforce.look(self.launcher.state)
        finally:
            self._note_workers()
        if self.workforce.sightings() is None:
            self._site.put_off(now, seconds=0.0)  # it is being asked for the first time

    def _note_workers(self) -> None:
        looked = self.workforce.sightings()
        if looked is not None:
            self.launcher.note_workers(looked)

    def _next_wait(self, *, moved: bool) -> float:
        if moved:
            return min(max(self.pace.shortest, self.pace.calm * self._least_backlog()), self.pace.longest)
        jobs = self.launcher.state.jobs
        longest = self.pace.longest if jobs.unfinished else self.pace.idle
        return min(self._wait * self.pace.growth, longest)

    def _least_backlog(self) -> float:
        sessions = self.launcher.state.sessions.values()
        backlogs = (backlog_seconds(each) for each in sessions if not each.draining)
        return min((each for each in backlogs if each < math.inf), default=0.0)

    def _request_interval(self) -> float:
        state = self.launcher.state
        if state.jobs.unfinished:
            return self.pace.requests
        return max(self.pace.requests, self.pace.idle_requests / max(1, len(state.sessions)))

    def _pause(self) -> float:
        """Return for how long nothing is due."""
        now = self.launcher.runtime.clock.monotonic()
        due = min(self._requests.at, self._outboxes.at) - now
        return max(0.0, min(due, self.pace.feed) if self.feed.is_open() else due)

    def _tell(self, now: float, *, started: int) -> None:
        state = self.launcher.state
        progress = Progress(
            jobs=state.jobs.counts(),
            workers=self.workforce.counts(state),
            note=self._news(started),
            cost=self.purse.cost,
        )
        self.watch(progress)
        if self._note.is_due(now):
            self._leave_note(progress)

    def _news(self, started: int) -> str:
        """Say what is new of workers: that some were asked for, or why none come, once for each reason."""
        if started:
            return f"asked the site for {started} more worker{'s' if started > 1 else ''}"
        said, self._complaint = self._complaint, self.workforce.hindrance(self.launcher.state)
        return f"waiting: {self._complaint}" if self._complaint and self._complaint != said else ""

    def _leave_note(self, progress: Progress) -> None:
        """Put the newest progress note in place of the older ones, unless it says the same."""
        runtime, counts = self.launcher.runtime, {state.value: count for state, count in progress.jobs.items()}
        waiting_for = self.purse.waiting_for or self.workforce.waiting_for(self.launcher.state)
        if (counts, waiting_for) == self._noted:
            return
        self._noted = counts, waiting_for
        older = list_numbers(runtime.store, runtime.keys.progress)
        number = max(older, default=0) + 1
        moment = timestamp(runtime.clock.wall())
        note = ProgressNote(self.launcher.epoch, runtime.token(), moment, counts, progress.workers, waiting_for)
        runtime.create(f"{runtime.keys.progress}/{number_segment(number)}", note)
        runtime.store.delete([f"{runtime.keys.progress}/{number_segment(each)}" for each in older])

    def _finish(self) -> dict[JobState, int]:
        launcher = self.launcher
        launcher.drain(launcher.state.sessions.values())
        over = tuple(Death(session, "the campaign is over") for session in launcher.state.sessions)
        looked = self.workforce.sightings()
        seen = () if looked is None else launcher.derive_seen(looked)
        launcher.write_ledger(LedgerRecord(launcher.epoch, "", finished=True, dead=over, seen=seen))
        write_snapshot(launcher.runtime, launcher.state)
        self._noted = {}, ""
        self._tell(launcher.runtime.clock.monotonic(), started=0)
        return launcher.state.jobs.counts()


def drive(
    launcher: Launcher,
    workforce: Workforce,
    *,
    watch: Callable[[Progress], None],
    pace: Pace | None = None,
    feed: Feed | None = None,
) -> dict[JobState, int]:
    """Drive the campaign until every job has ended, and return the number of jobs in each state.

    Args:
        launcher: The right to drive it.
        workforce: Its workers.
        watch: Called after every round.
        pace: How often to look.
        feed: Where more jobs come from while it runs; nowhere by default.

    Raises:
        Superseded: Another launcher took over.
        Stuck: It cannot go on: no worker can run what waits, or workers die as they start.
        SiteError: The site cannot start workers.
    """
    return Distribution(launcher, workforce, pace or Pace(), watch, feed or NoFeed()).run()
