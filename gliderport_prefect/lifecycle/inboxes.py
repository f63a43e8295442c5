"""What a launcher says to the workers: appends to the inboxes under its epoch, and prunes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import Superseded
from gliderport_prefect.protocol.ids import JobNumber, SessionId
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.records import AttemptRef, InboxRecord
from gliderport_prefect.scheduling.sessions import Session
from gliderport_prefect.scheduling.state import CampaignState


@dataclass
class Inboxes:
    """The inboxes of all live sessions, written by one launcher."""

    runtime: Runtime
    state: CampaignState
    epoch: int
    _told_dead: set[SessionId] = field(default_factory=set[SessionId])

    def draft(self) -> InboxRecord:
        """Return a record that says nothing but who drives; it is signed when it is sent."""
        return InboxRecord(self.epoch, token="")

    def send(self, records: Iterable[tuple[Session, InboxRecord]]) -> None:
        """Append to the inboxes, several at once; the state changes one by one.

        Raises:
            Superseded: A launcher of a higher epoch has written there.
        """
        signed = [(session, replace(record, token=self.runtime.token())) for session, record in records]
        standing = self.runtime.in_parallel(lambda each: self._put(*each), signed)
        for (session, record), other in zip(signed, standing, strict=True):
            self._take_in(session, record, standing=other)

    def cancel(self, jobs: Iterable[int]) -> None:
        """Tell the sessions that have attempts of these jobs to end them."""
        refs: dict[SessionId, list[AttemptRef]] = {}
        for job in jobs:
            for session in self.state.holders(job):
                ref = AttemptRef(JobNumber(job), session.held[job].attempt)
                refs.setdefault(session.id, []).append(ref)
        sessions = self.state.sessions
        self.send([(sessions[each], replace(self.draft(), cancel=tuple(found))) for each, found in refs.items()])

    def tell_dead(self, sessions: Iterable[SessionId]) -> None:
        """Tell sessions that are over to leave, once each: whoever was only frozen must not go on for nothing."""
        for session in sessions:
            if session not in self._told_dead:
                self._tell_dead(session)
                self._told_dead.add(session)

    def prune(self) -> tuple[dict[str, int], list[str]]:
        """Return the new floors and the keys of the records below them: read, and nothing of theirs is still there.

        The newest record of an inbox always stays: it carries the epoch that fences older launchers.
        """
        floors: dict[str, int] = {}
        keys: list[str] = []
        for session in self.state.sessions.values():
            kept, oldest_needed = session.kept_inbox, session.oldest_needed
            while len(kept) > 1 and kept[0] <= session.read and kept[0] < oldest_needed:
                keys.append(self._key(session.id, kept.popleft()))
                floors[session.id] = kept[0]
        return floors, keys

    def _put(self, session: Session, record: InboxRecord) -> InboxRecord | None:
        return self.runtime.create(self._key(session.id, session.next_inbox), record)

    def _take_in(self, session: Session, record: InboxRecord, *, standing: InboxRecord | None) -> None:
        """Apply the record, after what an older launcher turns out to have put into its place."""
        while standing is not None:
            self._refuse_newer(standing)
            self.state.apply_inbox(session, standing, number=session.next_inbox)
            standing = self._put(session, record)
        self.state.apply_inbox(session, record, number=session.next_inbox)

    def _tell_dead(self, session: SessionId) -> None:
        number, record = self.state.floor.get(session, 1), replace(self.draft(), token=self.runtime.token(), dead=True)
        while (standing := self.runtime.create(self._key(session, number), record)) is not None:
            self._refuse_newer(standing)
            if standing.dead:
                return
            number += 1

    def _refuse_newer(self, standing: InboxRecord) -> None:
        if standing.epoch > self.epoch:
            raise Superseded(
                f"campaign {self.runtime.campaign!r} is driven by a launcher of epoch {standing.epoch} now; "
                f"this one had {self.epoch}"
            )

    def _key(self, session: SessionId, number: int) -> str:
        return f"{self.runtime.keys.inbox(session)}/{number_segment(number)}"
