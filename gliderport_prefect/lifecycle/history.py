"""What a site has said of a campaign's workers until now, as far as decisions need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.ids import WorkerName, worker_of
from gliderport_prefect.scheduling.capacity import Drought
from gliderport_prefect.scheduling.failures import StartFailures
from gliderport_prefect.scheduling.scaling import Hand
from gliderport_prefect.sites.seam import Market, SiteWorker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gliderport_prefect.scheduling.state import CampaignState

_UNHEARD_SECONDS = {True: 600.0, False: 3600.0}
"""A worker that runs, as its site says, and has no live session is given up after this long. Who has spoken before has
lost its machine or soon will, which the site is to notice, or cannot reach the bucket; who never has may still be set
up."""
_WAITING = {WorkerState.STARTING, WorkerState.RECOVERING}
_LEFT_WELL = "said goodbye"


@dataclass
class WorkerHistory:
    """The campaign's workers; all times are of the launcher's monotonic clock, in seconds."""

    known: dict[WorkerName, SiteWorker] = field(default_factory=dict[WorkerName, SiteWorker])
    """What the site said at the last look, and whom it was asked for since."""
    has_looked: bool = False
    """Whether the site has been looked at."""
    dismissed: set[WorkerName] = field(default_factory=set[WorkerName])
    """Workers that were sent away."""
    failures: StartFailures = field(default_factory=StartFailures)
    """Workers that came to nothing."""
    droughts: dict[bool, Drought] = field(default_factory=lambda: {False: Drought(), True: Drought()})
    """Whether there are machines: of those that are kept (True), and of the others."""
    default_market: Market | None = None
    """What a worker runs on when nobody says."""
    _markets: dict[WorkerName, Market | None] = field(default_factory=dict[WorkerName, "Market | None"])
    _worked: set[WorkerName] = field(default_factory=set[WorkerName])
    _supplied: set[WorkerName] = field(default_factory=set[WorkerName])
    _waiting_since: dict[WorkerName, float] = field(default_factory=dict[WorkerName, float])
    _unheard_since: dict[WorkerName, float] = field(default_factory=dict[WorkerName, float])

    def note_look(self, workers: Iterable[SiteWorker], state: CampaignState, *, now: float) -> None:
        """Take in what the site says."""
        self.known = {each.name: each for each in workers}
        if not self.has_looked:
            self._excuse_past(state)
        self._note_waiting(now)
        self._note_capacity(now)
        self._note_failures(state)
        live = {worker_of(each) for each in state.sessions}
        unheard = [each.name for each in self.known.values() if each.state is WorkerState.RUNNING]
        self._unheard_since = {name: self._unheard_since.get(name, now) for name in unheard if name not in live}
        self.has_looked = True

    def note_asked(self, names: Sequence[WorkerName], market: Market | None, *, now: float) -> None:
        """Take in that workers were asked for, so that nobody asks for the same ones again before the next look."""
        self.known.update({name: SiteWorker(name, WorkerState.STARTING) for name in names})
        self._markets.update(dict.fromkeys(names, market))
        self._note_waiting(now)

    def note_work(self, state: CampaignState) -> None:
        """Take in who has work."""
        self._worked.update(worker_of(each.id) for each in state.sessions.values() if each.held or each.succeeded)

    def hands(self, state: CampaignState, *, now: float) -> list[Hand]:
        """Return the workers that are on their way, and those that have come: what these say of their machine holds."""
        come = {
            worker_of(each.id): Hand(worker_of(each.id), kept=not each.offer.preemptible, session=each)
            for each in state.sessions.values()
        }
        coming = [
            Hand(
                name=each.name,
                kept=self._is_kept(each),
                waits_seconds=now - self._waiting_since.get(each.name, now),
                lacks_capacity=each.lacks_capacity,
            )
            for each in self.known.values()
            if each.state is not WorkerState.GONE and each.name not in self.dismissed and each.name not in come
        ]
        return [*come.values(), *coming]

    def give_up_unheard(self, state: CampaignState, *, now: float) -> dict[WorkerName, float]:
        """Return the workers that run and have not been heard for too long, and for how many seconds they may be."""
        spoken = {worker_of(each) for each in state.ended_sessions}
        limits = {name: _UNHEARD_SECONDS[name in spoken] for name in self._unheard_since if name not in self.dismissed}
        found = {name: limit for name, limit in limits.items() if now - self._unheard_since[name] >= limit}
        for name, limit in found.items():
            self.failures.note_death(name, words=f"nothing, for {limit:g} s, though its site says that it runs")
        return found

    def _excuse_past(self, state: CampaignState) -> None:
        """Hold nothing against a site that an earlier launcher knew already: somebody may have mended it since."""
        for name, meter in state.fleet.meters.items():
            if meter.is_gone:
                self.failures.excuse(name)
                self._supplied.add(name)

    def _note_waiting(self, now: float) -> None:
        waiting = [each.name for each in self.known.values() if each.state in _WAITING]
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}

    def _note_capacity(self, now: float) -> None:
        """Note which kinds of machine there are and which there are none of; who fails together counts as one try."""
        missing = dict[bool, str]()
        for each in self.known.values():
            if each.name in self._supplied:
                continue
            if each.state is WorkerState.RUNNING:
                self._supplied.add(each.name)
                self.droughts[self._is_kept(each)] = Drought()
            elif each.state is WorkerState.GONE and each.lacks_capacity:
                self._supplied.add(each.name)
                missing[self._is_kept(each)] = each.reason
        for kept, reason in missing.items():
            self.droughts[kept] = self.droughts[kept].after_failure(now, reason=reason)

    def _note_failures(self, state: CampaignState) -> None:
        """Count the workers in a row that are gone and never had any work, nor left in good order."""
        live = {worker_of(each) for each in state.sessions}
        ended = {worker_of(each): reason for each, reason in state.ended_sessions.items()}
        if not self.has_looked:
            self._worked.update(ended)  # before this launcher's time; it had its chance
        self.note_work(state)
        for each in sorted(self.known.values(), key=lambda worker: worker.name):
            if each.name in self._worked or ended.get(each.name, "").startswith(_LEFT_WELL):
                self.failures.note_work(each.name)
            elif each.state is WorkerState.GONE and each.name not in live:
                if each.lacks_capacity or each.was_stopped or each.name in self.dismissed:
                    self.failures.excuse(each.name)
                self.failures.note_death(each.name, words=each.reason)

    def _is_kept(self, worker: SiteWorker) -> bool:
        market = worker.machine.market or self._markets.get(worker.name) or self.default_market
        return market is Market.ON_DEMAND
