"""Leave nothing behind: no worker, no temporary object, no input that was to be deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.errors import SiteError
from gliderport_prefect.lifecycle.deletion import delete_checkpoints, delete_inputs
from gliderport_prefect.lifecycle.launcher import take_over
from gliderport_prefect.lifecycle.opening import open_site
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.sightings import sight
from gliderport_prefect.scheduling.sightings import derive_sightings
from gliderport_prefect.sites.seam import WorkerState

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.protocol.records import Sighting
    from gliderport_prefect.scheduling.state import CampaignState
    from gliderport_prefect.sites.seam import Site, SiteWorker

_log = logging.getLogger(__name__)


def teardown(plan: Plan) -> int:
    """End the campaign's workers, prove that none is left, and delete what was only there for the run.

    Returns:
        How many workers had to be ended.

    Raises:
        SiteError: A worker is still there after it was stopped.
    """
    runtime, site = open_runtime(plan), open_site(plan)
    ended = _stop_workers(site)
    last = sight(site.list_workers())
    site.forget()
    state = replay(runtime)
    if state.sessions or derive_sightings(last, state.fleet.known(), now=runtime.clock.wall()):
        state = _settle_last_words(runtime, last)
    if state.finished:
        _delete_mail(runtime)
        delete_inputs(runtime, state)
        delete_checkpoints(runtime, state)
    _log.info("ended %d workers of campaign %s", ended, plan.campaign)
    return ended


def _stop_workers(site: Site) -> int:
    present = _present(site)
    site.stop([each.name for each in present])
    left = _present(site)
    if left:
        raise SiteError("still there after they were stopped: " + ", ".join(each.name for each in left))
    return len(present)


def _settle_last_words(runtime: Runtime, last: list[Sighting]) -> CampaignState:
    """Settle what the workers said before they ended, so that nothing seems to run or to cost anything any more.

    Nobody else drives a campaign whose workers were ended; whoever does is stopped by the new epoch.
    """
    launcher = take_over(runtime, SpecReader(runtime.store, runtime.keys).spec_of)
    launcher.settle(dict.fromkeys(launcher.state.sessions, "its worker was stopped"))
    launcher.note_workers(last)
    return launcher.state


def _present(site: Site) -> list[SiteWorker]:
    return [each for each in site.list_workers() if each.state is not WorkerState.GONE]


def _delete_mail(runtime: Runtime) -> None:
    """Delete what was only between launcher and workers; the ledger has all that counts."""
    for prefix in (runtime.keys.inboxes, runtime.keys.outbox, runtime.keys.workers):
        runtime.store.delete([stored.key for stored in runtime.store.list(prefix)])
