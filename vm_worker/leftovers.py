"""What an attempt's first process leaves running when it ends."""

from __future__ import annotations

import signal
import time

from vm_worker import tree
from vm_worker.attempt import Attempt

_PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 10.0


def clear_up(attempt: Attempt, kin: tree.Kin) -> None:
    """End the attempt's remaining processes; those that got a TERM have the rest of their grace time.

    The first process has ended and is not waited for yet, so that its id is still its own.
    """
    give_up_at = time.monotonic() + _LONGEST_SECONDS
    # Whatever outlives its parent becomes a child of this process: without such children nothing is left.
    while orphans := tree.list_orphans():
        members = tree.find_members(kin, tree.look_at_processes(), orphans=orphans)
        tree.reap_orphans(orphans)
        if not members:
            return
        now = time.monotonic()
        if not attempt.has_grace_left(now):
            if now > give_up_at:
                return
            tree.send_signal(members, signal.SIGKILL)
        else:
            give_up_at = now + _LONGEST_SECONDS
        time.sleep(_PAUSE_SECONDS)
