"""The stages in order: once here, for the command line as for the Prefect flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.errors import Superseded
from gliderport_prefect.lifecycle.collect import Collected, collect
from gliderport_prefect.lifecycle.distribute import distribute
from gliderport_prefect.lifecycle.launch import launch
from gliderport_prefect.lifecycle.prepare import prepare
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.lifecycle.upload import upload

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.driving import Progress
    from gliderport_prefect.lifecycle.order import Order
    from gliderport_prefect.lifecycle.plan import Plan

Watch = Callable[["Progress"], None]


@dataclass(frozen=True)
class Stages:
    """The stages of a campaign: plain functions, or the same as Prefect tasks."""

    prepare: Callable[..., Plan] = prepare
    upload: Callable[..., object] = upload
    launch: Callable[..., object] = launch
    distribute: Callable[..., object] = distribute
    collect: Callable[..., Collected] = collect
    teardown: Callable[..., object] = teardown


def run_campaign(order: Order, *, watch: Watch, stages: Stages | None = None) -> Collected:
    """Run a campaign from what somebody asked for to its results.

    Args:
        order: What to run and where.
        watch: Called after every round of the long stage.
        stages: The stages; plain functions by default.

    Raises:
        UserError: Something in the order is wrong; nothing has been started.
        Superseded: Another launcher drives the campaign now.
        Stuck: It cannot go on, and the message says why; its workers are ended, what was done is kept.
    """
    stages = stages or Stages()
    plan = stages.prepare(order)
    stages.upload(order, plan)
    return drive_campaign(plan, watch=watch, stages=stages)


def drive_campaign(plan: Plan, *, watch: Watch, stages: Stages | None = None) -> Collected:
    """Run a campaign whose jobs are in the bucket, from where it stands to its results.

    When this process is to end before (Ctrl-C, an error), the workers are ended and whoever comes next goes on. Not
    when another launcher took over, whose workers they are now, nor when Prefect moves the flow run elsewhere.
    """
    stages = stages or Stages()
    try:
        stages.launch(plan)
        stages.distribute(plan, watch)
        collected = stages.collect(plan)
    except Superseded:
        raise
    except (Exception, KeyboardInterrupt):
        stages.teardown(plan)
        raise
    stages.teardown(plan)
    return collected
