"""The flow that runs a campaign: the stages of `lifecycle` as Prefect tasks, in the order of `lifecycle.run`.

A flow run is a view of a campaign and a driver of it, not its memory: all that counts is in the runtime bucket, and a
retried run goes on from there.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.logging.loggers import flow_run_logger
from prefect.runtime import flow_run as current_run
from prefect.states import Completed, Failed
from pydantic import Field

from gliderport_prefect.artifacts import ProgressArtifact, say_result, show_logs, show_summary
from gliderport_prefect.blocks import use_block
from gliderport_prefect.errors import GliderportError, UserError
from gliderport_prefect.lifecycle.collect import Collected
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.plan import Plan, open_runtime, plan_of
from gliderport_prefect.lifecycle.prepare import open_submission
from gliderport_prefect.lifecycle.run import run_campaign
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.protocol.ids import MAX_ID_LENGTH, CampaignId
from gliderport_prefect.tasks import stages

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.flows import Flow

# What the schema says is checked when a run is created, not after it has started.
# A relative folder would lie in the folder of the Prefect worker's process, which is deleted after the run.
_Bucket = Annotated[str, Field(pattern=r"^(/|~/|[a-z][a-z0-9]*://)")]
_Id = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._=@+-]*)?$", max_length=MAX_ID_LENGTH)]
_Count = Annotated[int, Field(ge=1)]
_Dollars = Annotated[float, Field(gt=0)]
_Block = Annotated[str, Field(pattern=r"^([a-z0-9-]+/[^/]+)?$")]
_NOTHING: dict[str, Any] = {}


def end_workers(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001, PLR0917 - Prefect's signature
    """End the workers of a cancelled run. Prefect calls this in another process than the flow's."""
    given = flow_run.parameters
    campaign = campaign_of(given.get("campaign"), flow_run.id)
    order = Order(given["bucket"], source=given.get("source") or None, credentials=given.get("credentials") or None)
    with suppress(UserError):  # the source may be gone by now
        order = replace(order, credentials=find_credentials(order))
    with _credentials(order.credentials):
        ended = teardown(plan_of(open_runtime(Plan(CampaignId(campaign), order.bucket))))
    flow_run_logger(flow_run, flow).info("ended %d workers of campaign %s", ended, campaign)


def campaign_of(given: str | None, flow_run_id: UUID | str) -> str:
    """Return the campaign of a flow run: the given id, or one that stays the same when the run is retried.

    The last twelve digits are random in every kind of UUID; Prefect, too, shortens the ids of runs to them.
    """
    return given or f"run-{str(flow_run_id)[-12:]}"


@flow(name="gliderport-campaign", on_cancellation=[end_workers])
def campaign(  # noqa: PLR0913 - the fields of the form
    *,
    bucket: _Bucket,
    source: str = "",
    command: str = "",
    each: str = "",
    campaign: _Id = "",
    credentials: _Block = "",
    workers: _Count | None = None,
    budget: _Dollars | None = None,
    job: dict[str, Any] = _NOTHING,
) -> State[Collected]:
    """Run a campaign of independent jobs to its end and show how it went.

    Give either `source`, or `command` and `each`. A run with the id of an existing campaign goes on with it: what has
    finished is not run again, and new jobs are added. Files are named by absolute paths on the machine of the Prefect
    worker.

    Args:
        bucket: URL of the runtime bucket, such as s3://bucket/prefix, or an absolute folder. All of the campaign is
            kept there.
        source: A folder of job files beside a sky template, or a campaign file.
        command: A command with placeholders such as {input}; it makes one job for each row of the table.
        each: The table (CSV, TSV or JSONL), or a range such as 0..999, whose integers are {n}.
        campaign: Id of the campaign; made from the id of the flow run when not given.
        credentials: The Prefect block that opens the bucket, as type and name: aws-credentials/lab. Its name is all
            that is stored. Without one, the environment of the Prefect worker does, or the role of its machine.
        workers: Most workers at a time.
        budget: US dollars; when the workers have cost so much, nothing new is started. Of a campaign that exists, what
            it may cost from now on.
        job: Further keys of every job, as in a job file.
    """
    run_id = str(current_run.id)
    order = Order(
        bucket=bucket,
        campaign=campaign_of(campaign, run_id),
        source=source or None,
        command=command or None,
        each=each or None,
        credentials=credentials or None,
        workers=workers,
        budget=budget,
        job=job,
    )
    try:
        with show_logs(run_id):
            order = replace(order, credentials=find_credentials(order) or None)
            with _credentials(order.credentials):
                return _run(order)
    except GliderportError as error:
        return Failed(message=str(error))


def find_credentials(order: Order) -> str:
    """Return the block that the order, the Prefect worker's environment or the campaign file names; empty if none."""
    named = order.credentials or os.environ.get("GLIDERPORT_CREDENTIALS")
    if named is None and order.source is not None:
        named = open_submission(order).settings.credentials
    return named or ""


def _credentials(block: str | None) -> AbstractContextManager[object]:
    return use_block(block) if block else nullcontext()


def _run(order: Order) -> State[Collected]:
    name = CampaignId(str(order.campaign))
    collected = run_campaign(order, watch=ProgressArtifact(), stages=stages())
    show_summary(open_runtime(Plan(name, order.bucket)), collected)
    result = say_result(collected)
    get_run_logger().info("campaign %s: %s", name, result)
    return Completed(message=result, data=collected) if collected.all_succeeded else Failed(message=result)
