"""Attempts that save their checkpoint folders into a bucket, without a worker around them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from gliderport_prefect.protocol.ids import AttemptId, CampaignId, JobId, SessionId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import Store, open_store
from vm_worker.checkpoint_restore import Restored, restore
from vm_worker.checkpoint_save import Saver, Writer
from vm_worker.checkpoint_shelf import Shelf

State = dict[str, str]
"""A folder as `look` tells it."""
KEYS = CampaignKeys(CampaignId("test"))
JOB = JobId("fit")


@dataclass
class Machine:
    """Where attempts of one job run, one after the other or, when one does not know that it is lost, side by side."""

    disk: Path
    store: Store = field(default_factory=lambda: open_store("memory://"))
    _times: int = 0

    def shelf(self, store: Store | None = None) -> Shelf:
        """Return the job's checkpoints."""
        return Shelf(store or self.store, KEYS, job=JOB)

    def begin(self, attempt: str, store: Store | None = None) -> Run:
        """Restore what there is and begin an attempt."""
        home = self.disk / attempt
        (home / "state").mkdir(parents=True, exist_ok=True)
        shelf = self.shelf(store)
        restored = restore(shelf, home / "state", staging=home / "staging")
        writer = Writer(AttemptId(attempt), SessionId("w.1"), str(home / "state"), home / "staging")
        saver = Saver(shelf, writer, began_with=None if restored is None else restored.shelved)
        return Run(self, home / "state", saver, restored)

    def read(self) -> State | None:
        """Return what an attempt that begins now finds; none when there is no checkpoint."""
        home = self.disk / "reader"
        (home / "state").mkdir(parents=True, exist_ok=True)
        found = restore(self.shelf(), home / "state", staging=home / "staging")
        return None if found is None else look(home / "state")

    def objects(self) -> int:
        """Return how many files lie in the bucket."""
        return len(self.store.list(KEYS.saved_files(JOB)))

    def numbers(self) -> list[int]:
        """Return the numbers of the complete checkpoints."""
        return [int(each.key.rpartition("/")[2]) for each in self.store.list(KEYS.saved(JOB))]

    def set_time(self, path: Path) -> None:
        """Let the file have been written at a moment of its own, long ago, so that nobody need wait for a tick."""
        os.utime(path, ns=(0, 1_000_000_000 * self.tell_moment()))

    def tell_moment(self) -> int:
        """Return a number that was not returned before."""
        self._times += 1
        return self._times


@dataclass
class Run:
    """One attempt and its folder."""

    machine: Machine
    folder: Path
    saver: Saver
    restored: Restored | None

    def write(self, **files: str) -> None:
        """Write files as jobs should: beside their place, then renamed."""
        for name, text in files.items():
            path = self.folder / f"{name}.tmp"
            path.write_text(text)
            self.machine.set_time(path)
            path.rename(self.folder / name)

    def look(self) -> State:
        """Return what the folder holds."""
        return look(self.folder)


def look(folder: Path) -> State:
    """Return the files of a folder, links as what they say, empty folders as such."""
    found: State = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode & 0o777:o} {path.read_text()}"
        elif not any(path.iterdir()):
            found[name] = "empty"
    return found
