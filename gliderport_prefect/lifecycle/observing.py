"""Look at a campaign from outside for signs of life; all that is written is one question to its launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import add_new_chunks, follow_ledger, read_campaign, replay
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.campaign.runtime import Clock, Runtime
from gliderport_prefect.errors import GliderportError
from gliderport_prefect.lifecycle.claims import is_alive
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import Campaign, LauncherClaim, RequestKind
from gliderport_prefect.scheduling.reaping import Look, Standing, derive_standing, wants_request
from gliderport_prefect.store import list_numbers, open_store
from gliderport_prefect.store.retrying import Patience

if TYPE_CHECKING:
    from gliderport_prefect.protocol.ids import CampaignId
    from gliderport_prefect.scheduling.state import CampaignState

_PATIENCE = Patience(outage_s=10.0)
"""Who looks at the buckets of many campaigns does not wait for one of them."""


class Observation:
    """A campaign and what has been seen of it so far."""

    def __init__(self, campaign: CampaignId, bucket: str, *, silent_seconds: float, clock: Clock) -> None:
        """Describe what to look at; nothing is read.

        Args:
            campaign: Its id.
            bucket: URL of its bucket; the credentials come from the environment.
            silent_seconds: For how long it must give no sign of life to count as silent.
            clock: The reaper's.
        """
        self.campaign, self.bucket, self.looks = campaign, bucket, list[Look]()
        self.epoch = 0
        """The newest epoch that somebody has claimed."""
        self._silent_seconds, self._clock = silent_seconds, clock
        self._runtime: Runtime | None = None
        self._identity: Campaign | None = None
        self._state: CampaignState | None = None
        self._unanswered_since: float | None = None

    @property
    def runtime(self) -> Runtime:
        """The campaign's place in its bucket; a missing folder is not made."""
        if self._runtime is None:
            store = open_store(self.bucket, patience=_PATIENCE)
            self._runtime = Runtime(store, CampaignKeys(self.campaign), self._clock)
        return self._runtime

    @property
    def standing(self) -> Standing:
        """What all looks say together; there is at least one."""
        return derive_standing(self.looks, silent_seconds=self._silent_seconds)

    def look(self) -> None:
        """Look once more."""
        now = self._clock.monotonic()
        try:
            self.looks.append(self._look(now))
        except GliderportError as error:
            self.looks.append(Look(now, trouble=str(error)))

    def ask_when_due(self) -> None:
        """Ask its launcher for a sign of life, once, if the looks leave no other way to know."""
        if not wants_request(self.looks[0], self.looks[-1], silent_seconds=self._silent_seconds):
            return
        try:
            append_request(self.runtime, RequestKind.SUBMITTED)  # which a launcher answers, and which changes nothing
        except GliderportError as error:
            self.looks.append(Look(self._clock.monotonic(), trouble=str(error)))

    def _look(self, now: float) -> Look:
        runtime = self.runtime
        if runtime.store.get(runtime.keys.identity) is None:
            return Look(now, is_known=False)
        self._identity = self._identity or read_campaign(runtime)
        state = self._follow()
        self.epoch = _newest_number(runtime, runtime.keys.launchers)
        claim = runtime.read_numbered(LauncherClaim, runtime.keys.launchers, number=self.epoch)
        return Look(
            now,
            is_over=(state.finished or state.is_torn_down) and self.epoch <= state.epoch,
            signs=self._signs(state),
            launcher_alive=is_alive(claim),
            heartbeat_seconds=self._identity.worker.heartbeat_seconds,
            unanswered_seconds=self._unanswered(state, now),
        )

    def _follow(self) -> CampaignState:
        if self._state is None:
            self._state = replay(self.runtime)
        else:
            add_new_chunks(self.runtime, self._state)
            follow_ledger(self.runtime, self._state)
        return self._state

    def _signs(self, state: CampaignState) -> frozenset[str]:
        """Return the logs' ends and the names of the small objects that come and go while a campaign lives."""
        keys, store = self.runtime.keys, self.runtime.store
        passing = (keys.inboxes, keys.outbox, keys.workers, keys.progress)
        names = {stored.key for prefix in passing for stored in store.list(prefix)}
        return frozenset({f"claim {self.epoch}", f"ledger {state.ledger_number}", f"specs {state.chunks}", *names})

    def _unanswered(self, state: CampaignState, now: float) -> float | None:
        """Return for how long this observation has seen a request that no launcher has acted on."""
        if _newest_number(self.runtime, self.runtime.keys.requests) <= state.requests_read:
            self._unanswered_since = None
            return None
        if self._unanswered_since is None:
            self._unanswered_since = now
        return now - self._unanswered_since


def _newest_number(runtime: Runtime, log: str) -> int:
    return max(list_numbers(runtime.store, log), default=0)
