"""Exit codes of the command line: what scripts can rely on."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from gliderport_prefect.errors import BudgetReached, ProtocolError, SiteError, StoreError, Stuck, Superseded, UserError
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gliderport_prefect.errors import GliderportError


class Exit(IntEnum):
    """Why the command ended."""

    SUCCEEDED = 0
    """It did what was asked; for commands that run a campaign: every job succeeded."""
    JOBS_FAILED = 1
    """The campaign is over and some jobs failed."""
    MISTAKE = 2
    """The command line or a file that it names is wrong; nothing was started."""
    CANCELLED = 3
    """The campaign is over, no job failed, some were cancelled."""
    SUPERSEDED = 4
    """Another launcher drives the campaign now."""
    STUCK = 5
    """The campaign cannot go on: no worker can be had, or this machine lacks something."""
    BUCKET = 6
    """The bucket cannot be reached, refuses the credentials, is full, or holds what cannot be read."""
    BUDGET = 7
    """The campaign has cost what it may cost; `gliderport resume --budget` goes on."""
    INTERNAL = 70
    """A defect of Gliderport."""
    INTERRUPTED = 130
    """Ctrl-C; `gliderport resume` goes on."""
    BROKEN_PIPE = 141
    """The reader of its output went away."""
    TERMINATED = 143
    """It was asked to end (SIGTERM); `gliderport resume` goes on."""


EPILOG = """\b
Exit codes:
    0  done; of run, resume, retry, collect: every job succeeded
    1  some jobs failed
    2  the command line or a file is wrong; nothing was started
    3  no job failed, some were cancelled
    4  another launcher drives the campaign now
    5  the campaign cannot go on: no worker can be had
    6  trouble with the bucket: unreachable, access denied, full
    7  the campaign has cost what it may cost; `gliderport resume --budget` goes on
   70  a defect of Gliderport
  130  interrupted (Ctrl-C), 143 terminated; `gliderport resume` goes on
"""

_BY_ERROR: tuple[tuple[type[Exception], Exit], ...] = (
    (UserError, Exit.MISTAKE),
    (Superseded, Exit.SUPERSEDED),
    (BudgetReached, Exit.BUDGET),
    (Stuck, Exit.STUCK),
    (SiteError, Exit.STUCK),
    (StoreError, Exit.BUCKET),
    (ProtocolError, Exit.BUCKET),
    (OSError, Exit.STUCK),
)


def exit_of_error(error: GliderportError | OSError) -> Exit:
    """Return the exit code for an error that the message explains."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.INTERNAL)


def exit_of_jobs(counts: Mapping[JobState, int]) -> Exit:
    """Return the exit code for a campaign whose jobs are in these states."""
    if counts.get(JobState.FAILED, 0) or counts.get(JobState.QUARANTINED, 0):
        return Exit.JOBS_FAILED
    if counts.get(JobState.CANCELLED, 0):
        return Exit.CANCELLED
    return Exit.SUCCEEDED
