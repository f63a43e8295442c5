"""Whether somebody drives a campaign, as far as this machine can tell."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

from gliderport_prefect.board.summary import newest_claim
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.errors import UserError

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
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


def refuse_second_launcher(runtime: Runtime, *, take_over: bool) -> None:
    """Check that no other process of this machine drives the campaign.

    Raises:
        UserError: One does.
    """
    claim = newest_claim(runtime)
    if take_over or claim is None or claim.pid == os.getpid():
        return
    if is_alive(claim) and not replay(runtime).finished:
        raise UserError(
            f"campaign {runtime.campaign!r} is driven by process {claim.pid} of this machine",
            hint=f"`gliderport status -w {runtime.campaign}` watches it; --take-over drives it from here instead",
        )
