"""Keep as many workers at the site as the jobs are worth, and notice the ones that are gone.

What to do is decided in `scheduling`; here the site is asked and told.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.board.wording import say_resources
from gliderport_prefect.campaign.runtime import Clock
from gliderport_prefect.errors import Stuck
from gliderport_prefect.lifecycle.history import WorkerHistory
from gliderport_prefect.lifecycle.sightings import sight
from gliderport_prefect.protocol.ids import SessionId, WorkerName, worker_of
from gliderport_prefect.protocol.machines import CapacityPolicy
from gliderport_prefect.scheduling.capacity import decide_market, decide_relief, decide_replaced, note_waited
from gliderport_prefect.scheduling.scaling import (
    Hand,
    Wanted,
    decide_displaced,
    decide_starts,
    decide_surplus,
    derive_unplaceable,
    derive_wanted,
)
from gliderport_prefect.sites.seam import Market, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gliderport_prefect.protocol.records import LauncherPolicy, Sighting
    from gliderport_prefect.scheduling.sessions import Session
    from gliderport_prefect.scheduling.state import CampaignState
    from gliderport_prefect.sites.watched import Watched

_log = logging.getLogger(__name__)

_SURPLUS_SECONDS = 60.0
"""A worker on its way is sent away when nobody has needed it for this long."""


@dataclass
class Workforce:
    """The campaign's workers at its site, as the launcher knows them."""

    site: Watched
    policy: LauncherPolicy
    clock: Clock = field(default_factory=Clock)
    displaced: list[Session] = field(default_factory=list["Session"])
    """Sessions that nobody needs, or that make room for workers on machines that are kept: the launcher drains them."""
    _history: WorkerHistory = field(default_factory=WorkerHistory)
    _surplus_since: float | None = None

    def sightings(self) -> list[Sighting] | None:
        """Return what the site said at the last look of each worker, and which were asked for since.

        None as long as the site has not been asked: that says nothing of workers that earlier launchers started.
        """
        return sight(self._history.known.values()) if self._history.has_looked else None

    # --- looking ------------------------------------------------------------------------------------------------

    def look(self, state: CampaignState) -> dict[SessionId, str]:
        """Take in what is known of the site and return the live sessions whose worker is gone, with the reason.

        Raises:
            Stuck: The site refuses for good, or the workers die before they can work and none is left.
        """
        if self.site.refusal and not state.sessions:  # who is at work needs the bucket only
            raise Stuck(self.site.refusal)
        if not self.site.is_known:
            return {}
        history, now = self._history, self.clock.monotonic()
        history.default_market = self.site.quote.market
        history.note_look(self.site.list_workers(), state, now=now)
        history.droughts[False] = decide_relief(self.policy, history.droughts[False], now=now)
        self._end_unheard(state)
        self._refuse_hopeless(state)
        gone = {each.name: each for each in history.known.values() if each.state is WorkerState.GONE}
        return {
            session: f"its worker is gone from the site: {gone[name].reason or 'no reason given'}"
            for session in state.sessions
            if (name := worker_of(session)) in gone
        }

    def _end_unheard(self, state: CampaignState) -> None:
        """End the workers that run and are not heard: they cost money, and take the place of others."""
        unheard = self._history.give_up_unheard(state, now=self.clock.monotonic())
        for name, limit in unheard.items():
            _log.warning("worker %s runs and was not heard for %g s: it is ended", name, limit)
        self._dismiss(list(unheard))

    def _refuse_hopeless(self, state: CampaignState) -> None:
        """Give up when nobody works, nobody is on the way and it makes no sense to start others."""
        if state.sessions or any(each.is_coming for each in self._hands(state)):
            return
        limit = self.policy.start_failure_limit
        if self._history.failures.in_row >= limit:
            raise Stuck(f"{self._say_failures()}; {self._history.failures.newest}")
        worst = max(self._history.droughts.values(), key=lambda each: each.tries)
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
        self.displaced = self._late(state)
        if not self._history.has_looked:
            return []
        self._refuse_unplaceable(state)
        self._history.note_work(state)
        self._replace_waiting(state)
        hands = self._hands(state)
        wanted = derive_wanted(state.waiting.demand(), offer=self.site.offer, sessions=_takers(hands))
        self._dismiss_surplus(wanted, hands)
        if self._history.failures.in_row >= self.policy.start_failure_limit:
            return []
        displaced = decide_displaced(wanted, hands, most=self.policy.max_workers)
        self._dismiss([each.name for each in displaced if each.is_coming])
        self.displaced += [each.session for each in displaced if each.session is not None]
        return self._start(state, wanted, hands=[each for each in hands if each.name not in self._history.dismissed])

    def _start(self, state: CampaignState, wanted: Wanted, *, hands: Sequence[Hand]) -> list[WorkerName]:
        is_proven = bool(state.sessions or state.ended_sessions)
        starts = decide_starts(wanted, hands, most=self.policy.max_workers, is_proven=is_proven)
        market = decide_market(self.policy, self._history.droughts[False], now=self.clock.monotonic())
        asked = [(starts.kept, Market.ON_DEMAND), (starts.plain, market)]
        return [name for count, on in asked if count for name in self._ask(state, count, market=on)]

    def _ask(self, state: CampaignState, count: int, *, market: Market | None) -> list[WorkerName]:
        """Ask for that many workers, unless there was no machine of the kind a short while ago."""
        kept = (market or self.site.quote.market) is Market.ON_DEMAND
        if self.clock.monotonic() < self._history.droughts[kept].retry_at:
            return []
        names = self._new_names(state, count)
        self.site.start(names, market=market)
        self._history.note_asked(names, market, now=self.clock.monotonic())
        return names

    def _replace_waiting(self, state: CampaignState) -> None:
        """Send away who has waited too long for a cheap machine; others come in their place."""
        tired = decide_replaced(self.policy, (each for each in self._hands(state) if each.is_coming))
        if tired:
            history, now = self._history, self.clock.monotonic()
            reason = history.known[tired[0].name].reason or "workers have waited for machines for too long"
            history.droughts[False] = note_waited(self.policy, history.droughts[False], now=now, reason=reason)
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
            self._history.dismissed.update(names)

    def _late(self, state: CampaignState) -> list[Session]:
        """Return the sessions of workers that came up after they had been sent away."""
        return [each for each in state.sessions.values() if worker_of(each.id) in self._history.dismissed]

    def _hands(self, state: CampaignState) -> list[Hand]:
        return self._history.hands(state, now=self.clock.monotonic())

    def _new_names(self, state: CampaignState, count: int) -> list[WorkerName]:
        spoken = (worker_of(each) for each in [*state.sessions, *state.ended_sessions])
        taken = {*self._history.known, *state.fleet.meters, *spoken}
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
        reasons = [reason for each in coming if (reason := self._history.known[each.name].reason)]
        said = f"{len(coming)} worker{'' if len(coming) == 1 else 's'} to come up" if coming else "workers"
        return said + (f": {_first_line(reasons[0])}" if reasons else "")

    def hindrance(self, state: CampaignState) -> str:
        """Say why workers that jobs wait for do not come; empty when all is well."""
        if self.site.trouble:
            return self.site.trouble
        if not len(state.waiting):
            return ""
        if self._history.failures.in_row >= self.policy.start_failure_limit:
            return f"{self._say_failures()}, so no more are started; {self._history.failures.newest}"
        dry = [each for each in self._history.droughts.values() if each.tries]
        if dry:
            said = _first_line(dry[0].reason) or "the site has none"
            return f"machines: {said} (tried {dry[0].tries} times in a row)"
        return ""

    def _say_failures(self) -> str:
        return f"{self._history.failures.in_row} workers in a row died before they could work"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _takers(hands: Iterable[Hand]) -> list[Session]:
    return [each.session for each in hands if each.session is not None and not each.session.draining]
