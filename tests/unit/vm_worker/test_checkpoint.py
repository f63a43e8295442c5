"""When a checkpoint is saved, and for how long an attempt waits for that."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gliderport_prefect.errors import StoreUnreachable
from gliderport_prefect.protocol.ids import AttemptId, JobNumber, SessionId
from gliderport_prefect.protocol.jobspec import Checkpoint, JobSpec, Output
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment
from gliderport_prefect.store import Store, open_store
from tests.checkpoint_rig import JOB, KEYS, Machine
from tests.waiting import wait_until
from vm_worker.attempt import Attempt, Respite
from vm_worker.checkpoint import Stock, Upkeep
from vm_worker.result import Result
from vm_worker.scratch import AttemptFolder

OFTEN, RARELY = Checkpoint("state", 0.01), Checkpoint("state", 3600)
FAILED, SUCCEEDED = Result(Outcome.FAILED, "x"), Result(Outcome.SUCCEEDED)


@dataclass
class Gated:
    """A store whose uploads wait at a gate, or fail."""

    inner: Store = field(default_factory=lambda: open_store("memory://"))
    is_open: threading.Event = field(default_factory=threading.Event)
    waits: threading.Event = field(default_factory=threading.Event)
    failures: int = 0

    def __getattr__(self, name: str) -> object:
        """Pass on."""
        return getattr(self.inner, name)

    def upload_file(self, path: Path, key: str) -> int:
        """Wait, then upload or fail."""
        self.waits.set()
        self.is_open.wait()
        if self.failures:
            self.failures -= 1
            raise StoreUnreachable("no")
        return self.inner.upload_file(path, key)


@dataclass
class Job:
    """An attempt whose command the test plays."""

    home: Path
    store: Gated
    attempt: Attempt
    upkeep: Upkeep

    def write(self, text: str, *, folder: str = "state") -> None:
        """Write the state of the job."""
        path = self.home / "work" / folder / "x"
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".tmp").write_text(text)
        path.with_suffix(".tmp").rename(path)

    def saved(self) -> dict[str, str] | None:
        """Return what the next attempt would find."""
        return Machine(self.home, self.store.inner).read()


@pytest.fixture
def store() -> Iterator[Gated]:
    """Give an open store; whoever still waits there is let go at the end."""
    gated = Gated()
    gated.is_open.set()
    yield gated
    gated.is_open.set()


def begin(home: Path, store: Gated, policy: Checkpoint, attempt: str = "1.1") -> Job:
    """Begin an attempt."""
    home = home / attempt
    for name in ("work", "tmp"):
        (home / name).mkdir(parents=True)
    folder = AttemptFolder(str(home), str(home / "work"), str(home / "tmp"), "", "")
    spec = JobSpec(JOB, checkpoint=policy, outputs=(Output(),))
    running = Attempt(Assignment(JobNumber(0), AttemptId(attempt), spec), ())
    stock = Stock(store, KEYS, SessionId("w.1"))  # pyright: ignore[reportArgumentType]
    upkeep = stock.open_for(running, folder)
    assert upkeep is not None
    upkeep.begin()
    return Job(home, store, running, upkeep)


def test_it_is_saved_again_and_again_while_the_command_runs(tmp_path: Path, store: Gated) -> None:
    job = begin(tmp_path, store, OFTEN)
    for text in ("1", "2"):
        job.write(text)
        wait_until(lambda wanted=text: job.saved() == {"x": f"644 {wanted}"}, f"{text} is saved")
    job.upkeep.stop(was_killed=False)
    job.upkeep.conclude(FAILED)


def test_the_result_tells_how_much_was_restored_and_saved(tmp_path: Path, store: Gated) -> None:
    first = begin(tmp_path, store, RARELY)
    first.write("1234")
    first.upkeep.stop(was_killed=False)
    usage = first.upkeep.conclude(FAILED).usage
    assert (usage.checkpoint_bytes_in, usage.checkpoint_bytes_out) == (0, 4)
    second = begin(tmp_path, store, RARELY, "2.1")
    second.write("123456")
    second.upkeep.stop(was_killed=False)
    usage = second.upkeep.conclude(FAILED).usage
    assert (usage.checkpoint_bytes_in, usage.checkpoint_bytes_out) == (4, 6)


def test_an_attempt_that_has_succeeded_leaves_nothing(tmp_path: Path, store: Gated) -> None:
    job = begin(tmp_path, store, OFTEN)
    job.write("1")
    wait_until(lambda: job.saved() is not None, "it is saved")
    job.upkeep.stop(was_killed=False)
    assert job.upkeep.conclude(SUCCEEDED).outcome is Outcome.SUCCEEDED
    assert store.inner.list(KEYS.checkpoints) == []


def test_a_failed_save_changes_nothing_for_the_job_and_is_made_up_for(tmp_path: Path, store: Gated) -> None:
    store.failures = 3
    job = begin(tmp_path, store, OFTEN)
    job.write("1")
    wait_until(lambda: job.saved() == {"x": "644 1"}, "it is saved after all")
    job.upkeep.stop(was_killed=False)
    assert job.upkeep.conclude(FAILED).outcome is Outcome.FAILED


def test_a_save_under_way_when_the_command_ends_gives_way_to_the_last_one(tmp_path: Path, store: Gated) -> None:
    store.is_open.clear()
    job = begin(tmp_path, store, OFTEN)
    job.write("older")
    assert store.waits.wait(10)
    job.write("last")
    job.upkeep.stop(was_killed=False)
    store.is_open.set()
    job.upkeep.conclude(FAILED)
    assert job.saved() == {"x": "644 last"}
    assert len(store.inner.list(KEYS.saved(JOB))) == 1


def test_an_attempt_whose_worker_has_to_go_does_not_wait_for_a_save_that_takes_too_long(
    tmp_path: Path, store: Gated
) -> None:
    store.is_open.clear()
    job = begin(tmp_path, store, RARELY)
    job.write("large")
    now = time.monotonic()
    job.attempt.limit(Respite(command_until=now, report_by=now + 1.5))
    job.upkeep.stop(was_killed=False)
    assert job.upkeep.conclude(FAILED) == FAILED
    assert job.saved() is None
    assert not store.is_open.is_set()


def test_how_long_a_save_takes_is_known_before_the_last_one(tmp_path: Path, store: Gated) -> None:
    job = begin(tmp_path, store, OFTEN)
    assert job.attempt.save_seconds == 0
    job.write("1")
    wait_until(lambda: job.attempt.save_seconds > 0, "the duration of a save is known")
    job.upkeep.stop(was_killed=False)
    job.upkeep.conclude(FAILED)


def test_an_attempt_that_is_overtaken_by_a_later_one_saves_no_more(tmp_path: Path, store: Gated) -> None:
    lost = begin(tmp_path, store, RARELY)
    new = begin(tmp_path, store, RARELY, "2.1")
    new.write("new")
    new.upkeep.stop(was_killed=False)
    new.upkeep.conclude(FAILED)
    lost.write("lost")
    lost.upkeep.stop(was_killed=False)
    assert lost.upkeep.conclude(FAILED) == FAILED
    assert lost.saved() == {"x": "644 new"}


def test_a_folder_that_a_job_swaps_for_another_is_saved_once_it_is_back(tmp_path: Path, store: Gated) -> None:
    job = begin(tmp_path, store, OFTEN)
    place = job.home / "work/state"
    place.rename(job.home / "work/away")
    job.write("new", folder="coming")
    (job.home / "work/coming").rename(place)
    wait_until(lambda: job.saved() == {"x": "644 new"}, "the new one is saved")
    place.rename(job.home / "work/gone")
    job.upkeep.stop(was_killed=False)
    job.upkeep.conclude(FAILED)
    assert job.saved() == {"x": "644 new"}


def test_the_thread_that_saves_ends_with_the_attempt_however_that_ends(tmp_path: Path, store: Gated) -> None:
    job = begin(tmp_path, store, RARELY)

    def fail() -> None:
        with closing(job.upkeep):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    wait_until(lambda: not any(f"checkpoint-{JOB}" in each.name for each in threading.enumerate()), "no thread is left")


def test_a_job_without_checkpoint_has_no_upkeep(tmp_path: Path, store: Gated) -> None:
    folder = AttemptFolder(str(tmp_path), str(tmp_path), str(tmp_path), "", "")
    attempt = Attempt(Assignment(JobNumber(0), AttemptId("1.1"), JobSpec(JOB)), ())
    stock = Stock(store, KEYS, SessionId("w.1"))  # pyright: ignore[reportArgumentType]
    assert stock.open_for(attempt, folder) is None
    assert list(tmp_path.iterdir()) == []
