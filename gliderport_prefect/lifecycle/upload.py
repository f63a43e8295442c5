"""Bring a campaign into its bucket: its identity, the local inputs, then the specs.

Inputs are content-addressed: what is in the bucket already is not sent again, and jobs that share a file share its
blob. A job's spec is stored only after all its inputs, so that no worker sees a job whose inputs are still on the way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from gliderport_prefect.campaign.identity import write_identity
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.lifecycle.blobs import BlobUploader
from gliderport_prefect.lifecycle.budget import change_budget
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.prepare import open_submission
from gliderport_prefect.lifecycle.secrets import refuse_new_secrets
from gliderport_prefect.lifecycle.specs import Submitted, read_known, submit_specs
from gliderport_prefect.protocol.records import Campaign, RequestKind, timestamp
from gliderport_prefect.store import Store, probe

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.order import Order
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.protocol.jobspec import JobSpec
    from gliderport_prefect.protocol.keys import CampaignKeys

_BATCH_JOBS = 1_000
"""Jobs whose inputs are brought up side by side."""

_log = logging.getLogger(__name__)


def upload(order: Order, plan: Plan) -> Submitted:
    """Bring the jobs of the order and their local inputs into the bucket, leaving out what is there.

    Raises:
        UserError: A job differs from the one of its id that is there, or an input is gone.
        StoreError: The bucket cannot be used.
    """
    runtime = open_runtime(plan)
    probe(runtime.store)
    is_first = create_campaign(runtime, plan)
    known = read_known(runtime.store, runtime.keys)
    jobs = with_uploaded_inputs(runtime.store, runtime.keys, jobs=open_submission(order).jobs())
    if not is_first:
        change_budget(runtime, plan, asked=order.budget)
    submitted = submit_specs(runtime.store, runtime.keys, jobs=jobs, known=known)
    if submitted.added and not is_first:
        append_request(runtime, RequestKind.SUBMITTED)
    _log.info("campaign %s: %d jobs added, %d were there", plan.campaign, submitted.added, submitted.skipped)
    return submitted


def create_campaign(runtime: Runtime, plan: Plan) -> bool:
    """Write who the campaign is, unless it stands there, and say whether it was new.

    Timers of the workers stay as they were when the campaign began.

    Raises:
        UserError: The jobs need a secret that the campaign has begun without.
    """
    campaign = Campaign(
        campaign=plan.campaign,
        token=runtime.token(),
        created_at=timestamp(runtime.clock.wall()),
        site=plan.site,
        site_options=plan.site_options,
        sky_template=plan.sky_template,
        worker=plan.worker,
        launcher=plan.launcher,
        origin=plan.origin,
        secrets=plan.secrets,
        credentials=plan.credentials,
    )
    standing = write_identity(runtime, campaign)
    if standing is not None:
        refuse_new_secrets(standing, plan.secrets)
    if standing is not None and standing.worker != plan.worker:
        _log.warning("campaign %s exists: its workers keep the policy with which it began", plan.campaign)
    return standing is None


def with_uploaded_inputs(store: Store, keys: CampaignKeys, *, jobs: Iterable[JobSpec]) -> Iterator[JobSpec]:
    """Yield the jobs with their local inputs in the bucket, each after its inputs are there.

    Raises:
        UserError: An input is gone or changes while it is read.
    """
    uploader = BlobUploader(store, keys)
    stream = iter(jobs)
    while batch := list(islice(stream, _BATCH_JOBS)):
        yield from uploader.bring(batch)
