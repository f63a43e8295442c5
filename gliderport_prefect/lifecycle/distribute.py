"""The long stage: whoever runs it drives the campaign until every job has ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gliderport_prefect.bundle import place_bundle
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.driving import drive
from gliderport_prefect.lifecycle.launcher import take_over
from gliderport_prefect.lifecycle.opening import watch_site
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.workers import Workforce

if TYPE_CHECKING:
    from collections.abc import Callable

    from gliderport_prefect.lifecycle.driving import Progress
    from gliderport_prefect.lifecycle.pace import Pace
    from gliderport_prefect.lifecycle.plan import Plan

_log = logging.getLogger(__name__)


def distribute(plan: Plan, watch: Callable[[Progress], None], *, pace: Pace | None = None) -> dict[str, int]:
    """Hand out jobs to the workers and take in results until every job has ended.

    Args:
        plan: The campaign.
        watch: Called after every round.
        pace: How often to look.

    Returns:
        Number of jobs by state.

    Raises:
        Superseded: Another launcher took over; the workers are its now.
        Stuck: It cannot go on, and the message says why.
    """
    runtime = open_runtime(plan)
    place_bundle(runtime.store, runtime.keys)
    launcher = take_over(runtime, SpecReader(runtime.store, runtime.keys).spec_of)
    _log.info("drive campaign %s with epoch %d", plan.campaign, launcher.epoch)
    with watch_site(plan) as site:
        counts = drive(launcher, Workforce(site, plan.launcher), watch=watch, pace=pace)
    return {state.value: count for state, count in counts.items()}
