"""Keep as many workers at the site as the queue is worth, and notice the ones that are gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.board.wording import say_resources
from gliderport_prefect.errors import Stuck
from gliderport_prefect.lifecycle.sightings import sight
from gliderport_prefect.protocol.ids import SessionId, WorkerName, worker_of
from gliderport_prefect.scheduling.scaling import decide_new_workers, derive_unplaceable
from gliderport_prefect.sites.seam import SiteWorker, WorkerState

if TYPE_CHECKING:
    from gliderport_prefect.protocol.records import LauncherPolicy, Sighting
    from gliderport_prefect.scheduling.state import CampaignState
    from gliderport_prefect.sites.seam import Site


@dataclass
class Workforce:
    """The campaign's workers at its site, as the launcher knows them."""

    site: Site
    policy: LauncherPolicy
    _known: dict[WorkerName, SiteWorker] = field(default_factory=dict[WorkerName, SiteWorker])
    _stillborn: int = 0
    _counted: set[WorkerName] = field(default_factory=set[WorkerName])

    def sightings(self) -> list[Sighting]:
        """Return what the site said at the last look of each worker, and which were asked for since."""
        return sight(self._known.values())

    def look(self, state: CampaignState) -> dict[SessionId, str]:
        """Ask the site what is there and return the live sessions whose worker is gone, with the reason.

        Raises:
            Stuck: Too many workers in a row died before they said hello.
        """
        self._known = {each.name: each for each in self.site.list_workers()}
        self._count_stillborn(state)
        gone = {each.name: each for each in self._known.values() if each.state is WorkerState.GONE}
        return {
            session: f"its worker is gone from the site: {gone[name].reason or 'no reason given'}"
            for session in state.sessions
            if (name := worker_of(session)) in gone
        }

    def match(self, state: CampaignState) -> list[WorkerName]:
        """Start the workers that the queue is worth and return their names.

        Raises:
            Stuck: Jobs wait that no worker here can ever run.
            SiteError: The site cannot start workers.
        """
        present = [each for each in self._known.values() if each.state is not WorkerState.GONE]
        draining = {worker_of(each.id) for each in state.sessions.values() if each.draining}
        useful = [each for each in present if each.name not in draining]
        held = sum(len(each.held) for each in state.sessions.values())
        self._refuse_unplaceable(state)
        missing = decide_new_workers(
            state.waiting.demand(), self.site.offer, present=len(useful), most=self.policy.max_workers, held=held
        )
        names = self._new_names(state, missing)
        if names:
            self.site.start(names)
            # Until the next look, so that nobody asks for the same workers again.
            self._known.update({name: SiteWorker(name, WorkerState.STARTING) for name in names})
        return names

    def counts(self, state: CampaignState) -> dict[str, int]:
        """Return the number of workers that start, are idle, are busy, drain."""
        spoken = {worker_of(session) for session in [*state.sessions, *state.ended_sessions]}
        sessions = state.sessions.values()
        starting = [
            each for each in self._known.values() if each.state is not WorkerState.GONE and each.name not in spoken
        ]
        return {
            "starting": len(starting),
            "idle": sum(1 for each in sessions if not each.held and not each.draining),
            "busy": sum(1 for each in sessions if each.held and not each.draining),
            "draining": sum(1 for each in sessions if each.draining),
        }

    def _new_names(self, state: CampaignState, count: int) -> list[WorkerName]:
        taken = {*self._known, *(worker_of(each) for each in [*state.sessions, *state.ended_sessions])}
        numbers = (int(name.rpartition("-")[2]) for name in taken if name.rpartition("-")[2].isdecimal())
        first = max(numbers, default=0) + 1
        return [WorkerName(f"worker-{number:04d}") for number in range(first, first + count)]

    def _count_stillborn(self, state: CampaignState) -> None:
        """Count the workers in a row that ended without a word; one that spoke starts the count again."""
        spoken = {worker_of(each) for each in [*state.sessions, *state.ended_sessions]}
        for each in sorted(self._known.values(), key=lambda worker: worker.name):
            if each.name in self._counted:
                continue
            if each.name in spoken:
                self._stillborn = 0
            elif each.state is WorkerState.GONE:
                self._stillborn += 1
                self._refuse_stillborn(each)
            else:
                continue
            self._counted.add(each.name)

    def _refuse_stillborn(self, newest: SiteWorker) -> None:
        if self._stillborn >= self.policy.start_failure_limit:
            raise Stuck(
                f"{self._stillborn} workers in a row died before they could report; the last one, {newest.name}, "
                f"said: {newest.reason or 'nothing'}"
            )

    def _refuse_unplaceable(self, state: CampaignState) -> None:
        offers = [self.site.offer, *(each.offer for each in state.sessions.values())]
        for kind, count in derive_unplaceable(state.waiting.demand(), offers):
            jobs = "1 job needs" if count == 1 else f"{count:,} jobs need"
            raise Stuck(
                f"{jobs} {say_resources(kind.needs)}, which no worker of this campaign has; a new one has "
                f"{say_resources(offers[0])}. Ask for less, or give the workers more and run the campaign again"
            )
