"""Attempts that save side by side and fail at every request: the next one always begins with a state that was saved."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gliderport_prefect.errors import StoreUnreachable
from gliderport_prefect.store import Store, StoredObject, open_store
from tests.checkpoint_rig import JOB, KEYS, Machine, Run, State
from vm_worker.checkpoint_shelf import Stale

EXAMPLES = int(os.environ.get("GLIDERPORT_CRASH_EXAMPLES", "150")) // 3

Answer = TypeVar("Answer")


@dataclass
class Fault:
    """What happens at which request from now on: 0 is the next; nothing when there are fewer."""

    at: int = 0
    kind: str = "none"
    """none; before: it fails without effect; after: it fails although it took effect; half: a delete that stops in the
    middle; meanwhile: somebody else acts first."""
    meanwhile: Callable[[], None] = lambda: None


class FailingStore:
    """One attempt's view of the bucket."""

    def __init__(self, inner: Store) -> None:
        """Pass everything on until told otherwise."""
        self._inner = inner
        self._lock = threading.Lock()
        self._fault = Fault()
        self._requests = 0
        self.has_created = False

    @property
    def url(self) -> str:
        """The bucket."""
        return self._inner.url

    def arm(self, fault: Fault) -> None:
        """Count the requests from here on."""
        self._fault, self._requests = fault, 0

    def create(self, key: str, data: bytes) -> bytes | None:
        """Create, with the fault."""
        standing = self._with_fault(lambda: self._inner.create(key, data))
        self.has_created = self.has_created or standing is None
        return standing

    def get(self, key: str) -> bytes | None:
        """Get, with the fault."""
        return self._with_fault(lambda: self._inner.get(key))

    def list(self, prefix: str = "") -> list[StoredObject]:
        """List, with the fault."""
        return self._with_fault(lambda: self._inner.list(prefix))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete, with the fault."""
        self._with_fault(lambda: self._inner.delete(keys), half=lambda: self._inner.delete(keys[::2]))

    def upload_file(self, path: Path, key: str) -> int:
        """Upload, with the fault."""
        return self._with_fault(lambda: self._inner.upload_file(path, key))

    def download_file(self, key: str, path: Path) -> int:
        """Download, with the fault."""
        return self._with_fault(lambda: self._inner.download_file(key, path))

    def size_bytes_of(self, key: str) -> int | None:
        """Look, with the fault."""
        return self._with_fault(lambda: self._inner.size_bytes_of(key))

    def _with_fault(self, request: Callable[[], Answer], half: Callable[[], object] | None = None) -> Answer:
        with self._lock:
            number, self._requests = self._requests, self._requests + 1
        fault = self._fault
        if number != fault.at or fault.kind == "none":
            return request()
        if fault.kind == "meanwhile":
            fault.meanwhile()
            return request()
        if fault.kind == "after":
            request()
        if fault.kind == "half":
            (half or request)()
        raise StoreUnreachable(f"{fault.kind} request {number}")


@dataclass
class Attempt:
    """One attempt, and what it may have in the bucket."""

    run: Run
    store: FailingStore
    saved: State | None = None
    """What it knows to have saved."""
    perhaps: list[State] = field(default_factory=list[State])
    """What may have been saved since although it failed."""

    def save(self, fault: Fault) -> None:
        """Save, with a fault."""
        state = self.run.look()
        self.store.arm(fault)
        try:
            assert self.run.saver.save(), "nobody writes meanwhile"
        except Stale:
            self.perhaps.append(state)
        except StoreUnreachable:
            self.perhaps.append(state)
        else:
            # An attempt that has changed nothing has nothing there.
            if self.store.has_created:
                self.saved, self.perhaps = state, []
        finally:
            self.store.arm(Fault())


class Attempts(RuleBasedStateMachine):
    """Attempts of one job, the last of which is the one that counts."""

    def __init__(self) -> None:
        """Make an empty bucket and begin the first attempt."""
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.machine = Machine(Path(self._folder.name), open_store("memory://"))
        self.attempts: list[Attempt] = []
        self.begin(Fault())

    def begin(self, fault: Fault) -> None:
        store = FailingStore(self.machine.store)
        store.arm(fault)
        number, before = len(self.attempts) + 1, self.acceptable()
        try:
            run = self.machine.begin(f"{number}.1", store)
        except StoreUnreachable:
            return
        finally:
            store.arm(Fault())
        assert (run.look() if run.restored is not None else None) in before + self.acceptable()
        self.attempts.append(Attempt(run, store))

    def acceptable(self) -> list[State | None]:
        """Return what a reader may find: the newest of the last attempt that has saved."""
        found: list[State | None] = []
        for each in reversed(self.attempts):
            found += each.perhaps
            if each.saved is not None:
                return [*found, each.saved]
        return [*found, None]

    def pick(self, back: int) -> Attempt:
        return self.attempts[max(0, len(self.attempts) - 1 - back)]

    def fault(self, at: int, kind: str, back: int) -> Fault:
        return Fault(at, kind, lambda: self.pick(back).save(Fault()))

    @rule(back=st.integers(0, 1), name=st.sampled_from("abc"), content=st.integers(0, 3))
    def write(self, back: int, name: str, content: int) -> None:
        """Let a job go on: also one that is lost and does not know it."""
        self.pick(back).run.write(**{name: f"{content}"})

    @rule(back=st.integers(0, 1), name=st.sampled_from("abc"))
    def remove(self, back: int, name: str) -> None:
        """Let a job delete a file."""
        (self.pick(back).run.folder / name).unlink(missing_ok=True)

    @rule(back=st.integers(0, 2), at=st.integers(0, 12), kind=st.sampled_from(["none", "before", "after", "half"]))
    def save(self, back: int, at: int, kind: str) -> None:
        """Let an attempt save, with a fault."""
        self.pick(back).save(Fault(at, kind))

    @rule(at=st.integers(0, 12))
    def save_both(self, at: int) -> None:
        """Let the attempt before the last one save in the middle of a save of the last one."""
        if len(self.attempts) > 1:
            self.attempts[-1].save(self.fault(at, "meanwhile", 1))

    @rule()
    def save_undisturbed(self) -> None:
        """Save what differs from before: two checkpoints are left, and nothing else."""
        last = self.attempts[-1]
        last.run.write(new=f"content {self.machine.tell_moment()}")
        last.save(Fault())
        shelved = self.machine.shelf().list_newest_first()
        named = {file.key for each in shelved for file in each.record.files}
        assert len(shelved) <= 2
        assert {each.key for each in self.machine.store.list(KEYS.saved_files(JOB))} == named

    @rule(at=st.integers(0, 8), kind=st.sampled_from(["none", "none", "before", "after", "meanwhile"]))
    def begin_next(self, at: int, kind: str) -> None:
        """Begin the next attempt, which restores; the one before may be alive and save meanwhile."""
        self.begin(self.fault(at, kind, 0))

    @invariant()
    def the_next_attempt_would_begin_with_a_saved_state(self) -> None:
        """Whatever has happened."""
        assert self.machine.read() in self.acceptable()

    def teardown(self) -> None:
        """Remove the folders."""
        self._folder.cleanup()


TestAttempts = Attempts.TestCase
TestAttempts.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)
