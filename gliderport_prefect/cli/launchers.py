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
