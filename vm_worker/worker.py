"""Puts the activities of a worker together and sees them to their end.

main thread    signals, timers, departure
notices        watches whether the machine is taken back
inbox          reads what the launcher says
slot-1 …       run attempts
watch          limits them
log-upload     uploads what long ones print
checkpoint-…   of one attempt each: saves what its job keeps for the next
outbox         tells what happened
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment, AttemptRef, Hello, InboxRecord, WorkerPolicy
from gliderport_prefect.protocol.resources import Offer
from vm_worker import tree
from vm_worker.admission import find_objection
from vm_worker.attempt import Attempt, Ending
from vm_worker.departure import Departure, Haste, Leave
from vm_worker.execution import Workshop, discard_ahead, run_attempt, start_ahead
from vm_worker.exits import Exit
from vm_worker.health import StoreHealth
from vm_worker.inbox import Inbox
from vm_worker.log_upload import LogUpload
from vm_worker.logbook import Event, note, note_defect
from vm_worker.news import NewsDesk
from vm_worker.notices import Notice
from vm_worker.notices_watch import NoticeSource, NoticeWatch
from vm_worker.outbox import Outbox, OutboxPlace
from vm_worker.result import Result, write_late_report, write_report
from vm_worker.signals import Bell
from vm_worker.slots import Slots, Trade
from vm_worker.waiting import ref_of
from vm_worker.watch import Watch

_GOODBYE_SECONDS = 30.0
_ENDING_TICK_SECONDS = 0.1
_TICK_SECONDS = 1.0


class Worker:
    """One session, from hello to goodbye."""

    def __init__(self, shop: Workshop, place: OutboxPlace, *, policy: WorkerPolicy, offer: Offer) -> None:
        self._shop = shop
        self._place = place
        self._policy = policy
        self._offer = offer
        self._bell = Bell()
        self._news = NewsDesk()
        self._reading = StoreHealth(policy.store_patience_seconds)
        self._writing = StoreHealth(policy.store_patience_seconds)
        self._departure = Departure(policy)
        self._outbox = Outbox(place, self._news, health=self._writing, heartbeat_seconds=policy.heartbeat_seconds)
        self._inbox = Inbox(place.store, place.keys.inbox(place.session), health=self._reading, act=self._act)
        trade = Trade(
            run=partial(run_attempt, shop=shop),
            start_ahead=partial(start_ahead, shop=shop),
            discard=partial(discard_ahead, shop=shop),
        )
        self._slots = Slots(offer, self._news, trade=trade)
        self._watch = Watch(self._slots.running, shop.oom)
        self._log_upload = LogUpload(shop.store, self._slots.running)
        self._slots.on_low_queue = self._inbox.hurry
        self._slots.on_start = self._watch.wake_if_idle
        self._slots.on_empty = self._wake_if_leaving

    def greet(self, hello: Hello) -> None:
        """Say hello to the launcher."""
        self._outbox.send_hello(hello)
        note(Event.HELLO, "the session has begun", session=self._place.session, replaces=hello.replaces)

    def watch_for_notices(self, source: NoticeSource) -> None:
        """Watch from now on whether this machine is taken back."""
        if source.choice != "off":
            watch = NoticeWatch(source, foresee=self._foresee, has_gpus=self._offer.gpus > 0)
            threading.Thread(target=watch.run_forever, name="notices", daemon=True).start()

    def run(self) -> int:
        """Work until there is a reason to leave; return the exit code."""
        tree.become_reaper()
        self._bell.listen()
        self._start_threads()
        while not (self._departure.leave.haste and self._slots.is_empty):
            self._check_for_reasons()
            leave = self._departure.take_change()
            if leave is not None:
                self._make_haste(leave)
            if self._departure.is_overdue(time.monotonic()):
                break
            self._take_signal(self._bell.wait(self._wait_seconds()))
        return self._say_goodbye(self._departure.leave)

    def linger(self, seconds: float) -> None:
        """After a notice, let the process stay until its machine goes, is not taken after all, or a signal comes.

        Whoever sees it end (SkyPilot) would start it again, on the machine that is about to go.
        """
        until = self._departure.linger_until(seconds)
        if until is None:
            return
        note(Event.LINGERING, "waits for the end of its machine", seconds=round(until - time.monotonic(), 1))
        while time.monotonic() < until and self._bell.wait(until - time.monotonic()) is None:
            pass

    def _start_threads(self) -> None:
        loops: dict[str, Callable[[], None]] = {
            "inbox": partial(self._inbox.run, self._slots.is_sated),
            "watch": self._watch.run_forever,
            "log-upload": self._log_upload.run_forever,
            "outbox": self._outbox.run,
            "stale-scratch": self._shop.scratch.remove_stale_sessions,
        }
        for name, loop in loops.items():
            threading.Thread(target=self._guard, args=(loop,), name=name, daemon=True).start()

    def _guard(self, loop: Callable[[], None]) -> None:
        """Let a defect of one thread end the worker: without any of them it would be a trap for jobs."""
        try:
            loop()
        except Exception as error:  # noqa: BLE001 - whatever it is
            note_defect(error)
            self._demand(Leave(Haste.KILLING, f"a defect of the worker: {error!r}", Exit.CRASHED))

    # --- what the launcher says, in the inbox thread

    def _act(self, number: int, record: InboxRecord | None) -> None:
        if record is not None:
            self._take_assignments(record.assign)
            self._hand_back(self._slots.hand_back(record.recall))
            for ref in record.cancel:
                self._cancel(ref)
            if record.dead:
                self._demand(Leave(Haste.VANISHING, "the launcher has given this session up"))
            elif record.drain:
                self._demand(Leave(Haste.DRAINING, "the launcher asked it to leave"))
        self._news.tell_read(number, queued=self._slots.queued)

    def _take_assignments(self, assignments: Sequence[Assignment]) -> None:
        fitting: list[Assignment] = []
        for each in assignments:
            objection = find_objection(each, offer=self._offer, environment=self._shop.environment)
            if objection is None:
                fitting.append(each)
            else:
                self._tell_unstarted(each, Result(Outcome.REJECTED, objection))
        self._hand_back([ref_of(each) for each in self._slots.accept(fitting)])

    def _cancel(self, ref: AttemptRef) -> None:
        waiting = self._slots.end(ref, Ending(Outcome.CANCELLED, "cancelled"))
        if waiting is not None:
            self._tell_unstarted(waiting, Result(Outcome.CANCELLED, "cancelled before it started"))
        self._watch.look_now()

    def _tell_unstarted(self, assignment: Assignment, result: Result) -> None:
        self._news.tell_finished(write_report(Attempt(assignment, ()), result), ref=None)

    def _hand_back(self, refs: Sequence[AttemptRef]) -> None:
        if refs:
            self._news.tell_returned(refs, queued=self._slots.queued)

    # --- leaving, in the main thread

    def _demand(self, leave: Leave) -> None:
        self._departure.demand(leave)
        self._bell.ring()

    def _foresee(self, notice: Notice | None) -> None:
        self._departure.foresee(notice)
        self._bell.ring()

    def _wake_if_leaving(self) -> None:
        if self._departure.leave.haste:
            self._bell.ring()

    def _check_for_reasons(self) -> None:
        if self._reading.is_lost or self._writing.is_lost:
            patience = self._policy.store_patience_seconds
            self._departure.demand(
                Leave(Haste.VANISHING, f"the bucket did not answer for {patience:g} s", Exit.STORE_LOST)
            )
        if self._inbox.failure is not None:
            self._departure.demand(Leave(Haste.DRAINING, str(self._inbox.failure), Exit.MISTAKE))
        if self._outbox.failure is not None:
            self._departure.demand(Leave(Haste.VANISHING, str(self._outbox.failure), Exit.MISTAKE))
        self._departure.demand_by_clock(now=time.monotonic(), idle_since=self._idle_since())

    def _idle_since(self) -> float | None:
        return self._slots.last_busy if self._slots.is_empty else None

    def _wait_seconds(self) -> float:
        if self._departure.leave.haste > Haste.DRAINING:
            return _ENDING_TICK_SECONDS
        deadline = self._departure.next_deadline(now=time.monotonic(), idle_since=self._idle_since())
        return min(_TICK_SECONDS, deadline)

    def _take_signal(self, number: signal.Signals | None) -> None:
        if number is not None:
            self._departure.demand_by_signal(number.name)

    def _make_haste(self, leave: Leave) -> None:
        note(Event.DRAINING, leave.reason, haste=leave.haste.name)
        self._outbox.draining = leave.reason
        self._outbox.is_silent = leave.haste is Haste.VANISHING
        self._hand_back(self._slots.close())
        running, at_once = self._slots.running(), leave.haste >= Haste.KILLING
        if running:
            self._news.tell_leaving()
        if leave.haste >= Haste.ENDING:
            graces = [0.0 if at_once else each.spec.grace_seconds for each in running]
            saves = [0.0 if at_once else each.save_seconds for each in running]
            self._departure.begin_ending(max(map(sum, zip(graces, saves, strict=True)), default=0.0))
            for each, grace_seconds, save_seconds in zip(running, graces, saves, strict=True):
                each.limit(self._departure.grant(grace_seconds, save_seconds=save_seconds))
            self._slots.end_all(Ending(Outcome.PREEMPTED, leave.reason), at_once=at_once)
            self._watch.look_now()

    def _say_goodbye(self, leave: Leave) -> int:
        self._inbox.stop()
        for each in self._slots.abandon():
            self._news.tell_finished(write_late_report(each, leave.reason), ref=each.ref)
        if leave.haste is not Haste.VANISHING:
            patience = _GOODBYE_SECONDS if leave.haste >= Haste.ENDING else self._policy.store_patience_seconds
            self._outbox.close(leave.reason, timeout_seconds=patience)
        note(Event.GOODBYE, leave.reason, exit=int(leave.exit))
        return leave.exit
