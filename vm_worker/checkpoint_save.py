"""Saves what an attempt has in its checkpoint folder: what is new is uploaded, then a record says that all is there."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gliderport_prefect.protocol.ids import AttemptId, SessionId
from gliderport_prefect.protocol.records import SavedCheckpoint, SavedFile, SavedLink, timestamp
from gliderport_prefect.store.transfer import hash_file, upload_many
from vm_worker.checkpoint_folder import Mark, Quiet, Snapshot, Survey, Unusable, survey, take_snapshot
from vm_worker.checkpoint_shelf import Shelf, Shelved
from vm_worker.scratch import remove_tree

# Half of what outputs take: nobody waits for a checkpoint while the command runs.
_PARALLEL = 8
_TOKEN_BYTES = 8


class Interrupted(Exception):
    """The save is given up: there is something newer to save, or nothing any more."""


@dataclass(frozen=True)
class Writer:
    """Whose folder it is, and where."""

    attempt: AttemptId
    """Which try."""
    session: SessionId
    """Who runs it."""
    folder: str
    """The checkpoint folder."""
    staging: Path
    """An own place on the same disk."""


class Saver:
    """Of one attempt; one thread at a time."""

    def __init__(self, shelf: Shelf, writer: Writer, *, began_with: Shelved | None) -> None:
        """Take the folder as it is now for what needs no saving."""
        self._shelf = shelf
        self._writer = writer
        self._also = None if began_with is None else began_with.number
        self._content = _content_of(began_with.record) if began_with is not None else None
        self._real_folder = os.path.realpath(writer.folder)
        self._seen: Survey | None = survey(writer.folder)
        # What this attempt itself has in the bucket: a file of an earlier try may be deleted by its own worker.
        self._files: dict[str, SavedFile] = {}
        self._marks: Mapping[str, Mark] = {}
        self._keys: dict[str, str] = {}
        self._serial = 0
        self.saved_bytes = 0
        self.check: Callable[[], None] = _go_on

    @property
    def folder(self) -> str:
        """The checkpoint folder."""
        return self._writer.folder

    def save(self, *, quiet: Quiet | None = None) -> bool:
        """Save the folder if it has changed, and say whether it is safe in the bucket as it stands.

        Args:
            quiet: That nobody writes there any more; none while somebody may.

        Raises:
            Interrupted: `check` said so.
            Stale: A later try of the job has saved.
            StoreError: The bucket does not take it.
            Unusable: The folder is gone.
            OSError: Something in the folder cannot be read, or the disk is full.
        """
        writer = self._writer
        if os.path.realpath(writer.folder) != self._real_folder:
            raise Unusable(f"{writer.folder} leads elsewhere")
        if survey(writer.folder) == self._seen:
            return True
        taken = take_snapshot(writer.folder, writer.staging, known=self._marks, quiet=quiet)
        if taken is None:
            return False
        try:
            self._save(taken)
        finally:
            remove_tree(writer.staging)
        return True

    def _save(self, taken: Snapshot) -> None:
        self.check()
        files = self._describe(taken)
        record = self._make_record(taken.survey, files)
        if _content_of(record) != self._content:
            self._shelf.check_not_stale(self._writer.attempt)
            self._upload(files, taken.copies)
            self.check()
            # If the reply gets lost, what is in the bucket is not known: the next save must not rely on it.
            self._content = self._seen = None
            shelved = self._shelf.put(record)
            self._content, self._files, self._marks = _content_of(record), files, taken.survey.files
            self._prune(shelved)
        self._seen = taken.survey

    def _describe(self, taken: Snapshot) -> dict[str, SavedFile]:
        """Return the files as the record is to name them, with a key for each content that has none yet."""
        self._serial += 1
        files: dict[str, SavedFile] = {}
        for path, mark in taken.survey.files.items():
            copy = taken.copies.get(path)
            sha256 = self._files[path].sha256 if copy is None else hash_file(copy)
            if sha256 not in self._keys:
                self._keys[sha256] = self._shelf.key_of(self._writer.attempt, f"{self._serial}-{sha256}")
            files[path] = SavedFile(path, mark.size_bytes, sha256, self._keys[sha256], mark.mode, mark.mtime_ns)
        return files

    def _upload(self, files: Mapping[str, SavedFile], copies: Mapping[str, Path]) -> None:
        wanted = {files[path].key: copy for path, copy in copies.items()}
        self.saved_bytes += upload_many(self._shelf.store, self._missing(wanted), parallel=_PARALLEL)

    def _missing(self, wanted: Mapping[str, Path]) -> Iterator[tuple[Path, str]]:
        fresh = self._shelf.key_of(self._writer.attempt, f"{self._serial}-")
        for key, copy in wanted.items():
            self.check()
            # An earlier save may have brought it there, also one that was given up.
            if key.startswith(fresh) or self._shelf.store.size_bytes_of(key) is None:
                yield copy, key

    def _prune(self, newest: Shelved) -> None:
        """Delete what is older, and never use a key again that may be among it: a late delete could hit it."""
        known, self._keys = self._keys, {file.sha256: file.key for file in newest.record.files}
        kept = self._shelf.prune(newest, also=self._also)
        named = {file.key for each in kept for file in each.record.files}
        self._keys = {sha256: key for sha256, key in known.items() if key in named}

    def _make_record(self, found: Survey, files: Mapping[str, SavedFile]) -> SavedCheckpoint:
        return SavedCheckpoint(
            token=secrets.token_hex(_TOKEN_BYTES),
            attempt=self._writer.attempt,
            session=self._writer.session,
            saved_at=timestamp(time.time()),
            files=tuple(files.values()),
            links=tuple(SavedLink(path, target) for path, target in found.links.items()),
            folders=found.folders,
        )


def _content_of(record: SavedCheckpoint) -> tuple[object, ...]:
    """Return what of a checkpoint makes it another state of the job: not where it is, nor when it was written."""
    return (tuple(replace(each, key="", mtime_ns=0) for each in record.files), record.links, record.folders)


def _go_on() -> None:
    pass
