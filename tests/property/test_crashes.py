"""Launchers and workers that crash, freeze and come back at every request lose nothing and count nothing twice."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import RequestKind
from tests.property.world import DEAD_SECONDS, Crew, Driver, Fault, World
from tests.simulated import SimulatedWorker

EXAMPLES = int(os.environ.get("GLIDERPORT_CRASH_EXAMPLES", "150"))

_OUTCOMES = st.sampled_from(
    [
        Outcome.SUCCEEDED,
        Outcome.SUCCEEDED,
        Outcome.FAILED,
        Outcome.TIMED_OUT,
        Outcome.OUT_OF_MEMORY,
        Outcome.PREEMPTED,
        Outcome.INPUT_MISSING,
    ]
)
_INDEX = st.integers(0, 7)


class Campaign(RuleBasedStateMachine):
    """Whatever the schedule, a tail without faults brings every job to exactly one end."""

    def __init__(self) -> None:
        """Begin a campaign."""
        super().__init__()
        self.world = World()

    @initialize(count=st.integers(1, 4), retries=st.integers(0, 2))
    def begin(self, count: int, retries: int) -> None:
        self.world.submit(count, retries=retries, memory_bytes=0, priority=0)
        self.world.start_worker("worker-0001", cpus=2, memory_bytes=2**30, knows_predecessor=True)
        self.world.take_over(Fault())

    # --- all together: what happens between two faults ---

    @rule(outcomes=st.lists(st.none() | _OUTCOMES, min_size=1, max_size=3), goes_on=st.integers(0, 2))
    def live_on(self, outcomes: list[Outcome | None], goes_on: int) -> None:
        world = self.world
        for outcome in outcomes:
            world.behaviour = lambda _, ends=outcome: ends
            for driver in world.drivers[-1:]:
                world.round(driver)
            for crew in world.crews:
                world.act(crew, SimulatedWorker.turn, Fault())
        for driver in world.drivers[-1:] if goes_on else []:
            world.drive(driver, lambda launcher: launcher.settle(world.gone_sessions()), Fault())
        for driver in world.drivers[-1:] if goes_on > 1 else []:
            world.drive(driver, lambda launcher: launcher.hand_out(), Fault())

    @rule(snapshots=st.booleans())
    def replace_launcher(self, *, snapshots: bool) -> None:
        for driver in self.world.drivers[-1:] if snapshots else []:
            self.world.snapshot(driver, Fault())
        self._make_room()
        self.world.take_over(Fault())

    # --- people ---

    @rule(count=st.integers(1, 3), memory_bytes=st.sampled_from([0, 2**28]), priority=st.integers(0, 1))
    def submit(self, count: int, memory_bytes: int, priority: int) -> None:
        self.world.submit(count, retries=1, memory_bytes=memory_bytes, priority=priority)

    @rule(kind=st.sampled_from([RequestKind.CANCEL, RequestKind.RETRY]), first=_INDEX, last=st.integers(-1, 7))
    def ask(self, kind: RequestKind, first: int, last: int) -> None:
        self.world.ask(kind, first, last)

    @rule(seconds=st.sampled_from([1.0, DEAD_SECONDS / 2, DEAD_SECONDS * 1.5]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.drivers)
    @rule(looks=st.integers(2, 5))
    def hear_nothing(self, looks: int) -> None:
        """Let a launcher listen for so long that silent sessions are lost, those with jobs first."""
        for driver in self.world.drivers[-1:]:
            for _ in range(looks):
                self.world.pass_time(DEAD_SECONDS / 2)
                self.world.drive(driver, lambda launcher: launcher.settle(self.world.gone_sessions()), Fault())

    # --- launchers ---

    @rule(data=st.data())
    def take_over(self, data: st.DataObject) -> None:
        self._make_room()
        self.world.take_over(self._fault(data))

    @precondition(lambda self: self.world.drivers)
    @rule(data=st.data(), which=_INDEX)
    def round(self, data: st.DataObject, which: int) -> None:
        self.world.round(self._driver(which), self._fault(data))

    @precondition(lambda self: self.world.drivers)
    @rule(data=st.data(), which=_INDEX, step=st.sampled_from(["requests", "settle", "hand out", "snapshot", "drain"]))
    def step(self, data: st.DataObject, which: int, step: str) -> None:
        world, driver, fault = self.world, self._driver(which), self._fault(data)
        if step == "requests":
            world.drive(driver, lambda launcher: launcher.follow_requests(), fault)
        elif step == "settle":
            world.drive(driver, lambda launcher: launcher.settle(world.gone_sessions()), fault)
        elif step == "hand out":
            world.drive(driver, lambda launcher: launcher.hand_out(), fault)
        elif step == "snapshot":
            world.snapshot(driver, fault)
        else:
            world.drive(driver, lambda launcher: launcher.drain(list(launcher.state.sessions.values())[:1]), fault)

    @precondition(lambda self: self.world.drivers)
    @rule(which=_INDEX)
    def kill_launcher(self, which: int) -> None:
        self.world.drop(self._driver(which))

    # --- workers ---

    @rule(
        number=st.integers(1, 3),
        cpus=st.integers(1, 2),
        memory_bytes=st.sampled_from([2**29, 2**30]),
        knows_predecessor=st.booleans(),
    )
    def start_worker(self, number: int, cpus: int, memory_bytes: int, *, knows_predecessor: bool) -> None:
        self.world.start_worker(
            f"worker-{number:04d}", cpus=cpus, memory_bytes=memory_bytes, knows_predecessor=knows_predecessor
        )

    @precondition(lambda self: self.world.crews)
    @rule(data=st.data(), which=_INDEX, outcome=st.none() | _OUTCOMES)
    def work(self, data: st.DataObject, which: int, outcome: Outcome | None) -> None:
        self.world.behaviour = lambda _: outcome
        self.world.act(self._crew(which), SimulatedWorker.turn, self._fault(data))

    @precondition(lambda self: self.world.crews)
    @rule(data=st.data(), which=_INDEX)
    def only_read(self, data: st.DataObject, which: int) -> None:
        self.world.act(self._crew(which), SimulatedWorker.read_inbox, self._fault(data))

    @precondition(lambda self: self.world.crews)
    @rule(data=st.data(), which=_INDEX, outcome=_OUTCOMES)
    def finish(self, data: st.DataObject, which: int, outcome: Outcome) -> None:
        self.world.finish(self._crew(which), outcome, self._fault(data))

    @precondition(lambda self: self.world.crews)
    @rule(which=_INDEX)
    def heartbeat(self, which: int) -> None:
        self.world.act(self._crew(which), SimulatedWorker.write, Fault())

    @precondition(lambda self: self.world.crews)
    @rule(data=st.data(), which=_INDEX)
    def drain_itself(self, data: st.DataObject, which: int) -> None:
        self.world.act(self._crew(which), lambda worker: worker.drain("preemption notice"), self._fault(data))

    @precondition(lambda self: self.world.crews)
    @rule(which=_INDEX)
    def kill_worker(self, which: int) -> None:
        self._crew(which).is_gone = True

    def teardown(self) -> None:
        """Bring the campaign to rest and look for what is wrong."""
        state = self.world.come_to_rest()
        found = self.world.audit(state)
        assert not found, "\n".join(found)

    # --- draws ---

    def _make_room(self) -> None:
        if len(self.world.drivers) > 2:
            self.world.drop(self.world.drivers[0])

    def _driver(self, which: int) -> Driver:
        return self.world.drivers[which % len(self.world.drivers)]

    def _crew(self, which: int) -> Crew:
        return self.world.crews[which % len(self.world.crews)]

    def _fault(self, data: st.DataObject) -> Fault:
        kind = data.draw(st.sampled_from(["none", "crash", "lost", "meanwhile"]), label="fault")
        if kind == "none":
            return Fault()
        at = data.draw(st.integers(0, 6), label="at request")
        if kind != "meanwhile":
            return Fault(at, kind)
        return Fault(at, kind, data.draw(st.sampled_from([self._others_take_over, self._workers_work]), label="others"))

    def _others_take_over(self) -> None:
        self._make_room()
        self.world.take_over(Fault())
        if self.world.drivers:
            self.world.round(self.world.drivers[-1])

    def _workers_work(self) -> None:
        for crew in list(self.world.crews):
            self.world.act(crew, SimulatedWorker.turn, Fault())


TestCrashes = Campaign.TestCase
TestCrashes.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
