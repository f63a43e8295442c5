"""Leave nothing behind: no worker, no temporary object, no input that was to be deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.errors import GliderportError, SiteError, Superseded
from gliderport_prefect.lifecycle.deletion import delete_checkpoints, delete_inputs
from gliderport_prefect.lifecycle.last_words import settle_last_words
from gliderport_prefect.lifecycle.launcher import Launcher, take_over
from gliderport_prefect.lifecycle.opening import open_site
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.sightings import sight
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.records import LedgerRecord
from gliderport_prefect.scheduling.sightings import derive_sightings
from gliderport_prefect.sites.seam import WorkerState

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.protocol.records import Sighting
    from gliderport_prefect.scheduling.state import CampaignState
    from gliderport_prefect.sites.seam import Site

_log = logging.getLogger(__name__)


def teardown(plan: Plan) -> int:
    """End the campaign's workers, prove that none is left, and delete what was only there for the run.

    Whoever drives the campaign is superseded first, on whatever machine, so that nobody starts workers anew. Done a
    second time, by whomever, it finds nothing to do.

    Returns:
        How many workers had to be ended.

    Raises:
        SiteError: The site cannot be asked, or a worker is still there after it was stopped.
        StoreError: The bucket cannot be reached; the workers have been ended all the same.
        Superseded: Another launcher has just taken over, whose workers they are now.
    """
    runtime, site = open_runtime(plan), open_site(plan)
    launcher, trouble = _supersede(runtime)
    ended, last = _end_workers(plan, site)
    if trouble is not None:
        raise trouble
    state = _settle(runtime, launcher, last=last)
    if state.finished:
        _delete_mail(runtime)
        delete_inputs(runtime, state)
        delete_checkpoints(runtime, state)
    _log.info("ended %d workers of campaign %s", ended, plan.campaign)
    return ended


def _supersede(runtime: Runtime) -> tuple[Launcher | None, GliderportError | None]:
    """Take over a campaign that somebody may drive; when the bucket fails, say so and let the workers be ended."""
    try:
        state = replay(runtime)
        return (None if state.finished or state.is_torn_down else _take_over(runtime)), None
    except Superseded:
        raise
    except GliderportError as error:
        return None, error


def _take_over(runtime: Runtime) -> Launcher:
    return take_over(runtime, SpecReader(runtime.store, runtime.keys).spec_of)


# --- the workers ------------------------------------------------------------------------------------------------


def _end_workers(plan: Plan, site: Site) -> tuple[int, list[Sighting]]:
    """End the workers, and return how many there were and what the site says of all of them afterwards."""
    try:
        ended = _stop_all(site)
        last = sight(site.list_workers())
        site.forget()
    except SiteError as error:
        raise SiteError(
            f"it is not certain that no worker of campaign {plan.campaign} is left: {error}\n"
            f"  Once the site {plan.site} answers, `gliderport teardown {plan.campaign}` ends what is left"
        ) from error
    return ended, last


def _stop_all(site: Site) -> int:
    """End the workers until the site says that none is left; a launcher that was superseded may have started some."""
    stopped = set[WorkerName]()
    while present := {each.name for each in site.list_workers() if each.state is not WorkerState.GONE}:
        if present <= stopped:
            raise SiteError(f"still there after they were stopped: {', '.join(sorted(present))}")
        site.stop(sorted(present))
        stopped |= present
    return len(stopped)


# --- the bucket -------------------------------------------------------------------------------------------------


def _settle(runtime: Runtime, launcher: Launcher | None, *, last: list[Sighting]) -> CampaignState:
    """Settle what the workers said before they ended, so that nothing seems to run or to cost anything any more."""
    state = replay(runtime)
    if launcher is None:
        if not state.sessions and not derive_sightings(last, state.fleet.known(), now=runtime.clock.wall()):
            return state
        launcher = _take_over(runtime)
    settle_last_words(launcher, lambda _: True, why="its worker was stopped")
    launcher.note_workers(last)
    launcher.write_ledger(LedgerRecord(launcher.epoch, "", finished=state.finished, torn_down=True))
    return launcher.state


def _delete_mail(runtime: Runtime) -> None:
    """Delete what was only between launcher and workers; the ledger has all that counts."""
    for prefix in (runtime.keys.inboxes, runtime.keys.outbox, runtime.keys.workers):
        runtime.store.delete([stored.key for stored in runtime.store.list(prefix)])
