"""What an attempt's first process leaves running when it ends."""

from __future__ import annotations

import signal
import time

from vm_worker import tree
from vm_worker.attempt import Attempt

_PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 10.0


def clear_up(attempt: Attempt, kin: tree.Kin) -> bool:
    """End the attempt's remaining processes and say whether one had to be killed.

    Those that got a TERM have the rest of their grace time. The first process has ended and is not waited for yet, so
    that its id is still its own.
    """
    had_to_kill = False
    give_up_at = time.monotonic() + _LONGEST_SECONDS
    # Whatever outlives its parent becomes a child of this process: without such children nothing is left.
    while orphans := tree.list_orphans():
        members = tree.find_members(kin, tree.look_at_processes(), orphans=orphans)
        tree.reap_orphans(orphans)
        if not members:
            return had_to_kill
        now = time.monotonic()
        if not attempt.has_grace_left(now):
            if now > give_up_at:
                return True
            tree.send_signal(members, signal.SIGKILL)
            had_to_kill = True
        else:
            give_up_at = now + _LONGEST_SECONDS
        time.sleep(_PAUSE_SECONDS)
    return had_to_kill
