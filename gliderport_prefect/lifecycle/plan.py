"""What the stages pass on to each other: where a campaign lies and how it is to run.

A plan is small, holds no secret and survives pickling, because Prefect stores what tasks take and return.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gliderport_prefect.campaign.replay import read_campaign
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.lifecycle.state_folder import state_folder
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import LauncherPolicy, WorkerPolicy
from gliderport_prefect.scheduling.estimate import Estimate
from gliderport_prefect.store import open_store

if TYPE_CHECKING:
    from gliderport_prefect.store import Store


@dataclass(frozen=True)
class Plan:
    """A campaign that has been prepared."""

    campaign: CampaignId
    """Its id."""
    bucket: str
    """URL of the runtime bucket; its credentials come from the environment, where the shell puts those of a block."""
    site: str = "local"
    """Where its workers run."""
    site_options: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the site needs to know."""
    sky_template: dict[str, Any] = field(default_factory=dict[str, Any])
    """The machine of a worker, as a SkyPilot task without `run`."""
    worker: WorkerPolicy = field(default_factory=WorkerPolicy)
    """Timers of the workers."""
    launcher: LauncherPolicy = field(default_factory=LauncherPolicy)
    """Limits that the launcher keeps."""
    origin: str = ""
    """Where the jobs came from, for people."""
    secrets: tuple[str, ...] = ()
    """Names of the variables that the jobs' `secrets` are; never a value."""
    credentials: str = ""
    """The Prefect block that opens the bucket; the environment does when empty."""
    estimate: Estimate | None = None
    """What it may cost; none when the plan was read from the bucket."""
    jobs: int | None = None
    """How many jobs the source holds; none when the plan was read from the bucket."""


def open_runtime(plan: Plan) -> Runtime:
    """Return the campaign's place in its bucket; a folder of this machine is made when it is missing."""
    return Runtime(open_bucket(plan.bucket), CampaignKeys(plan.campaign))


def plan_of(runtime: Runtime) -> Plan:
    """Return the plan by which the campaign in the bucket runs.

    Raises:
        UserError: There is no such campaign.
    """
    found = read_campaign(runtime)
    return Plan(
        campaign=found.campaign,
        bucket=runtime.store.url,
        site=found.site,
        site_options=found.site_options,
        sky_template=found.sky_template,
        worker=found.worker,
        launcher=found.launcher,
        origin=found.origin,
        secrets=found.secrets,
        credentials=found.credentials,
    )


def open_bucket(url: str) -> Store:
    """Open a runtime bucket; a folder of this machine is made when it is missing."""
    return open_store(url, makes_root=True)


def site_folder(plan: Plan) -> Path:
    """Return the folder of this machine where the site keeps what it must remember of the campaign's workers."""
    bucket = hashlib.sha256(open_bucket(plan.bucket).url.encode()).hexdigest()[:12]
    return state_folder() / f"{plan.campaign}-{bucket}"
