"""Keep as many workers at the site as the jobs are worth, and notice the ones that are gone.

What to do is decided in `scheduling`; here the site is asked and told, and what it says is remembered.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.board.wording import say_resources
from gliderport_prefect.campaign.runtime import Clock
from gliderport_prefect.errors import Stuck
from gliderport_prefect.lifecycle.sightings import sight
from gliderport_prefect.protocol.ids import SessionId, WorkerName, worker_of
from gliderport_prefect.protocol.machines import CapacityPolicy
from gliderport_prefect.scheduling.capacity import (
    Drought,
    decide_market,
    decide_relief,
    decide_replaced,
    note_waited,
)
from gliderport_prefect.scheduling.failures import StartFailures
from gliderport_prefect.scheduling.scaling import (
    Hand,
    Wanted,
    decide_displaced,
    decide_starts,
    decide_surplus,
    derive_unplaceable,
    derive_wanted,
)
from gliderport_prefect.sites.seam import Market, SiteWorker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gliderport_prefect.protocol.records import LauncherPolicy, Sighting
    from gliderport_prefect.scheduling.sessions import Session
    from gliderport_prefect.scheduling.state import CampaignState
    from gliderport_prefect.sites.watched import Watched

_log = logging.getLogger(__name__)

_SURPLUS_SECONDS = 60.0
"""A worker on its way is sent away when nobody has needed it for this long."""
_UNHEARD_SECONDS = {True: 180.0, False: 3600.0}
"""A worker that runs, as its site says, and has no live session is ended after this long. Who has spoken before has
lost its machine, which the site will notice, or cannot reach the bucket; who never has may still be set up."""
_WAITING = {WorkerState.STARTING, WorkerState.RECOVERING}
_LEFT_WELL = "said goodbye"


@dataclass
class Workforce:
    """The campaign's workers at its site, as the launcher knows them."""

    site: Watched
    policy: LauncherPolicy
    clock: Clock = field(default_factory=Clock)
    displaced: list[Session] = field(default_factory=list["Session"])
    """Sessions that are to make room for workers on machines that are kept: the launcher lets them drain."""
    _known: dict[WorkerName, SiteWorker] = field(default_factory=dict[WorkerName, SiteWorker])
    _has_looked: bool = False
    _failures: StartFailures = field(default_factory=StartFailures)
    _worked: set[WorkerName] = field(default_factory=set[WorkerName])
    _dismissed: set[WorkerName] = field(default_factory=set[WorkerName])
    _markets: dict[WorkerName, Market | None] = field(default_factory=dict[WorkerName, "Market | None"])
    _waiting_since: dict[WorkerName, float] = field(default_factory=dict[WorkerName, float])
    _unheard_since: dict[WorkerName, float] = field(default_factory=dict[WorkerName, float])
    _supplied: set[WorkerName] = field(default_factory=set[WorkerName])
    _droughts: dict[bool, Drought] = field(default_factory=lambda: {False: Drought(), True: Drought()})
    _surplus_since: float | None = None

    def sightings(self) -> list[Sighting] | None:
        """Return what the site said at the last look of each worker, and which were asked for since.

        None as long as the site has not been asked: that says nothing of workers that earlier launchers started.
        """
        return sight(self._known.values()) if self._has_looked else None

    # --- looking ------------------------------------------------------------------------------------------------

    def look(self, state: CampaignState) -> dict[SessionId, str]:
        """Take in what is known of the site and return the live sessions whose worker is gone, with the reason.

        Raises:
            Stuck: The site refuses for good, or the workers die before they can work and none is left.
        """
        if self.site.refusal:
            raise Stuck(self.site.refusal)
        if not self.site.is_known:
            return {}
        self._known = {each.name: each for each in self.site.list_workers()}
        self._note_waiting()
        self._note_capacity()
        self._note_failures(state)
        self._end_unheard(state)
        self._has_looked = True
        self._refuse_hopeless(state)
        gone = {each.name: each for each in self._known.values() if each.state is WorkerState.GONE}
        return {
            session: f"its worker is gone from the site: {gone[name].reason or 'no reason given'}"
            for session in state.sessions
            if (name := worker_of(session)) in gone
        }

    def _note_waiting(self) -> None:
        """Note since when each worker has waited for a machine, by the launcher's own clock."""
        now = self.clock.monotonic()
        waiting = [each.name for each in self._known.values() if each.state in _WAITING]
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}

    def _note_capacity(self) -> None:
        """Note which kinds of machine there are and which there are none of; who fails together counts as one try."""
        now, missing = self.clock.monotonic(), dict[bool, str]()
        for each in self._known.values():
            if each.name in self._supplied:
                continue
            if each.state is WorkerState.RUNNING:
                self._supplied.add(each.name)
                self._droughts[self._is_kept(each)] = Drought()
            elif each.state is WorkerState.GONE and each.lacks_capacity:
                self._supplied.add(each.name)
                missing[self._is_kept(each)] = each.reason
        for kept, reason in missing.items():
            self._droughts[kept] = self._droughts[kept].after_failure(now, reason=reason)
        self._droughts[False] = decide_relief(self.policy, self._droughts[False], now=now)

    def _note_failures(self, state: CampaignState) -> None:
        """Count the workers in a row that are gone and never had any work, nor left in good order."""
        live = {worker_of(each) for each in state.sessions}
        ended = {worker_of(each): reason for each, reason in state.ended_sessions.items()}
        if not self._has_looked:
            self._worked.update(ended)  # before this launcher's time; it had its chance
        self._note_work(state)
        for each in sorted(self._known.values(), key=lambda worker: worker.name):
            if each.name in self._worked or ended.get(each.name, "").startswith(_LEFT_WELL):
                self._failures.note_work(each.name)
            elif each.state is WorkerState.GONE and each.name not in live:
                if each.lacks_capacity or each.was_stopped or each.name in self._dismissed:
                    self._failures.excuse(each.name)
                self._failures.note_death(each.name, words=each.reason)

    def _end_unheard(self, state: CampaignState) -> None:
        """End the workers that run and are not heard: they cost money, and take the place of others."""
        now, live = self.clock.monotonic(), {worker_of(each) for each in state.sessions}
        running = [each.name for each in self._known.values() if each.state is WorkerState.RUNNING]
        unheard = [name for name in running if name not in live and name not in self._dismissed]
        self._unheard_since = {name: self._unheard_since.get(name, now) for name in unheard}
        spoken = {worker_of(each) for each in state.ended_sessions}
        for name, since in self._unheard_since.items():
            limit = _UNHEARD_SECONDS[name in spoken]
            if now - since >= limit:
                _log.warning("worker %s runs and was not heard for %g s: it is ended", name, limit)
                self._failures.note_death(name, words=f"nothing, for {limit:g} s, though its site says that it runs")
                self._dismiss([name])

    def _note_work(self, state: CampaignState) -> None:
        self._worked.update(worker_of(each.id) for each in state.sessions.values() if each.held or each.succeeded)

    def _refuse_hopeless(self, state: CampaignState) -> None:
        """Give up when nobody works, nobody is on the way and it makes no sense to start others."""
        if state.sessions or any(each.is_coming for each in self._hands(state)):
            return
        limit = self.policy.start_failure_limit
        if self._failures.in_row >= limit:
            raise Stuck(f"{self._say_failures()}; {self._failures.newest}")
        worst = max(self._droughts.values(), key=lambda each: each.tries)
        if self.policy.no_capacity is CapacityPolicy.FAIL and worst.tries >= limit:
            said = worst.reason or "no reason given"
            raise Stuck(f"the site had no machines, {worst.tries} times in a row: {said}")

    # --- starting and sending away ------------------------------------------------------------------------------

    def dismiss_coming(self, state: CampaignState) -> None:
        """Send away who is on the way: nothing new is to start."""
        self._dismiss([each.name for each in self._hands(state) if each.is_coming])

    def match(self, state: CampaignState) -> list[WorkerName]:
        """Start the workers that the jobs are worth, send away whom nobody needs, and return the names of the new.

        Raises:
            Stuck: Jobs wait that no worker here can ever run.
        """
        self.displaced = []
        if not self._has_looked:
            return []
        self._refuse_unplaceable(state)
        self._note_work(state)
        self._replace_waiting(state)
        hands = self._hands(state)
        wanted = derive_wanted(state.waiting.demand(), offer=self.site.offer, sessions=_takers(hands))
        self._dismiss_surplus(wanted, hands)
        if self._failures.in_row >= self.policy.start_failure_limit:
            return []
        displaced = decide_displaced(wanted, hands, most=self.policy.max_workers)
        self._dismiss([each.name for each in displaced if each.is_coming])
        self.displaced = [each.session for each in displaced if each.session is not None]
        return self._start(state, wanted, hands=[each for each in hands if each.name not in self._dismissed])

    def _start(self, state: CampaignState, wanted: Wanted, *, hands: Sequence[Hand]) -> list[WorkerName]:
        is_proven = bool(state.sessions or state.ended_sessions)
        starts = decide_starts(wanted, hands, most=self.policy.max_workers, is_proven=is_proven)
        market = decide_market(self.policy, self._droughts[False], now=self.clock.monotonic())
        asked = [(starts.kept, Market.ON_DEMAND), (starts.plain, market)]
        return [name for count, on in asked if count for name in self._ask(state, count, market=on)]

    def _ask(self, state: CampaignState, count: int, *, market: Market | None) -> list[WorkerName]:
        """Ask for that many workers, unless there was no machine of the kind a short while ago."""
        kept = (market or self.site.quote.market) is Market.ON_DEMAND
        if self.clock.monotonic() < self._droughts[kept].retry_at:
            return []
        names = self._new_names(state, count)
        self.site.start(names, market=market)
        # Until the next look, so that nobody asks for the same workers again.
        self._known.update({name: SiteWorker(name, WorkerState.STARTING) for name in names})
        self._markets.update(dict.fromkeys(names, market))
        self._note_waiting()
        return names

    def _replace_waiting(self, state: CampaignState) -> None:
        """Send away who has waited too long for a cheap machine; others come in their place."""
        tired = decide_replaced(self.policy, (each for each in self._hands(state) if each.is_coming))
        if tired:
            reason = self._known[tired[0].name].reason or "workers have waited for machines for too long"
            now = self.clock.monotonic()
            self._droughts[False] = note_waited(self.policy, self._droughts[False], now=now, reason=reason)
            self._dismiss([each.name for each in tired])

    def _dismiss_surplus(self, wanted: Wanted, hands: Sequence[Hand]) -> None:
        """Send away whom nobody has needed for a while."""
        now, surplus = self.clock.monotonic(), decide_surplus(wanted, hands)
        if not surplus:
            self._surplus_since = None
        elif self._surplus_since is None:
            self._surplus_since = now
        elif now - self._surplus_since >= _SURPLUS_SECONDS:
            self._dismiss([each.name for each in surplus])

    def _dismiss(self, names: Sequence[WorkerName]) -> None:
        if names:
            self.site.dismiss(names)
            self._dismissed.update(names)

    def _hands(self, state: CampaignState) -> list[Hand]:
        """Return the workers that are on their way, and those that have come: what these say of their machine holds."""
        now = self.clock.monotonic()
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
            for each in self._known.values()
            if each.state is not WorkerState.GONE and each.name not in self._dismissed and each.name not in come
        ]
        return [*come.values(), *coming]

    def _is_kept(self, worker: SiteWorker) -> bool:
        market = worker.machine.market or self._markets.get(worker.name) or self.site.quote.market
        return market is Market.ON_DEMAND

    def _new_names(self, state: CampaignState, count: int) -> list[WorkerName]:
        spoken = (worker_of(each) for each in [*state.sessions, *state.ended_sessions])
        taken = {*self._known, *state.fleet.meters, *spoken}
        numbers = (int(name.rpartition("-")[2]) for name in taken if name.rpartition("-")[2].isdecimal())
        first = max(numbers, default=0) + 1
        return [WorkerName(f"worker-{number:04d}") for number in range(first, first + count)]

    def _refuse_unplaceable(self, state: CampaignState) -> None:
        offers = [self.site.offer, *(each.offer for each in state.sessions.values())]
        for kind, count in derive_unplaceable(state.waiting.demand(), offers):
            jobs = "1 job needs" if count == 1 else f"{count:,} jobs need"
            raise Stuck(
                f"{jobs} {say_resources(kind.needs)}, which no worker of this campaign has; a new one has "
                f"{say_resources(offers[0])}. Ask for less, or give the workers more and run the campaign again"
            )

    # --- telling ------------------------------------------------------------------------------------------------

    def counts(self, state: CampaignState) -> dict[str, int]:
        """Return the number of workers that start, are idle, are busy, drain."""
        sessions = state.sessions.values()
        return {
            "starting": sum(each.is_coming for each in self._hands(state)),
            "idle": sum(1 for each in sessions if not each.held and not each.draining),
            "busy": sum(1 for each in sessions if each.held and not each.draining),
            "draining": sum(1 for each in sessions if each.draining),
        }

    def waiting_for(self, state: CampaignState) -> str:
        """Say why jobs wait, as far as it is for want of workers; empty when it is not."""
        hindrance = self.hindrance(state)
        if hindrance or state.sessions or not len(state.waiting):
            return hindrance
        coming = [each for each in self._hands(state) if each.is_coming]
        reasons = [reason for each in coming if (reason := self._known[each.name].reason)]
        said = f"{len(coming)} worker{'' if len(coming) == 1 else 's'} to come up" if coming else "workers"
        return said + (f": {reasons[0]}" if reasons else "")

    def hindrance(self, state: CampaignState) -> str:
        """Say why workers that jobs wait for do not come; empty when all is well."""
        if self.site.trouble:
            return self.site.trouble
        if not len(state.waiting):
            return ""
        if self._failures.in_row >= self.policy.start_failure_limit:
            return f"{self._say_failures()}, so no more are started; {self._failures.newest}"
        dry = [each for each in self._droughts.values() if each.tries]
        if dry:
            return f"machines: {dry[0].reason or 'the site has none'} (tried {dry[0].tries} times in a row)"
        return ""

    def _say_failures(self) -> str:
        return f"{self._failures.in_row} workers in a row died before they could work"


def _takers(hands: Iterable[Hand]) -> list[Session]:
    return [each.session for each in hands if each.session is not None and not each.session.draining]
