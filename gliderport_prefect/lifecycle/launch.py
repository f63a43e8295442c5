"""Place the worker bundle in the bucket and start the workers that the waiting jobs are worth."""

from __future__ import annotations

import logging
import os
from contextlib import closing
from typing import TYPE_CHECKING

from gliderport_prefect.bundle import place_bundle
from gliderport_prefect.campaign.replay import read_campaign, replay
from gliderport_prefect.errors import SiteError
from gliderport_prefect.lifecycle.opening import watch_site
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.secrets import check_environment
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.scheduling.budget import Spending, budget_of, decide_spending

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.scheduling.state import CampaignState
    from gliderport_prefect.sites.watched import Watched

_log = logging.getLogger(__name__)


def launch(plan: Plan) -> list[str]:
    """Start workers for the jobs that wait, counting those that are there already.

    Returns:
        Names of the workers that were started; none when the budget is spent.

    Raises:
        SiteError: The site cannot start any.
        Stuck: Jobs wait that no worker of this campaign can ever run.
        UserError: A secret that the jobs need has no value here, or the bucket's credentials have expired.
    """
    runtime = open_runtime(plan)
    place_bundle(runtime.store, runtime.keys)
    state = replay(runtime)
    if state.jobs.unfinished:
        check_environment(plan, os.environ)
    state.jobs.keep_after = plan.launcher.keep_after
    state.rebuild_queue()
    # Closed whatever happens: who comes next, the long stage or a teardown, must see all that was asked for.
    with closing(watch_site(plan)) as site:
        return [str(name) for name in _start_workers(plan, runtime, site=site, state=state)]


def _start_workers(plan: Plan, runtime: Runtime, *, site: Watched, state: CampaignState) -> list[WorkerName]:
    workforce = Workforce(site, plan.launcher)
    site.turn()
    _refuse_trouble(site, state)
    workforce.look(state)
    cost = state.fleet.reckon(state.fleet.cost(now=runtime.clock.wall()))
    if decide_spending(cost, budget_of(state, read_campaign(runtime).launcher)) is not Spending.OPEN:
        return []  # whoever drives it may find that somebody has raised the budget
    names = workforce.match(state)
    if names:
        site.turn()
        _refuse_trouble(site, state)
    _log.info("started %d workers at site %s", len(names) - site.asked, plan.site)
    return names


def _refuse_trouble(site: Watched, state: CampaignState) -> None:
    """Refuse to go on when no worker can be had; with some at work the long stage tries again and again.

    Raises:
        SiteError: The site cannot be asked, or cannot start any.
    """
    if site.trouble and not state.sessions and not site.is_taken:
        raise SiteError(site.trouble)
