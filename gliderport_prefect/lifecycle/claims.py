"""Who claimed a campaign last, and whether that process still runs, as far as this machine can tell."""

from __future__ import annotations

import socket
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from gliderport_prefect.protocol.records import LauncherClaim

_ROUNDING_SECONDS = 1.0
"""Start times are kept in hundredths of seconds since boot, and boot times are rounded."""


def is_alive(claim: LauncherClaim | None) -> bool | None:
    """Say whether the launcher's process runs; None when it is on another machine and nobody can tell."""
    if claim is None:
        return False
    if claim.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(claim.pid)
        started_at = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.NoSuchProcess:
        return False
    # Another process may have got the number since.
    return started_at <= datetime.fromisoformat(claim.claimed_at).timestamp() + _ROUNDING_SECONDS
