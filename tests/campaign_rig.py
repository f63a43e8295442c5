"""A campaign in a bucket with a clock that tests turn, for tests of launchers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gliderport_prefect.campaign.replay import read_log
from gliderport_prefect.campaign.runtime import Clock, Runtime
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.launcher import Launcher, take_over
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import CampaignId, JobId, JobNumber
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment
from gliderport_prefect.protocol.records import Campaign, LauncherPolicy, LedgerRecord, Run, SpecChunkHeader, timestamp
from gliderport_prefect.store import Store, open_store

Item = TypeVar("Item")
Result = TypeVar("Result")

KEYS = CampaignKeys(CampaignId("storm"))


@dataclass
class TurnedClock:
    """Time that passes only when a test says so, or when somebody sleeps."""

    now: float = 1000.0

    def clock(self) -> Clock:
        """Return it as the code under test takes it."""
        return Clock(monotonic=lambda: self.now, wall=lambda: self.now, sleep=self.advance)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class OneByOneRuntime(Runtime):
    """A runtime whose requests go one after the other, so that a schedule can be repeated exactly."""

    def in_parallel(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply the function to all items in order."""
        return [function(item) for item in items]


@dataclass
class Bucket:
    """One campaign and what a test does to it."""

    store: Store = field(default_factory=lambda: open_store("memory://"))
    time: TurnedClock = field(default_factory=TurnedClock)

    def begin(self, policy: LauncherPolicy | None = None) -> None:
        """Create the campaign."""
        campaign = Campaign(KEYS.campaign, "t", timestamp(0), launcher=policy or LauncherPolicy())
        self.store.create(KEYS.identity, codec.encode(campaign))

    def runtime(self, store: Store | None = None) -> Runtime:
        """Return somebody's access to it."""
        return OneByOneRuntime(store or self.store, KEYS, self.time.clock())

    def take_over(self, store: Store | None = None) -> Launcher:
        """Return a new launcher."""
        runtime = self.runtime(store)
        return take_over(runtime, SpecReader(runtime.store, KEYS).spec_of)

    def listen(self, launcher: Launcher, seconds: float) -> None:
        """Let that time pass while the launcher looks every second."""
        end = self.time.now + seconds
        while self.time.now < end:
            self.time.advance(min(1.0, end - self.time.now))
            launcher.settle({})

    def ledger(self) -> list[LedgerRecord]:
        """Return the ledger."""
        return [record for _, record in read_log(self.runtime(), LedgerRecord, log=KEYS.ledger, start=1)]

    def submit(self, specs: Iterable[JobSpec]) -> None:
        """Write a chunk of specs, as a submitter does, without telling anybody."""
        write_chunk(self.store, list(specs))


def write_chunk(store: Store, specs: list[JobSpec]) -> None:
    """Append a chunk of specs to the log."""
    standing = store.list(KEYS.specs)
    first = 0
    for stored in standing:
        data = store.get(stored.key) or b""
        first += codec.decode(SpecChunkHeader, data.partition(b"\n")[0], where=stored.key).count
    runs = tuple(Run(1, spec.priority, spec.resources) for spec in specs)
    header = SpecChunkHeader(secrets.token_hex(8), JobNumber(first), len(specs), runs)
    lines = [codec.encode(header), *(codec.encode(spec) for spec in specs)]
    taken = store.create(f"{KEYS.specs}/{number_segment(len(standing) + 1)}", b"\n".join(lines) + b"\n")
    assert taken is None


def job_specs(count: int, *, first: int = 0, **changes: object) -> list[JobSpec]:
    """Return that many specs, alike but for their ids."""
    return [JobSpec(id=JobId(f"job-{n:04d}"), run="true", **changes) for n in range(first, first + count)]  # pyright: ignore[reportArgumentType]
