"""A job's checkpoints in the bucket: which there are, which is the newest, and which may go.

    files ▶ record in the log `saved` (create-only) ▶ older records go ▶ files that nothing names any more go

Two workers may save for one job: one that is lost to the launcher and does not know it, and the next. The later try is
the newer state, whatever the numbers say. Nobody deletes what belongs to a later try than its own, and a record names
only files of its own try; so nothing that a stale worker does harms what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gliderport_prefect.errors import GliderportError, ProtocolError
from gliderport_prefect.protocol.codec import decode, encode
from gliderport_prefect.protocol.ids import AttemptId, JobId, is_attempt_id
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment
from gliderport_prefect.protocol.records import SavedCheckpoint
from gliderport_prefect.store.log import list_numbers
from gliderport_prefect.store.seam import Store

KEPT = 2
"""How many complete checkpoints of a job are kept."""
_MOST_LOOKS = 20


class Stale(GliderportError):
    """A later try of the job has saved: this one is over, though its worker does not know it."""


@dataclass(frozen=True)
class Shelved:
    """A complete checkpoint."""

    number: int
    """Its number in the log."""
    record: SavedCheckpoint
    """What it holds."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """What orders checkpoints, newest last: try, epoch, number."""
        return (*rank_of(self.record.attempt), self.number)


def rank_of(attempt: AttemptId) -> tuple[int, int]:
    """Return the try and the epoch of an attempt, by which attempts of one job are ordered."""
    number, _, epoch = attempt.partition(".")
    return int(number), int(epoch)


class Shelf:
    """The checkpoints of one job, as one attempt of it sees them."""

    def __init__(self, store: Store, keys: CampaignKeys, *, job: JobId) -> None:
        self.store = store
        self._keys = keys
        self._job = job
        self._known: dict[int, SavedCheckpoint | None] = {}
        self._highest = 0

    def key_of(self, attempt: AttemptId, name: str) -> str:
        """Return the key for a file that the attempt saves."""
        return self._keys.saved_file(self._job, attempt, name)

    def list_newest_first(self) -> list[Shelved]:
        """Return the complete checkpoints; a record that cannot be read is none."""
        for _ in range(_MOST_LOOKS):
            if self._learn(list_numbers(self.store, self._keys.saved(self._job))):
                break
        found = [Shelved(number, record) for number, record in self._known.items() if record is not None]
        return sorted(found, key=lambda each: each.rank, reverse=True)

    def check_not_stale(self, attempt: AttemptId) -> list[Shelved]:
        """Return the complete checkpoints, newest first.

        Raises:
            Stale: A later try has saved.
        """
        shelved = self.list_newest_first()
        if shelved and rank_of(shelved[0].record.attempt) > rank_of(attempt):
            raise Stale(f"attempt {shelved[0].record.attempt} of {self._job} has saved; this is {attempt}")
        return shelved

    def put(self, record: SavedCheckpoint) -> Shelved:
        """Write the record at the next number, after all of its files."""
        data = encode(record)
        while True:
            # Never a number that has been seen: a late delete of an older record must not hit this one.
            self._highest += 1
            if self.store.create(self._record_key(self._highest), data) is None:
                self._known[self._highest] = record
                return Shelved(self._highest, record)

    def prune(self, newest: Shelved, *, also: int | None) -> list[Shelved]:
        """Delete all but the newest two, and the files of this and earlier tries that neither names; return the two.

        Args:
            newest: What this attempt has just put.
            also: Number of the checkpoint that this attempt began with, which is known to be whole.

        Raises:
            Stale: A later try has saved.
        """
        own = rank_of(newest.record.attempt)
        shelved = self.check_not_stale(newest.record.attempt)
        shelved.sort(key=lambda each: (rank_of(each.record.attempt) == own, each.number == also, each.rank))
        keep, gone = shelved[-KEPT:], shelved[:-KEPT]
        self.store.delete([self._record_key(each.number) for each in gone])
        self._delete_files(keep, own)
        return keep

    def clear(self) -> None:
        """Delete everything: the job needs it no longer. Records first, so that none names what is gone."""
        for prefix in (self._keys.saved(self._job), self._keys.saved_files(self._job)):
            found = [each.key for each in self.store.list(prefix)]
            if found:
                self.store.delete(found)

    def _delete_files(self, keep: Sequence[Shelved], own: tuple[int, int]) -> None:
        named = {file.key for each in keep for file in each.record.files}
        found = [each.key for each in self.store.list(self._keys.saved_files(self._job))]
        gone = [key for key in found if key not in named and self._may_delete(key, own)]
        if gone:
            self.store.delete(gone)

    def _may_delete(self, key: str, own: tuple[int, int]) -> bool:
        attempt = self._keys.saved_by(self._job, key)
        return is_attempt_id(attempt) and rank_of(attempt) <= own

    def _learn(self, numbers: Sequence[int]) -> bool:
        """Read the records of these numbers; say whether all are still there: one goes when there is a newer one."""
        self._highest = max([self._highest, *numbers])
        self._known = {number: self._known[number] for number in numbers if number in self._known}
        for number in numbers:
            if number not in self._known:
                data = self.store.get(self._record_key(number))
                if data is None:
                    return False
                self._known[number] = self._decode(data, self._record_key(number))
        return True

    def _decode(self, data: bytes, key: str) -> SavedCheckpoint | None:
        try:
            record = decode(SavedCheckpoint, data, where=key)
        except ProtocolError:
            return None
        return record if is_attempt_id(record.attempt) else None

    def _record_key(self, number: int) -> str:
        return f"{self._keys.saved(self._job)}/{number_segment(number)}"
