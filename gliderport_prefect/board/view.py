"""A campaign as a reader sees it now, with nobody's help: the ledger, and the inboxes for what is handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import add_new_chunks, follow_ledger, read_inboxes, replay

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.scheduling.state import CampaignState


def look(runtime: Runtime) -> CampaignState:
    """Return where the campaign stands; jobs that lie in a worker's inbox are told from those that wait."""
    state = replay(runtime)
    read_inboxes(runtime, state)
    return state


def look_again(runtime: Runtime, state: CampaignState) -> None:
    """Bring the state up to date with what was written since."""
    add_new_chunks(runtime, state)
    follow_ledger(runtime, state)
    read_inboxes(runtime, state)
