"""Workers that come to nothing: a site whose workers die before they can work is not asked for more without end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gliderport_prefect.protocol.ids import WorkerName


@dataclass
class StartFailures:
    """Counts the workers in a row that died before they had any work; each worker counts once."""

    in_row: int = 0
    """How many."""
    newest: str = ""
    """The last of them and its last words."""
    _judged: set[WorkerName] = field(default_factory=set["WorkerName"])

    def note_work(self, worker: WorkerName) -> None:
        """Start the count again: a worker has come up and got work."""
        if worker not in self._judged:
            self._judged.add(worker)
            self.in_row = 0

    def note_death(self, worker: WorkerName, *, words: str) -> None:
        """Count a worker that died before it had any work."""
        if worker not in self._judged:
            self._judged.add(worker)
            self.in_row += 1
            self.newest = f"the last one, {worker}, said: {words or 'nothing'}"

    def excuse(self, worker: WorkerName) -> None:
        """Do not count this one: it is gone for another reason."""
        self._judged.add(worker)
