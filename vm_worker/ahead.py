"""Shells that are started while the jobs before them still run.

So the time that a shell takes to start lies under the job before, which counts when jobs take a tenth of a second.
The queue does not know of it: whatever job it gives next, a shell that waits for that job is used, others go on
waiting, and one whose job is taken out of the queue is ended.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from gliderport_prefect.protocol.records import Assignment
from vm_worker.gate import Gate
from vm_worker.scratch import AttemptFolder

SHORT_SECONDS = 5.0
"""Beside longer jobs a shell's start is nothing."""


@dataclass(frozen=True)
class Ahead:
    """A shell that waits at its gate."""

    folder: AttemptFolder
    """Where its job will work."""
    leader: int
    """Its process id."""
    gate: Gate
    """What it waits at."""

    def discard(self) -> None:
        """End it: its job does not run here."""
        self.gate.close()
        os.kill(self.leader, signal.SIGKILL)
        os.waitpid(self.leader, 0)


def is_plain(assignment: Assignment) -> bool:
    """Say whether next to nothing happens before the command starts and after it has ended."""
    spec = assignment.spec
    needs = spec.resources
    return not (spec.inputs or spec.outputs or spec.checkpoint or spec.own_home or needs.disk_bytes or needs.gpus)
