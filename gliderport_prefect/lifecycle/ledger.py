"""The ledger, as the launcher of one epoch writes it, with the snapshots that shorten the way to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gliderport_prefect.campaign.replay import follow_ledger, write_snapshot
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import Superseded
from gliderport_prefect.protocol.records import LedgerRecord
from gliderport_prefect.scheduling.listening import ListeningClock
from gliderport_prefect.scheduling.state import CampaignState

_SNAPSHOT_RECORDS = 500
"""Ledger records between two snapshots, so that a take-over takes seconds."""
_SNAPSHOT_ATTEMPTS = 50_000
"""Settled attempts between two snapshots, for the same reason."""


@dataclass
class Ledger:
    """The one place where records are appended and taken into the state."""

    runtime: Runtime
    state: CampaignState
    epoch: int
    listening: ListeningClock
    """Sessions that a record names are taken for heard at what it shows."""
    _snapshot_at: int = 0
    _settled_since: int = 0

    def __post_init__(self) -> None:
        """Count from the snapshot that the replay began with."""
        self._snapshot_at = self.state.snapshot_number

    def write(self, record: LedgerRecord) -> None:
        """Append the record and take it into the state.

        Raises:
            Superseded: A launcher of a higher epoch has written there.
        """
        runtime, signed = self.runtime, replace(record, token=self.runtime.token())
        number = self.state.ledger_number + 1
        standing = runtime.append(runtime.keys.ledger, signed, number=number)
        if standing is not None:
            raise self._superseded(standing.epoch)
        self.state.apply_ledger(number, signed, now=self.listening.seconds)
        self._settled_since += len(signed.settled)

    def refuse_superseded(self) -> None:
        """Make sure that nobody else drives before signs of life are deleted that another launcher waits for.

        Raises:
            Superseded: Another launcher has written to the ledger.
        """
        next_number = self.state.ledger_number + 1
        standing = self.runtime.read_numbered(LedgerRecord, self.runtime.keys.ledger, number=next_number)
        if standing is not None:
            raise self._superseded(standing.epoch)

    def snapshot_sometimes(self) -> None:
        """Write a snapshot if enough has come since the last one."""
        is_long = self.state.ledger_number - self._snapshot_at >= _SNAPSHOT_RECORDS
        if is_long or self._settled_since >= _SNAPSHOT_ATTEMPTS:
            write_snapshot(self.runtime, self.state)
            self._snapshot_at, self._settled_since = self.state.ledger_number, 0

    def _superseded(self, epoch: int) -> Superseded:
        return Superseded(
            f"campaign {self.runtime.campaign!r} is driven by a launcher of epoch {epoch} now; "
            f"this one had {self.epoch}"
        )


def fence_ledger(runtime: Runtime, state: CampaignState, *, epoch: int) -> None:
    """Append the first record of the epoch, after the last ones of older launchers.

    Raises:
        Superseded: A launcher of a higher epoch has written to the ledger.
    """
    token = runtime.token()
    while True:
        # What is over stays over: a launcher also comes only to write down that the last workers are gone.
        fence = LedgerRecord(epoch, token, fence=True, finished=state.said_finished)
        if state.epoch > epoch:
            raise Superseded(f"campaign {runtime.campaign!r} is driven by a launcher of epoch {state.epoch} already")
        if runtime.append(runtime.keys.ledger, fence, number=state.ledger_number + 1) is None:
            break
        follow_ledger(runtime, state)
    state.apply_ledger(state.ledger_number + 1, fence, now=runtime.clock.monotonic())
