"""A campaign with launchers, workers and people, any of which may crash or freeze between any two requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gliderport_prefect.campaign.replay import read_log, replay, write_snapshot
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.errors import StoreUnreachable, Superseded
from gliderport_prefect.lifecycle.launcher import Launcher
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobNumber, SessionId, WorkerName
from gliderport_prefect.protocol.machines import Machine, WorkerState
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptReport,
    InboxRecord,
    LauncherPolicy,
    OutboxRecord,
    RequestKind,
    Sighting,
    Span,
)
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.store import Store, StoredObject
from tests.campaign_rig import KEYS, Bucket, job_specs
from tests.property.audit import LedgerAudit, compare_states
from tests.simulated import SimulatedWorker, report_of

Answer = TypeVar("Answer")

DEAD_SECONDS = 10.0
LOSS_LIMIT = 3


@dataclass
class Fault:
    """What happens at which request of a step: 0 is its first; nothing when the step has fewer."""

    at: int = 0
    kind: str = "none"
    """none; crash: dies before the request; lost: dies after it took effect; meanwhile: others act first."""
    meanwhile: Callable[[], None] = lambda: None


class FaultyStore:
    """One actor's view of the bucket."""

    def __init__(self, inner: Store) -> None:
        """Pass everything on until told otherwise."""
        self._inner = inner
        self._fault = Fault()
        self._request = 0
        self.on_create: Callable[[str, bytes], None] = lambda _key, _data: None

    @property
    def url(self) -> str:
        """The bucket."""
        return self._inner.url

    def arm(self, fault: Fault) -> None:
        """Count the requests from here on."""
        self._fault, self._request = fault, 0

    def create(self, key: str, data: bytes) -> bytes | None:
        """Create, with the fault."""
        self._before()
        self.on_create(key, data)
        return self._after(self._inner.create(key, data))

    def get(self, key: str) -> bytes | None:
        """Get, with the fault."""
        self._before()
        return self._after(self._inner.get(key))

    def list(self, prefix: str = "") -> list[StoredObject]:
        """List, with the fault."""
        self._before()
        return self._after(self._inner.list(prefix))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete, with the fault."""
        self._before()
        self._inner.delete(keys)
        self._after(None)

    def upload_file(self, path: Path, key: str) -> int:
        """Pass on; the control protocol does not use it."""
        return self._inner.upload_file(path, key)

    def download_file(self, key: str, path: Path) -> int:
        """Pass on; the control protocol does not use it."""
        return self._inner.download_file(key, path)

    def size_bytes_of(self, key: str) -> int | None:
        """Pass on; the control protocol does not use it."""
        return self._inner.size_bytes_of(key)

    def _before(self) -> None:
        if self._request != self._fault.at:
            return
        if self._fault.kind == "crash":
            raise StoreUnreachable("crashed before a request")
        if self._fault.kind == "meanwhile":
            fault, self._fault = self._fault, Fault()
            fault.meanwhile()

    def _after(self, answer: Answer) -> Answer:
        self._request += 1
        if self._request - 1 == self._fault.at and self._fault.kind == "lost":
            raise StoreUnreachable("crashed after a request")
        return answer


@dataclass
class Driver:
    """A launcher and its view of the bucket."""

    launcher: Launcher
    store: FaultyStore
    is_acting: bool = False


@dataclass
class Crew:
    """A worker process and its view of the bucket."""

    worker: SimulatedWorker
    store: FaultyStore
    is_gone: bool = False
    is_acting: bool = False


@dataclass
class World:
    """Everybody."""

    bucket: Bucket = field(default_factory=Bucket)
    drivers: list[Driver] = field(default_factory=list[Driver])
    crews: list[Crew] = field(default_factory=list[Crew])
    behaviour: Callable[[Assignment], Outcome | None] = lambda _: Outcome.SUCCEEDED
    jobs: int = 0
    errors: list[str] = field(default_factory=list[str])
    succeeded: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    faults: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        """Begin the campaign."""
        self.bucket.begin(LauncherPolicy(dead_seconds=DEAD_SECONDS, loss_limit=LOSS_LIMIT))

    # --- people -------------------------------------------------------------------------------------------------

    def submit(self, count: int, *, retries: int, memory_bytes: int, priority: int) -> None:
        """Add jobs."""
        needs = Resources(memory_bytes=memory_bytes)
        specs = job_specs(count, first=self.jobs, retries=retries, resources=needs, priority=priority)
        self.bucket.submit(specs)
        self.jobs += count
        self.ask(RequestKind.SUBMITTED)

    def ask(self, kind: RequestKind, first: int = 0, last: int = -1) -> None:
        """Ask for something, of all jobs when no number is given."""
        spans = [Span(JobNumber(first), JobNumber(last))] if last >= 0 else []
        append_request(self.bucket.runtime(), kind, jobs=spans)

    def pass_time(self, seconds: float) -> None:
        """Let time pass for all."""
        self.bucket.time.advance(seconds)

    # --- launchers ----------------------------------------------------------------------------------------------

    def take_over(self, fault: Fault) -> None:
        """Start a launcher."""
        store = FaultyStore(self.bucket.store)
        store.arm(fault)
        try:
            launcher = self.bucket.take_over(store)
        except StoreUnreachable:
            self.faults["launcher died as it took over"] += 1
            return
        except Superseded:
            self.faults["launcher superseded as it took over"] += 1
            return
        store.on_create = lambda key, data: self._check_assignments(launcher, key, data)
        self.drivers.append(Driver(launcher, store))
        self.check_view(launcher)

    def check_view(self, launcher: Launcher) -> None:
        """Compare what a launcher that has just taken over thinks of the living workers with what they have."""
        ledger = self.bucket.ledger()
        if ledger[-1].epoch != launcher.epoch:
            return
        known = LedgerAudit(self.succeeded)
        known.run(ledger, launcher.state)
        for session in launcher.state.sessions.values():
            crew = next(each for each in self.crews if each.worker.session == session.id)
            claimed = {(job, held.attempt) for job, held in session.held.items()}
            phantoms = claimed - self._attempts_of(crew.worker)
            if phantoms and not crew.is_gone and not crew.is_acting:
                self.errors.append(f"epoch {launcher.epoch} thinks that {session.id} has {phantoms}")
            started = {job for job, held in session.held.items() if held.started}
            if started != {job for name, job in known.running if name == session.id}:
                self.errors.append(f"epoch {launcher.epoch} thinks that {started} run at {session.id}")

    def _attempts_of(self, worker: SimulatedWorker) -> set[tuple[int, str]]:
        """Return the attempts that a worker has, will read of, or has told of to nobody yet."""
        runtime, found = self.bucket.runtime(), set(worker.running)
        found.update((each.job, each.attempt) for each in worker.queue)
        for _, unread in read_log(runtime, InboxRecord, log=KEYS.inbox(worker.session), start=worker.read + 1):
            found.update((each.job, each.attempt) for each in unread.assign)
        for stored in runtime.store.list(KEYS.outbox):
            if KEYS.parse_outbox(stored.key)[0] == worker.session:
                said = runtime.read(OutboxRecord, stored.key)
                assert said is not None
                found.update((each.job, each.attempt) for each in (*said.finished, *said.returned))
        return found

    def drive(self, driver: Driver, step: Callable[[Launcher], object], fault: Fault) -> None:
        """Let a launcher do one of its steps."""
        if driver.is_acting:
            return
        driver.store.arm(fault)
        driver.is_acting = True
        try:
            step(driver.launcher)
        except StoreUnreachable:
            self.faults["launcher died"] += 1
            self.drop(driver)
        except Superseded:
            self.faults["launcher superseded"] += 1
            self.drop(driver)
        driver.is_acting = False
        driver.store.arm(Fault())

    def drop(self, driver: Driver) -> None:
        """Kill a launcher."""
        if driver in self.drivers:
            self.drivers.remove(driver)

    def round(self, driver: Driver, fault: Fault | None = None) -> None:
        """Let a launcher go once through all of its steps."""
        steps: list[Callable[[Launcher], object]] = [
            lambda launcher: launcher.follow_requests(),
            lambda launcher: launcher.note_workers(self.sightings()),
            lambda launcher: launcher.settle(self.gone_sessions()),
            lambda launcher: launcher.hand_out(),
        ]
        for step in steps:
            if driver in self.drivers:
                self.drive(driver, step, fault or Fault())

    def sightings(self) -> list[Sighting]:
        """Return what the site says of all workers: one machine each, at a price of its own."""
        looked = {
            name: Sighting(
                worker=name,
                state=WorkerState.GONE if crew.is_gone else WorkerState.RUNNING,
                seen_at="",
                machine=Machine("cluster", price_per_hour=float(number)),
            )
            for number, crew in enumerate(self.crews)
            for name in [WorkerName(crew.worker.name)]
        }
        return list(looked.values())

    def snapshot(self, driver: Driver, fault: Fault) -> None:
        """Let a launcher write a snapshot."""
        self.drive(driver, lambda launcher: write_snapshot(launcher.runtime, launcher.state), fault)

    def gone_sessions(self) -> dict[SessionId, str]:
        """Return what the site says of workers that are gone; not all are noticed."""
        return {crew.worker.session: "gone" for crew in self.crews if crew.is_gone and crew.worker.name.endswith("1")}

    def _check_assignments(self, launcher: Launcher, key: str, data: bytes) -> None:
        if not key.startswith(KEYS.inboxes):
            return
        record = codec.decode(InboxRecord, data, where=key)
        holders = launcher.state.sessions.values()
        for each in record.assign:
            if launcher.state.jobs.has_ended(each.job):
                self.errors.append(f"{key} assigns job {each.job}, which has ended")
            if any(each.job in session.held for session in holders):
                self.errors.append(f"{key} assigns job {each.job}, which another session has")

    # --- workers ------------------------------------------------------------------------------------------------

    def start_worker(self, name: str, *, cpus: int, memory_bytes: int, knows_predecessor: bool) -> None:
        """Start a worker process; an earlier one of that name is gone."""
        earlier = [crew for crew in self.crews if crew.worker.name == name]
        replaces = earlier[-1].worker.session if earlier and knows_predecessor else None
        store = FaultyStore(self.bucket.store)
        offer = Offer(cpus=cpus, memory_bytes=memory_bytes, disk_bytes=2**30)
        worker = SimulatedWorker(self.bucket.runtime(store), name, offer, run=self._run, replaces=replaces)
        worker.say_hello()
        self.crews.append(Crew(worker, store))

    def act(self, crew: Crew, step: Callable[[SimulatedWorker], None], fault: Fault) -> None:
        """Let a worker do something, unless it has left."""
        if crew.is_gone or crew.is_acting or crew.worker.ended is not None:
            return
        crew.store.arm(fault)
        crew.is_acting = True
        try:
            step(crew.worker)
        except StoreUnreachable:
            self.faults["worker died"] += 1
            crew.is_gone = True
        crew.is_acting = False
        crew.store.arm(Fault())

    def _run(self, assignment: Assignment) -> AttemptReport | None:
        outcome = self.behaviour(assignment)
        if outcome is None:
            return None
        self._note(assignment, outcome)
        return report_of(assignment, outcome)

    def finish(self, crew: Crew, outcome: Outcome, fault: Fault) -> None:
        """Let the worker's oldest running attempt end."""
        if not crew.is_acting:
            for attempt in list(crew.worker.running.values())[:1]:
                self._note(attempt, outcome)
        self.act(crew, lambda worker: worker.finish(outcome, most=1), fault)

    def _note(self, assignment: Assignment, outcome: Outcome) -> None:
        if outcome is Outcome.SUCCEEDED:
            self.succeeded.add((assignment.job, assignment.attempt))

    # --- the end ------------------------------------------------------------------------------------------------

    def come_to_rest(self) -> CampaignState:
        """Let a last launcher and all that live go on without faults until nothing changes; return its state."""
        self.behaviour = lambda _: Outcome.SUCCEEDED
        self.take_over(Fault())
        last = self.drivers[-1]
        self.start_worker("worker-9990", cpus=2, memory_bytes=2**31, knows_predecessor=True)
        for _ in range(40):
            self.round(last)
            for crew in self.crews:
                while crew.worker.running and not (crew.is_gone or crew.worker.ended):
                    self.finish(crew, Outcome.SUCCEEDED, Fault())
                self.act(crew, SimulatedWorker.turn, Fault())
            self.act(self.crews[-1], SimulatedWorker.write, Fault())
            self.pass_time(DEAD_SECONDS / 3)
            if self.is_resting(last):
                break
        self.round(last)
        assert last in self.drivers, "the last launcher was superseded"
        return last.launcher.state

    def is_resting(self, driver: Driver) -> bool:
        """Say whether every job has ended and every dead process has been noticed."""
        state = driver.launcher.state
        gone = {crew.worker.session for crew in self.crews if crew.is_gone or crew.worker.ended}
        return not state.jobs.unfinished and not gone & state.sessions.keys()

    def audit(self, state: CampaignState) -> list[str]:
        """Return what is wrong with the campaign that has come to rest."""
        found = list(self.errors)
        unfinished = list(state.jobs.in_state(JobState.QUEUED, JobState.ASSIGNED, JobState.RUNNING))
        if unfinished:
            found.append(f"jobs {unfinished} never end: {[state.jobs.state(job) for job in unfinished]}")
        if len(state.jobs) != self.jobs or sum(state.jobs.counts().values()) != self.jobs:
            found.append(f"{self.jobs} jobs were submitted, {state.jobs.counts()} are counted")
        left = [stored.key for stored in self.bucket.store.list(KEYS.outbox)]
        if left:
            found.append(f"unread: {left}")
        found += LedgerAudit(self.succeeded).run(self.bucket.ledger(), state)
        found += self._audit_replay(state)
        return found

    def _audit_replay(self, state: CampaignState) -> list[str]:
        """Compare the launcher's state with what others make of the bucket, with and without snapshots."""
        runtime = self.bucket.runtime()
        found = compare_states("replay", replay(runtime), expected=state)
        runtime.store.delete([stored.key for stored in runtime.store.list(KEYS.snapshots)])
        return found + compare_states("replay without snapshot", replay(runtime), expected=state)
