"""The flow that runs a campaign: the stages of `lifecycle` as Prefect tasks, in the order of `lifecycle.run`.

A flow run is a view of a campaign and a driver of it, not its memory: all that counts is in the runtime bucket, and a
retried run goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as current_run
from prefect.states import Completed, Failed, State

from gliderport_prefect.artifacts import ProgressArtifact, show_summary
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.plan import Plan
from gliderport_prefect.lifecycle.run import run_campaign
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.tasks import stages

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from gliderport_prefect.lifecycle.collect import Collected


def end_workers(flow: object, flow_run: FlowRun, state: State) -> None:  # noqa: ARG001, PLR0917 - Prefect's signature
    """End the workers of a cancelled run. Prefect calls this in another process than the flow's."""
    given = flow_run.parameters
    campaign = campaign_of(given.get("campaign"), flow_run.id)
    teardown(Plan(CampaignId(campaign), given["bucket"]))


def campaign_of(given: str | None, flow_run_id: UUID | str) -> str:
    """Return the campaign of a flow run: the given id, or one that stays the same when the run is retried."""
    return given or f"run-{flow_run_id}"


@flow(name="gliderport-campaign", on_cancellation=[end_workers], log_prints=False)
def campaign(  # noqa: PLR0913 - the fields of the form
    *,
    bucket: str,
    source: str | None = None,
    command: str | None = None,
    each: str | None = None,
    campaign: str | None = None,
    workers: int | None = None,
    job: dict[str, Any] | None = None,
) -> State[Collected]:
    """Run a campaign of independent jobs to its end and show how it went.

    Give either `source`, or `command` and `each`. A run with the id of an existing campaign goes on with it: what has
    finished is not run again, and new jobs are added.

    Args:
        bucket: URL of the runtime bucket, such as s3://bucket/prefix or a folder; all of it is kept there.
        source: A folder of job files beside a sky template, or a campaign file, on the machine of the Prefect worker.
        command: A command with placeholders such as {input}; one job for each row of the table.
        each: The table (CSV, TSV or JSONL) or a range such as 0..999.
        campaign: Id of the campaign; made from the flow run's id when not given.
        workers: Most workers at a time.
        job: Further keys of every job, as in a job file.
    """
    log = get_run_logger()
    name = campaign_of(campaign, str(current_run.id))
    order = Order(
        bucket=bucket, campaign=name, source=source, command=command, each=each, workers=workers, job=job or {}
    )
    collected = run_campaign(order, watch=ProgressArtifact(name), stages=stages())
    show_summary(collected)
    counts = ", ".join(f"{count} {state}" for state, count in collected.counts.items() if count)
    log.info("campaign %s: %s", name, counts)
    if collected.all_succeeded:
        return Completed(message=counts, data=collected)
    succeeded, total = collected.counts[JobState.SUCCEEDED.value], sum(collected.counts.values())
    return Failed(message=f"{succeeded} of {total} jobs succeeded: {counts}")
