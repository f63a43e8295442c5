"""Exit codes of the worker process, for sites and for whoever started one by hand."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How the worker process ended. What jobs did is in the bucket, not here."""

    FINISHED = 0
    """It left in good order: idle, drained, at the end of its life, or told that its session is over."""
    CRASHED = 70
    """A defect of the worker; its log has the traceback."""
    STORE_LOST = 75
    """The bucket could not be reached for longer than the campaign's patience; starting it again may help."""
    MISTAKE = 78
    """Wrong arguments, bucket, credentials or campaign, or another protocol: starting it again will not help."""
    PREEMPTED = 79
    """It was told to go, by a signal or because its machine is taken back; start it again elsewhere."""
