"""Whether somebody drives a campaign, as far as this machine can tell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gliderport_prefect.board.summary import newest_claim
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.errors import UserError
from gliderport_prefect.lifecycle.claims import is_alive

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.protocol.records import LauncherClaim


def refuse_second_launcher(runtime: Runtime, *, take_over: bool) -> None:
    """Check that no other process of this machine drives the campaign.

    Raises:
        UserError: One does.
    """
    claim = None if take_over else _find_other(runtime)
    if claim is not None:
        raise UserError(
            f"campaign {runtime.campaign!r} is driven by process {claim.pid} of this machine",
            hint=f"`gliderport status -w {runtime.campaign}` watches it; --take-over drives it from here instead",
        )


def is_driven_here(runtime: Runtime) -> bool:
    """Say whether another process of this machine drives the campaign."""
    return _find_other(runtime) is not None


def _find_other(runtime: Runtime) -> LauncherClaim | None:
    """Return the claim of another process of this machine that drives the campaign."""
    claim = newest_claim(runtime)
    if claim is None or claim.pid == os.getpid():
        return None
    if not is_alive(claim):
        return None
    state = replay(runtime)
    return None if state.finished or state.is_torn_down else claim
