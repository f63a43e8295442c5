"""A launcher: the holder of an epoch, the only writer of the ledger and of the inboxes.

It settles what the outboxes say and hands out jobs. Whom to start and when to stop is not its business; `distribute`
does that around it. Each step leaves the bucket in a state from which another launcher can go on. After any error
but those that a step handles itself, the view in memory may be behind the bucket: drop the launcher and take over.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from gliderport_prefect import __version__
from gliderport_prefect.campaign.replay import add_new_chunks, read_campaign, read_inboxes, replay
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import Superseded
from gliderport_prefect.lifecycle import handing_out, requests
from gliderport_prefect.lifecycle.hearing import Hearing
from gliderport_prefect.lifecycle.inboxes import Inboxes
from gliderport_prefect.lifecycle.ledger import Ledger, fence_ledger
from gliderport_prefect.lifecycle.outboxes import Outboxes
from gliderport_prefect.protocol.ids import SessionId, WorkerName
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.machines import WorkerState
from gliderport_prefect.protocol.records import Campaign, LauncherClaim, LedgerRecord, Sighting, timestamp
from gliderport_prefect.scheduling.listening import ListeningClock
from gliderport_prefect.scheduling.scaling import derive_black_holes
from gliderport_prefect.scheduling.sessions import Session
from gliderport_prefect.scheduling.settling import SettlingRules, decide_ledger
from gliderport_prefect.scheduling.sightings import derive_sightings
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.store import list_numbers


@dataclass
class Launcher:
    """The right to drive a campaign, and the view of it that this right rests on."""

    runtime: Runtime
    campaign: Campaign
    epoch: int
    state: CampaignState
    spec_of: Callable[[int], JobSpec]
    inboxes: Inboxes = field(init=False)
    outboxes: Outboxes = field(init=False)
    _ledger: Ledger = field(init=False)
    _hearing: Hearing = field(init=False)

    def __post_init__(self) -> None:
        """Look at the bucket through the same view; nobody has been silent yet."""
        now = self.runtime.clock.monotonic()
        listening = ListeningClock(seconds=now, looked_at=now)
        self.state.jobs.keep_after = self.campaign.launcher.keep_after
        self.inboxes = Inboxes(self.runtime, self.state, self.epoch)
        self.outboxes = Outboxes(self.runtime, self.state)
        self._ledger = Ledger(self.runtime, self.state, self.epoch, listening)
        self._hearing = Hearing(self.state, self.inboxes, listening, self.campaign.launcher.dead_seconds)
        self._hearing.hear_all()

    # --- one round ----------------------------------------------------------------------------------------------

    def settle(self, lost: dict[SessionId, str]) -> bool:
        """Read the outboxes, settle what they say, and tell the sessions that are over.

        Args:
            lost: Sessions whose machine is gone, and why.

        Returns:
            Whether there was anything but heartbeats.

        Raises:
            Superseded: Another launcher has taken over.
        """
        began_at = self.runtime.clock.monotonic()
        listing = self.outboxes.list()
        self._hearing.clock.note_look(began_at)
        settled = [self._settle_batch(batch, lost=None) for batch in listing.batches[:-1]]
        settled.append(self._settle_batch(listing.batches[-1] if listing.batches else [], lost=lost))
        self.inboxes.tell_dead(listing.revenants)
        if listing.settled:
            self.runtime.store.delete(listing.settled)
        self._ledger.snapshot_sometimes()
        return any(settled)

    def hand_out(self) -> int:
        """Give waiting jobs to the sessions, ask some back, drain the harmful, and return how many were given."""
        self.drain(derive_black_holes(list(self.state.sessions.values()), self.campaign.launcher.black_hole_limit))
        return handing_out.hand_out(self.inboxes, self.spec_of)

    def drain(self, sessions: Iterable[Session]) -> None:
        """Tell sessions to finish what runs there, hand back the rest, and leave."""
        record = replace(self.inboxes.draft(), drain=True)
        self.inboxes.send([(each, record) for each in sessions if not each.draining])

    def read_new_specs(self) -> bool:
        """Take in the jobs that were submitted since the last look, and say whether there were any."""
        return add_new_chunks(self.runtime, self.state) > 0

    def follow_requests(self) -> bool:
        """Act on what people asked for since the last look, and say whether there was anything."""
        return requests.follow_requests(self._ledger, self.inboxes)

    def note_workers(self, looked: Iterable[Sighting]) -> None:
        """Write down what has changed of the workers' machines, if anything has.

        Args:
            looked: What the site says of all workers of the campaign.
        """
        seen = self.derive_seen(looked)
        if seen:
            self.write_ledger(LedgerRecord(self.epoch, "", finished=self.state.said_finished, seen=seen))

    def note_gone(self, workers: Collection[WorkerName], *, reason: str) -> None:
        """Write down that these workers are gone, whatever their site says of others."""
        known = self.state.fleet.known()
        gone = {
            name: replace(each, state=WorkerState.GONE, seen_at="", reason=reason)
            for name, each in known.items()
            if name in workers
        }
        self.note_workers({**known, **gone}.values())

    def derive_seen(self, looked: Iterable[Sighting]) -> tuple[Sighting, ...]:
        """Return what has changed of the workers' machines since it was written down."""
        return derive_sightings(looked, self.state.fleet.known(), now=self.runtime.clock.wall())

    def write_ledger(self, record: LedgerRecord) -> None:
        """Append to the ledger and take the record into the state.

        Raises:
            Superseded: A launcher of a higher epoch has written there.
        """
        self._ledger.write(record)

    # --- settling -----------------------------------------------------------------------------------------------

    def _settle_batch(self, batch: list[tuple[SessionId, int]], *, lost: dict[SessionId, str] | None) -> bool:
        """Settle what these outbox records say, with the last of them also who is lost; return whether that was any.

        Who is lost is decided when all have been heard.
        """
        reading = self.outboxes.read(batch)
        self._hearing.hear(reading.news)
        silent = {} if lost is None else self._hearing.find_silent()
        gone = {**silent, **reading.unreadable, **(lost or {})}
        rules = SettlingRules(self.epoch, self.campaign.launcher.loss_limit, self.spec_of, self.runtime.clock.wall())
        record = decide_ledger(self.state, reading.news, lost=gone, rules=rules)
        done = [self.runtime.keys.outbox_record(each.session, each.number) for each in reading.news]
        if record is not None:
            done += self._write_settlement(record)
        elif reading.news:
            self._ledger.refuse_superseded()
        if done:
            self.runtime.store.delete(done)
        return record is not None

    def _write_settlement(self, record: LedgerRecord) -> list[str]:
        """Put the record into the ledger, tell those concerned, and return keys that may be deleted now."""
        dead = [each.session for each in record.dead if each.session in self.state.sessions]
        floor, pruned = self.inboxes.prune()
        self.write_ledger(replace(record, floor=floor))
        self.inboxes.tell_dead(dead)
        self.inboxes.cancel({each.report.job for each in record.settled if self.state.jobs.has_ended(each.report.job)})
        return pruned


def take_over(runtime: Runtime, spec_of: Callable[[int], JobSpec], *, after: int | None = None) -> Launcher:
    """Claim the next epoch, replay the campaign, fence every older launcher, and return the right to drive.

    Args:
        runtime: The campaign.
        spec_of: Returns the spec of a job.
        after: The epoch that must be the newest one until now; whichever it is when not given.

    Raises:
        Superseded: Somebody claimed a higher epoch meanwhile.
    """
    campaign = read_campaign(runtime)
    epoch = _claim_epoch(runtime, after=after)
    state = replay(runtime)
    fence_ledger(runtime, state, epoch=epoch)
    launcher = Launcher(runtime, campaign, epoch, state, spec_of)
    read_inboxes(runtime, state)
    fence = launcher.inboxes.draft()
    launcher.inboxes.send([(session, fence) for session in state.sessions.values()])
    launcher.inboxes.cancel(state.unwanted())  # an older launcher may have died before it told them
    state.rebuild_queue()
    return launcher


def _claim_epoch(runtime: Runtime, *, after: int | None) -> int:
    claim = LauncherClaim(
        token=runtime.token(),
        host=socket.gethostname(),
        pid=os.getpid(),
        claimed_at=timestamp(runtime.clock.wall()),
        version=__version__,
    )
    newest = max(list_numbers(runtime.store, runtime.keys.launchers), default=0)
    epoch = (newest if after is None else after) + 1
    while runtime.append(runtime.keys.launchers, claim, number=epoch) is not None:
        if after is not None:
            raise Superseded(f"somebody else has just begun to drive campaign {runtime.campaign!r}")
        epoch += 1
    return epoch
