"""An attempt's checkpoint: restored before its command starts, saved while it runs and once more when it has ended.

restored ──▶ saved every interval, in a thread of its own ──▶ command over ──▶ failed, preempted, …: saved once more
                                                                           └▶ succeeded: deleted

Jobs without one pay nothing: none of this exists for them.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gliderport_prefect.errors import GliderportError, StoreError
from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.protocol.jobspec import Checkpoint, JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.store.seam import Store
from vm_worker.attempt import Attempt
from vm_worker.checkpoint_folder import Quiet, Unusable
from vm_worker.checkpoint_restore import Restored, restore
from vm_worker.checkpoint_save import Interrupted, Saver, Writer
from vm_worker.checkpoint_shelf import Shelf, Stale
from vm_worker.inputs import InputMissing
from vm_worker.logbook import Event, note_trouble
from vm_worker.result import Result
from vm_worker.scratch import AttemptFolder

VARIABLE = "GLIDERPORT_CHECKPOINT"
"""Names the folder to the job."""
RESTORED_VARIABLE = "GLIDERPORT_CHECKPOINT_RESTORED"
"""Says whether there was something to restore."""

_NICENESS = 10
_AGAIN_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_REPORT_SECONDS = 1.0
_DELETE_SECONDS = 10.0
# A process that is killed may have been in the middle of a file that it wrote to this shortly before.
_DOUBT_NS = 2_000_000_000
# Nobody is to lose more of its last time than this to a save that would hardly be done by then.
_MOST_SAVE_SECONDS = 30.0


@dataclass(frozen=True)
class Stock:
    """Where checkpoints are kept, for all attempts of this worker."""

    store: Store
    """The runtime bucket, with the patience that transfers have."""
    keys: CampaignKeys
    """Of the campaign."""
    session: SessionId
    """Who saves."""

    def shelf_of(self, spec: JobSpec) -> Shelf:
        """Return the checkpoints of the job."""
        return Shelf(self.store, self.keys, job=spec.id)

    def open_for(self, attempt: Attempt, folder: AttemptFolder) -> Upkeep | None:
        """Restore the newest checkpoint of the attempt's job; none when it wants none.

        Raises:
            InputMissing: The checkpoint cannot be read: the bucket does not answer, or the folder cannot be made.
        """
        if attempt.spec.checkpoint is None:
            return None
        place = f"{folder.work}/{_checked(attempt.spec.checkpoint)}"
        staging = Path(f"{folder.tmp}.checkpoint")
        shelf, began = self.shelf_of(attempt.spec), time.monotonic()
        try:
            os.makedirs(place, exist_ok=True)
            restored = restore(shelf, Path(place), staging=staging)
            writer = Writer(attempt.ref.attempt, self.session, place, staging)
            saver = Saver(shelf, writer, began_with=None if restored is None else restored.shelved)
        except (StoreError, OSError, Unusable) as error:
            raise InputMissing(f"the checkpoint could not be restored: {error}") from error
        if restored is not None:
            attempt.save_seconds = _save_seconds(time.monotonic() - began)
        return Upkeep(attempt, attempt.spec.checkpoint, saver=saver, shelf=shelf, restored=restored)

    def forget(self, attempt: Attempt) -> None:
        """Delete the checkpoints of a job that has succeeded."""
        if attempt.spec.checkpoint is not None:
            _clear(self.shelf_of(attempt.spec), attempt)


class Upkeep:
    """One thread that saves, and the slot that tells it when the command begins and ends."""

    def __init__(
        self, attempt: Attempt, policy: Checkpoint, *, saver: Saver, shelf: Shelf, restored: Restored | None
    ) -> None:
        self._attempt = attempt
        self._interval_seconds = policy.interval_seconds
        self._saver = saver
        self._shelf = shelf
        self._restored = restored
        self._orders: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._is_done = threading.Event()
        self._is_over = False
        self._is_useless = False
        self._quiet: Quiet | None = None
        self._thread: threading.Thread | None = None
        saver.check = self._check

    def close(self) -> None:
        """Let the thread end when it has done what it was told."""
        self._orders.put(_go_on)

    def variables(self) -> dict[str, str]:
        """Return what the job is told."""
        return {VARIABLE: self._saver.folder, RESTORED_VARIABLE: "0" if self._restored is None else "1"}

    def begin(self) -> None:
        """Save at every interval from now on."""
        thread = threading.Thread(target=self._run, name=f"checkpoint-{self._attempt.spec.id}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The machine has no room for another thread; the command runs already and goes on.
            self._note(error)
        else:
            self._thread = thread

    def stop(self, *, was_killed: bool) -> None:
        """Save no more by the clock: the command has just ended, perhaps in the middle of a write."""
        self._quiet = Quiet(time.time_ns() - _DOUBT_NS) if was_killed else Quiet()
        self._is_over = True

    def conclude(self, result: Result) -> Result:
        """Save once more, or delete everything if the job has succeeded; return the result with what it took."""
        if self._thread is not None:
            if result.outcome is not Outcome.SUCCEEDED:
                self._order(self._save, within_seconds=self._attempt.seconds_left)
            elif self._attempt.spec.outputs:
                # Of a job without outputs only the report says that it has succeeded; until that is in the bucket, a
                # lost worker means another attempt.
                give_up_at = time.monotonic() + _DELETE_SECONDS
                self._order(self._delete, within_seconds=lambda: give_up_at - time.monotonic())
        size_bytes = 0 if self._restored is None else self._restored.size_bytes
        usage = replace(result.usage, checkpoint_bytes_in=size_bytes, checkpoint_bytes_out=self._saver.saved_bytes)
        return replace(result, usage=usage)

    # --- in the slot's thread

    def _order(self, what: Callable[[], object], *, within_seconds: Callable[[], float]) -> None:
        """Let the thread do this last of all, and wait for it as long as there is time."""
        self._orders.put(what)
        while within_seconds() > _REPORT_SECONDS:
            if self._is_done.wait(_LOOK_SECONDS):
                return

    # --- in the thread that saves

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        pause = self._interval_seconds
        while True:
            try:
                order = self._orders.get(timeout=pause)
            except queue.Empty:
                pause = self._save_by_clock()
                continue
            self._saver.check = _go_on
            order()
            self._is_done.set()
            return

    def _save_by_clock(self) -> float:
        """Save, and return how long to wait before the next time."""
        if self._is_over or self._is_useless:
            return self._interval_seconds
        began = time.monotonic()
        is_saved = self._save()
        took = time.monotonic() - began
        # Never busy with saving for more than half of the time.
        pause = max(self._interval_seconds - took, took)
        return pause if is_saved else min(pause, _AGAIN_SECONDS)

    def _save(self) -> bool:
        """Save if that makes sense; say whether it should not be tried again soon."""
        if self._is_useless:
            return True
        began, before = time.monotonic(), self._saver.saved_bytes
        try:
            is_saved = self._saver.save(quiet=self._quiet)
        except Interrupted:
            return True
        except Stale as error:
            self._is_useless = True
            self._note(error)
            return True
        except Unusable as error:
            # It may be about to take the place of its predecessor.
            self._note(error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the job goes on
            self._note(error)
            return True
        if self._saver.saved_bytes > before:
            self._attempt.save_seconds = _save_seconds(time.monotonic() - began)
        return is_saved

    def _delete(self) -> None:
        _clear(self._shelf, self._attempt)

    def _check(self) -> None:
        if self._is_over:
            raise Interrupted

    def _note(self, error: Exception) -> None:
        job = self._attempt.spec.id
        note_trouble(Event.ATTEMPT_TROUBLE, "a checkpoint was not saved", job=job, error=str(error))


def _clear(shelf: Shelf, attempt: Attempt) -> None:
    try:
        shelf.clear()
    except GliderportError as error:
        # Teardown deletes what is left.
        note_trouble(Event.STORE_TROUBLE, "checkpoints were not deleted", job=attempt.spec.id, error=str(error))


def _save_seconds(took: float) -> float:
    return min(_MOST_SAVE_SECONDS, took)


def _checked(policy: Checkpoint) -> str:
    parts = PurePosixPath(policy.folder).parts
    if not parts or policy.folder.startswith("/") or ".." in parts:
        raise InputMissing(f"the checkpoint folder {policy.folder!r} is not inside of the working folder")
    return "/".join(parts)


def _go_on() -> None:
    pass
